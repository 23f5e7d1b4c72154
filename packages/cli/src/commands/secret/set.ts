import { argument, environmentCommand, jsonFlag, optionalArgument, text } from "../../command.ts";
import type { Context } from "../../context.ts";
import { Failure } from "../../failure.ts";
import { readAllText } from "../../terminal/input.ts";

export const secretSet = environmentCommand({
  name: "secret set",
  summary: "create or replace a secret",
  details:
    "Without VALUE and --value the value is all of stdin, verbatim: a line break at its end is part of it.\n" +
    "A value on the command line ends up in the history of the shell.",
  examples: [
    { says: "from a file", command: "helmr secret set DEPLOY_KEY < deploy_key.pem" },
    { says: "from another program, without a line break", command: 'printf %s "$TOKEN" | helmr secret set GITHUB_TOKEN' },
  ],
  scopeText: "layer",
  args: { name: argument("NAME", "name of the secret"), value: optionalArgument("VALUE", "its value; stdin without it") },
  flags: { ...jsonFlag, value: text("V", "its value, as a flag") },
  async run(context) {
    const { args, flags } = context;
    if (args.value !== undefined && flags.value !== undefined) throw new Failure("the value was given twice, as VALUE and as --value");
    const given = args.value ?? flags.value;
    const api = await context.environment();
    const secret = await api.call("secrets.put", {
      params: { name: args.name },
      body: { value: given ?? (await valueFromStdin(context)) },
    });
    return flags.json ? context.out.json(secret) : context.out.line(secret.name);
  },
});

async function valueFromStdin(context: Pick<Context, "host" | "err" | "signal">): Promise<string> {
  if (context.host.stdin.isTTY) await context.err.line("reading the value from stdin; end it with Ctrl-D");
  return readAllText(context.host.stdin, { what: "the value of the secret", signal: context.signal });
}
