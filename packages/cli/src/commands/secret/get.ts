import { argument, environmentCommand, jsonFlag } from "../../command.ts";
import { instant } from "../../text/instant.ts";

export const secretGet = environmentCommand({
  name: "secret get",
  summary: "show a secret, without its value",
  details: "Values go in and never come out again.",
  examples: [{ says: "when it was last set", command: "helmr secret get GITHUB_TOKEN" }],
  scopeText: "layer",
  args: { name: argument("NAME", "name of the secret") },
  flags: jsonFlag,
  async run(context) {
    const api = await context.environment();
    const secret = await api.call("secrets.get", { params: { name: context.args.name } });
    if (context.flags.json) return context.out.json(secret);
    return context.out.lines([
      `Name: ${secret.name}`,
      `Project: ${secret.project_id}`,
      `Environment: ${secret.environment_id}`,
      `Created: ${instant(secret.created_at)}`,
      `Updated: ${instant(secret.updated_at)}`,
    ]);
  },
});
