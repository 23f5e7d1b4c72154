import type { JsonObject } from "@helmr/protocol/shared";
import { environmentCommand, jsonFlag, list, required, text } from "../../command.ts";
import { typedJson } from "../../http/raw-json.ts";
import { trimmedKey } from "../session/start-input.ts";
import { printWorkspace } from "./lines.ts";

export const workspaceCreate = environmentCommand({
  name: "workspace create",
  summary: "create an empty workspace for a sandbox",
  examples: [
    { says: "of the sandbox default", command: "helmr workspace create --sandbox default" },
    {
      says: "with an id of your own, at most once",
      command: "helmr workspace create --sandbox default --external-id repo-42 --idempotency-key repo-42 --json",
    },
  ],
  args: {},
  flags: {
    ...jsonFlag,
    sandbox: required(text("ID", "id of a sandbox of the current deployment")),
    externalId: text("ID", "an id of your own, unique in the environment"),
    metadataJson: text("JSON", "metadata, an object"),
    tag: list("TAG", "tag of the workspace"),
    idempotencyKey: text("KEY", "a repeated create with this key gives the same workspace"),
    idempotencyKeyTtl: text("DUR", "how long the key is remembered, such as 24h"),
  },
  async run(context) {
    const { flags } = context;
    const metadata = flags.metadataJson === undefined ? undefined : (typedJson(flags.metadataJson, "--metadata-json") as JsonObject);
    const api = await context.environment();
    const created = await api.call("workspaces.create", {
      body: {
        sandbox_id: flags.sandbox,
        external_id: flags.externalId,
        metadata,
        tags: flags.tag.length === 0 ? undefined : flags.tag,
        idempotency_key: trimmedKey(flags.idempotencyKey),
        idempotency_key_ttl: flags.idempotencyKeyTtl,
      },
    });
    return flags.json ? context.out.json(created) : printWorkspace(context, api, created.workspace);
  },
});
