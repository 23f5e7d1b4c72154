import { argument, environmentCommand, jsonFlag, required, text } from "../../command.ts";
import { typedJson } from "../../http/raw-json.ts";

export const tokenComplete = environmentCommand({
  name: "token complete",
  summary: "complete a token and wake what waits on it",
  examples: [{ says: "approve", command: "helmr token complete 01980a00-0000-7000-8000-00000000000d --data-json '{\"approved\":true}'" }],
  args: { token: argument("TOKEN", "id of the token") },
  flags: { ...jsonFlag, dataJson: required(text("JSON", "what the wait gets")) },
  async run(context) {
    const data = typedJson(context.flags.dataJson, "--data-json");
    const api = await context.environment();
    const completed = await api.call("tokens.complete", { params: { id: context.args.token }, body: { data } });
    if (context.flags.json) return context.out.json(completed);
    const { token, status } = completed;
    return context.out.lines([`token_id: ${token.id}`, `token_status: ${token.status}`, `completion_status: ${status}`]);
  },
});
