import { argument, environmentCommand, toggle } from "../../command.ts";

export const secretDelete = environmentCommand({
  name: "secret delete",
  summary: "delete a secret",
  details: "Tasks that declare it can no longer be started.",
  examples: [{ says: "without a question", command: "helmr secret delete GITHUB_TOKEN --yes" }],
  scopeText: "layer",
  args: { name: argument("NAME", "name of the secret") },
  flags: { yes: toggle("do it without asking; needed where nobody can be asked") },
  async run(context) {
    const { name } = context.args;
    await context.confirm(`Delete the secret ${name}?`);
    const api = await context.environment();
    await api.call("secrets.delete", { params: { name } });
    return context.out.line(name);
  },
});
