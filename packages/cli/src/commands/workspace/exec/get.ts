import { argument, environmentCommand, jsonFlag } from "../../../command.ts";
import { exampleExec, exampleWorkspace } from "../lines.ts";

export const workspaceExecGet = environmentCommand({
  name: "workspace exec get",
  summary: "show an exec",
  examples: [{ says: "its command, state and exit code", command: `helmr workspace exec get ${exampleWorkspace} ${exampleExec} --json` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace"), exec: argument("EXEC", "id of the exec") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { exec } = await api.call("execs.get", { params: { id: context.args.workspace, execID: context.args.exec } });
    if (context.flags.json) return context.out.json({ exec });
    return context.out.lines([
      `Exec:      ${exec.id}`,
      `Workspace: ${exec.workspace_id}`,
      `State:     ${exec.state}`,
      ...(typeof exec.exit_code === "number" ? [`Exit:      ${exec.exit_code}`] : []),
    ]);
  },
});
