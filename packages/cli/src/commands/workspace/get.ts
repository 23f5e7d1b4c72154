import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { exampleWorkspace, printWorkspace } from "./lines.ts";

export const workspaceGet = environmentCommand({
  name: "workspace get",
  summary: "show a workspace",
  examples: [{ says: "with its metadata and version", command: `helmr workspace get ${exampleWorkspace} --json` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { workspace } = await api.call("workspaces.get", { params: { id: context.args.workspace } });
    return context.flags.json ? context.out.json({ workspace }) : printWorkspace(context, api, workspace);
  },
});
