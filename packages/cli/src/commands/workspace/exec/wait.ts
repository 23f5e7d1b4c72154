import type { Exec } from "@helmr/protocol/api";
import { pause } from "../../../clock.ts";
import { argument, environmentCommand, jsonFlag } from "../../../command.ts";
import { isTransient } from "../../../follow/event-stream.ts";
import type { ExecAddress } from "../../../follow/exec-stream.ts";
import { isOneOf, terminalExecStates } from "../../../http/terminal-states.ts";
import { whileShowing } from "../../../terminal/live-line.ts";
import { exampleExec, exampleWorkspace } from "../lines.ts";
import { exitAs } from "./exit-code.ts";

const pollMs = 250;
const retryMs = 1_000;

export const workspaceExecWait = environmentCommand({
  name: "workspace exec wait",
  summary: "wait for the end of an exec and exit with its exit code",
  details: "With --json the exit code is always 0: read exit_code.",
  examples: [{ says: "the exit code of the command", command: `helmr workspace exec wait ${exampleWorkspace} ${exampleExec}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), exec: argument("EXEC", "id of the exec") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const address = { api, workspaceId: context.args.workspace, execId: context.args.exec };
    const exec = await whileShowing(context, `Waiting for exec ${address.execId}`, () => ended(address, context.signal));
    if (context.flags.json) return context.out.json({ exec });
    await context.out.line(`${exec.id} ${exec.state}`);
    exitAs(exec);
  },
});

/** Once the exec was seen, an interrupted connection is waited out as when following. */
async function ended({ api, workspaceId, execId }: ExecAddress, signal: AbortSignal): Promise<Exec> {
  for (let seen = false; ;) {
    try {
      const { exec } = await api.call("execs.get", { params: { id: workspaceId, execID: execId } });
      if (isOneOf(terminalExecStates, exec.state)) return exec;
      seen = true;
      await pause(pollMs, signal);
    } catch (error) {
      if (!seen || !isTransient(error)) throw error;
      await pause(retryMs, signal);
    }
  }
}
