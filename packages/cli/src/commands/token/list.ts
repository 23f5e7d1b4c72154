import { environmentCommand, jsonFlag, limit, text } from "../../command.ts";
import { tabbed } from "../../text/table.ts";
import { timeoutText } from "./lines.ts";

export const tokenList = environmentCommand({
  name: "token list",
  summary: "list tokens, oldest first",
  examples: [{ says: "what is waited for", command: "helmr token list --status pending" }],
  args: {},
  flags: {
    ...jsonFlag,
    status: text("STATUS", "only pending, completed, expired or cancelled ones"),
    limit: limit("at most so many tokens"),
  },
  async run(context) {
    const { flags } = context;
    const api = await context.environment();
    const { tokens } = await api.call("tokens.list", { query: { status: flags.status, limit: flags.limit } });
    if (flags.json) return context.out.json({ tokens });
    return context.out.lines(tokens.map((token) => tabbed(token.id, token.status, timeoutText(token), (token.tags ?? []).join(","))));
  },
});
