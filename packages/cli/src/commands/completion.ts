import { argument, command } from "../command.ts";
import { bashCompletion } from "../completion/bash.ts";
import { fishCompletion } from "../completion/fish.ts";
import { completionTable } from "../completion/table.ts";
import { zshCompletion } from "../completion/zsh.ts";
import { Failure } from "../failure.ts";

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completion = command({
  name: "completion",
  summary: "print a completion script for a shell",
  examples: [
    { says: "bash, for this session", command: "source <(helmr completion bash)" },
    { says: "zsh, into a directory of $fpath", command: "helmr completion zsh > ~/.zfunc/_helmr" },
    { says: "fish", command: "helmr completion fish > ~/.config/fish/completions/helmr.fish" },
  ],
  needs: "nothing",
  args: { shell: argument("SHELL", "bash, zsh or fish") },
  flags: {},
  async run(context) {
    const { shell } = context.args;
    if (!Object.hasOwn(scripts, shell)) throw new Failure(`no completion for ${JSON.stringify(shell)}; use bash, zsh or fish`);
    const { commands, groups } = context.catalog;
    await context.out.write(scripts[shell as keyof typeof scripts](completionTable(commands, groups)));
  },
});
