import { argument, environmentCommand, toggle } from "../../command.ts";
import { exampleWorkspace } from "./lines.ts";

export const workspaceDelete = environmentCommand({
  name: "workspace delete",
  summary: "delete a workspace with all its versions",
  examples: [{ says: "without a question", command: `helmr workspace delete ${exampleWorkspace} --yes` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: { yes: toggle("do it without asking; needed where nobody can be asked") },
  async run(context) {
    const { workspace } = context.args;
    await context.confirm(`Delete the workspace ${workspace} with all its versions?`);
    const api = await context.environment();
    await api.call("workspaces.delete", { params: { id: workspace } });
    return context.out.line(`${workspace} deleted`);
  },
});
