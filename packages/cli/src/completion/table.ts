/** What can stand behind each beginning of a command line; the scripts of all shells are made from it. */
import { type CommandSpec, flagName } from "../command.ts";
import type { Group } from "../commands/catalog.ts";

interface CompletionWord {
  word: string;
  says: string;
}

export interface CompletionFlag {
  long: string;
  short: string | undefined;
  takesValue: boolean;
  says: string;
}

export interface CompletionLevel {
  /** `session stream`; empty for the root. */
  path: string;
  words: readonly CompletionWord[];
  flags: readonly CompletionFlag[];
}

const everywhere: readonly CompletionFlag[] = [
  { long: "api-url", short: "a", takesValue: true, says: "base URL of the Helmr server" },
  { long: "help", short: "h", takesValue: false, says: "show help" },
];

export function completionTable(commands: readonly CommandSpec[], groups: readonly Group[]): CompletionLevel[] {
  const paths = new Set([""]);
  for (const { name } of commands) {
    const words = name.split(" ");
    for (let depth = 1; depth <= words.length; depth += 1) paths.add(words.slice(0, depth).join(" "));
  }
  return [...paths].map((path) => {
    const spec = commands.find((command) => command.name === path);
    const flags = Object.entries(spec?.flags ?? {}).map(([key, flag]): CompletionFlag => ({
      long: flagName(key),
      short: flag.short,
      takesValue: flag.kind !== "switch",
      says: flag.summary,
    }));
    const own = path === "" ? [{ long: "version", short: undefined, takesValue: false, says: "print the version" }] : flags;
    return { path, words: [...below(path, commands, groups), ...(path === "completion" ? shells : [])], flags: [...own, ...everywhere] };
  });
}

const shells: readonly CompletionWord[] = ["bash", "zsh", "fish"].map((word) => ({ word, says: `a script for ${word}` }));

function below(path: string, commands: readonly CommandSpec[], groups: readonly Group[]): CompletionWord[] {
  const prefix = path === "" ? "" : `${path} `;
  const words = commands
    .filter(({ name }) => name.startsWith(prefix) && name !== path)
    .map(({ name }) => name.slice(prefix.length).split(" ")[0] as string);
  return [...new Set(words)].map((word) => {
    const name = prefix + word;
    const says = commands.find((command) => command.name === name)?.summary ?? groups.find((group) => group.name === name)?.summary ?? "";
    return { word, says };
  });
}

/** Inside single quotes of a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Words of the command line that are not flags or values of flags lead to a level; these flags are followed by a value. */
export function flagsWithValue(levels: readonly CompletionLevel[]): string[] {
  const all = levels.flatMap((level) => level.flags.filter((flag) => flag.takesValue));
  return [...new Set(all.flatMap((flag) => [`--${flag.long}`, ...(flag.short === undefined ? [] : [`-${flag.short}`])]))];
}
