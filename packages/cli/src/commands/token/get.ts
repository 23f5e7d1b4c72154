import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { tokenLines } from "./lines.ts";

export const tokenGet = environmentCommand({
  name: "token get",
  summary: "show a token",
  examples: [{ says: "whether it was completed, and with what", command: "helmr token get 01980a00-0000-7000-8000-00000000000d --json" }],
  args: { token: argument("TOKEN", "id of the token") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const token = await api.call("tokens.get", { params: { id: context.args.token } });
    return context.flags.json ? context.out.json(token) : context.out.lines(tokenLines(token));
  },
});
