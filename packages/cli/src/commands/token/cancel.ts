import { argument, environmentCommand, jsonFlag } from "../../command.ts";

export const tokenCancel = environmentCommand({
  name: "token cancel",
  summary: "cancel a pending token",
  examples: [{ says: "nobody is to complete it any more", command: "helmr token cancel 01980a00-0000-7000-8000-00000000000d" }],
  args: { token: argument("TOKEN", "id of the token") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const token = await api.call("tokens.cancel", { params: { id: context.args.token }, body: {} });
    return context.flags.json ? context.out.json(token) : context.out.line(`${token.id} ${token.status}`);
  },
});
