import type { JsonObject } from "@helmr/protocol/shared";
import { argument, environmentCommand, jsonFlag, list, text } from "../../command.ts";
import { typedJson } from "../../http/raw-json.ts";
import { exampleWorkspace, printWorkspace } from "./lines.ts";

export const workspaceUpdate = environmentCommand({
  name: "workspace update",
  summary: "replace metadata or tags of a workspace",
  details: "What is given replaces what was there; what is not given stays.",
  examples: [
    { says: "two tags instead of the present ones", command: `helmr workspace update ${exampleWorkspace} --tag team-a --tag demo` },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: { ...jsonFlag, metadataJson: text("JSON", "metadata, an object"), tag: list("TAG", "tag of the workspace") },
  async run(context) {
    const { flags } = context;
    const metadata = flags.metadataJson === undefined ? undefined : (typedJson(flags.metadataJson, "--metadata-json") as JsonObject);
    const api = await context.environment();
    const { workspace } = await api.call("workspaces.update", {
      params: { id: context.args.workspace },
      body: { metadata, tags: flags.tag.length === 0 ? undefined : flags.tag },
    });
    return flags.json ? context.out.json({ workspace }) : printWorkspace(context, api, workspace);
  },
});
