import { environmentCommand, jsonFlag } from "../../command.ts";
import { tabbed } from "../../text/table.ts";

export const workspaceList = environmentCommand({
  name: "workspace list",
  summary: "list workspaces",
  examples: [{ says: "id, state, sandbox and current version", command: "helmr workspace list" }],
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { workspaces } = await api.call("workspaces.list");
    if (context.flags.json) return context.out.json({ workspaces });
    return context.out.lines(
      workspaces.map((workspace) => tabbed(workspace.id, workspace.state, workspace.sandbox_id, workspace.current_version_id)),
    );
  },
});
