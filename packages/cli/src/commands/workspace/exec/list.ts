import { argument, environmentCommand, jsonFlag } from "../../../command.ts";
import { tabbed } from "../../../text/table.ts";
import { exampleWorkspace } from "../lines.ts";

export const workspaceExecList = environmentCommand({
  name: "workspace exec list",
  summary: "list the execs of a workspace",
  examples: [{ says: "id, state and working directory", command: `helmr workspace exec list ${exampleWorkspace}` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { execs } = await api.call("execs.list", { params: { id: context.args.workspace } });
    if (context.flags.json) return context.out.json({ execs });
    return context.out.lines(execs.map((exec) => tabbed(exec.id, exec.state, exec.cwd)));
  },
});
