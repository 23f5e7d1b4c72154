import type { JsonObject } from "@helmr/protocol/shared";
import { argument, environmentCommand, jsonFlag, list, text } from "../../command.ts";
import { typedJson } from "../../http/raw-json.ts";
import { trimmedKey } from "../session/start-input.ts";
import { exampleVersion, exampleWorkspace, printWorkspace } from "./lines.ts";

export const workspaceFork = environmentCommand({
  name: "workspace fork",
  summary: "make a new workspace that begins with a version of this one",
  details: "Nothing is copied: it takes the same time whatever the size.",
  examples: [
    { says: "of the current version", command: `helmr workspace fork ${exampleWorkspace}` },
    {
      says: "of an old one, at most once",
      command: `helmr workspace fork ${exampleWorkspace} --version ${exampleVersion} --idempotency-key try-2`,
    },
  ],
  args: { workspace: argument("WORKSPACE", "id of the workspace") },
  flags: {
    ...jsonFlag,
    version: text("VERSION", "id of a version; default: the current one"),
    externalId: text("ID", "an id of your own, unique in the environment"),
    metadataJson: text("JSON", "metadata, an object"),
    tag: list("TAG", "tag of the workspace"),
    idempotencyKey: text("KEY", "a repeated fork with this key gives the same workspace"),
    idempotencyKeyTtl: text("DUR", "how long the key is remembered, such as 24h"),
  },
  async run(context) {
    const { flags } = context;
    const metadata = flags.metadataJson === undefined ? undefined : (typedJson(flags.metadataJson, "--metadata-json") as JsonObject);
    const api = await context.environment();
    const forked = await api.call("workspaces.fork", {
      params: { id: context.args.workspace },
      body: {
        version_id: flags.version,
        external_id: flags.externalId,
        metadata,
        tags: flags.tag.length === 0 ? undefined : flags.tag,
        idempotency_key: trimmedKey(flags.idempotencyKey),
        idempotency_key_ttl: flags.idempotencyKeyTtl,
      },
    });
    return flags.json ? context.out.json(forked) : printWorkspace(context, api, forked.workspace);
  },
});
