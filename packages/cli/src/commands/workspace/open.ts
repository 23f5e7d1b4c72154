import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { Failure } from "../../failure.ts";
import { exampleWorkspace, workspacePath } from "./lines.ts";

const unavailable = "console URL is not available for this authentication context";

export const workspaceOpen = environmentCommand({
  name: "workspace open",
  summary: "print where the console shows a workspace",
  details: "Only with a login: an API key has no console.",
  examples: [{ says: "its page", command: `helmr workspace open ${exampleWorkspace} -p shop -e production` }],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    if (api.credential.kind !== "login") throw new Failure(unavailable);
    const { workspace } = await api.call("workspaces.get", { params: { id: context.args.workspace } });
    const url = await context.consoleUrl(api, workspacePath(workspace.id));
    if (url === undefined) throw new Failure(unavailable);
    return context.flags.json ? context.out.json({ workspace, console_url: url }) : context.out.line(url);
  },
});
