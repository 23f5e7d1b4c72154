import type { JsonObject } from "@helmr/protocol/shared";
import { environmentCommand, jsonFlag, list, text } from "../../command.ts";
import { typedJson } from "../../http/raw-json.ts";
import { trimmedKey } from "../session/start-input.ts";
import { tokenLines } from "./lines.ts";

export const tokenCreate = environmentCommand({
  name: "token create",
  summary: "create a token that somebody outside completes",
  details: "The callback URL and the public token are shown only here. A repeated create with the same idempotency key shows them again.",
  examples: [
    { says: "an approval that may take a day", command: "helmr token create --timeout 24h --tag approval" },
    { says: "for a script", command: "helmr token create --idempotency-key order-4711 --json" },
  ],
  args: {},
  flags: {
    ...jsonFlag,
    timeout: text("DUR", "how long it may take, such as 24h; 7 days without it"),
    metadataJson: text("JSON", "metadata, an object"),
    tag: list("TAG", "tag of the token"),
    idempotencyKey: text("KEY", "a repeated create with this key gives the same token"),
  },
  async run(context) {
    const { flags } = context;
    const metadata = flags.metadataJson === undefined ? undefined : (typedJson(flags.metadataJson, "--metadata-json") as JsonObject);
    const api = await context.environment();
    const token = await api.call("tokens.create", {
      body: {
        timeout: flags.timeout,
        metadata,
        tags: flags.tag.length === 0 ? undefined : flags.tag,
        idempotency_key: trimmedKey(flags.idempotencyKey),
      },
    });
    return flags.json ? context.out.json(token) : context.out.lines(tokenLines(token));
  },
});
