import type { Exec } from "@helmr/protocol/api";
import { argument, environmentCommand, jsonFlag, list, restArguments, text, toggle } from "../../../command.ts";
import { Failure } from "../../../failure.ts";
import { foregroundExec } from "../../../follow/foreground-exec.ts";
import { pairs } from "../../../text/pairs.ts";
import { trimmedKey } from "../../session/start-input.ts";
import { exampleWorkspace, workspacePath } from "../lines.ts";
import { exitAs } from "./exit-code.ts";

export const workspaceExec = environmentCommand({
  name: "workspace exec",
  summary: "run a command in a workspace",
  details:
    "Mounts the workspace when it has to. stdin, stdout and stderr are those of the command, and so is the exit code. " +
    "With --detach the command is only started; `workspace exec wait` and `workspace exec logs` find it again.",
  examples: [
    { says: "the files of the workspace", command: `helmr workspace exec ${exampleWorkspace} -- ls -la` },
    { says: "with input", command: `git archive HEAD | helmr workspace exec ${exampleWorkspace} -- tar -x` },
    { says: "start it and go on", command: `helmr workspace exec ${exampleWorkspace} --detach -- npm test` },
  ],
  args: {
    workspace: argument("WORKSPACE", "id of the workspace"),
    command: restArguments("COMMAND [ARGS...]", "what to run; nothing is interpreted by a shell"),
  },
  passesCommand: true,
  flags: {
    ...jsonFlag,
    detach: toggle("start the command and return"),
    cwd: text("DIR", "working directory; the workspace without it"),
    setEnv: list("KEY=VALUE", "environment variable of the command"),
    idempotencyKey: text("KEY", "a repeated exec with this key gives the same exec"),
  },
  async run(context) {
    const { args, flags, out } = context;
    if (flags.json && !flags.detach) throw new Failure("--json needs --detach");
    const variables = pairs(flags.setEnv, "set-env");
    const api = await context.environment();
    const created = await api.call("execs.create", {
      params: { id: args.workspace },
      body: {
        command: args.command,
        cwd: flags.cwd,
        env: flags.setEnv.length === 0 ? undefined : variables,
        detached: flags.detach,
        idempotency_key: trimmedKey(flags.idempotencyKey),
      },
    });
    if (!flags.detach) {
      const exec = await foregroundExec({
        api,
        exec: created.exec,
        stdin: context.host.stdin,
        out,
        err: context.err,
        signal: context.signal,
      });
      return exitAs(exec);
    }
    if (flags.json) return out.json(created);
    await out.lines(detachedLines(created.exec));
    const url = await context.consoleUrl(api, `${workspacePath(created.exec.workspace_id)}/execs/${created.exec.id}`);
    if (url !== undefined) await out.line(`console_url: ${url}`);
  },
});

function detachedLines(exec: Exec): string[] {
  return [`workspace_id: ${exec.workspace_id}`, `exec_id: ${exec.id}`, `state: ${exec.state}`];
}
