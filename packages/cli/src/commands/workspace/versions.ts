import { argument, environmentCommand, integer, jsonFlag, text } from "../../command.ts";
import { instant } from "../../text/instant.ts";
import { tabbed } from "../../text/table.ts";
import { exampleWorkspace } from "./lines.ts";

export const workspaceVersions = environmentCommand({
  name: "workspace versions",
  summary: "list the versions of a workspace, the newest first",
  examples: [
    { says: "id, state, kind, time and message", command: `helmr workspace versions ${exampleWorkspace}` },
    { says: "what was made on purpose", command: `helmr workspace versions ${exampleWorkspace} --kind user --json` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: { ...jsonFlag, kind: text("KIND", "user or system"), limit: integer("N", "at most so many", { min: 1, max: 200 }) },
  async run(context) {
    const { flags } = context;
    const api = await context.environment();
    const { versions } = await api.call("versions.list", {
      params: { id: context.args.workspace },
      query: { kind: flags.kind, limit: flags.limit },
    });
    if (flags.json) return context.out.json({ versions });
    return context.out.lines(
      versions.map((version) => tabbed(version.id, version.state, version.kind, instant(version.created_at), version.message)),
    );
  },
});
