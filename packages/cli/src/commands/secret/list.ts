import { environmentCommand, jsonFlag } from "../../command.ts";
import { instant } from "../../text/instant.ts";
import { tabbed } from "../../text/table.ts";

export const secretList = environmentCommand({
  name: "secret list",
  summary: "list the names of secrets",
  examples: [{ says: "name, last change and creation", command: "helmr secret list" }],
  scopeText: "layer",
  args: {},
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const { secrets } = await api.call("secrets.list");
    if (context.flags.json) return context.out.json({ secrets });
    return context.out.lines(secrets.map((secret) => tabbed(secret.name, instant(secret.updated_at), instant(secret.created_at))));
  },
});
