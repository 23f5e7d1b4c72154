/** Help pages, made from the same records the parser uses. Plain text without colours: stdout is the same on a terminal and in a file. */
import { type Argument, type CommandSpec, type Example, type Flag, flagName } from "./command.ts";
import type { Group } from "./commands/catalog.ts";

interface Row {
  left: string;
  right: string;
}

const globalRows: Row[] = [
  { left: "-a, --api-url URL", right: "base URL of the Helmr server" },
  { left: "-h, --help", right: "show this help" },
];

const environmentTopic = [
  "Environment:",
  "  HELMR_API_URL    base URL of the server, when --api-url is not given",
  "  HELMR_API_KEY    API key of an environment; without it the saved login is used",
  "  HELMR_CONFIG_DIR where config.toml and credentials.json are kept",
];

export function rootHelp(groups: readonly Group[], commands: readonly CommandSpec[]): string {
  return page([
    ["Run TypeScript tasks in virtual machines of their own, over workspaces that last."],
    ["Usage:", "  helmr COMMAND [flags]"],
    ["Commands:", ...aligned(rowsBelow("", groups, commands))],
    ["Flags:", ...aligned([...globalRows, { left: "    --version", right: "print the version" }])],
    environmentTopic,
    ["Run `helmr COMMAND --help` for the flags and examples of a command."],
  ]);
}

export function groupHelp(group: Group, groups: readonly Group[], commands: readonly CommandSpec[]): string {
  return page([
    [sentence(group.summary)],
    ["Usage:", `  helmr ${group.name} COMMAND [flags]`],
    ["Commands:", ...aligned(rowsBelow(group.name, groups, commands))],
    ["Flags:", ...aligned(globalRows)],
    [`Run \`helmr ${group.name} COMMAND --help\` for the flags and examples of a command.`],
  ]);
}

/** `commands` and `groups` are all there are: a command may have others below it. */
export function commandHelp(spec: CommandSpec, groups: readonly Group[], commands: readonly CommandSpec[]): string {
  return page([
    [sentence(spec.summary)],
    spec.details === undefined ? [] : wrapped(spec.details),
    ["Usage:", `  ${usageLine(spec)}${spec.passesCommand ? "" : " [flags]"}`],
    section("Arguments:", aligned(Object.values(spec.args).map((arg) => ({ left: arg.placeholder, right: arg.summary })))),
    section("Flags:", aligned([...Object.entries(spec.flags).map(flagRow), ...globalRows])),
    section("Commands:", aligned(rowsBelow(spec.name, groups, commands))),
    section("Examples:", spec.examples.flatMap(exampleLines)),
    needsLines(spec),
  ]);
}

/** `helmr run get RUN` */
export function usageLine(spec: CommandSpec): string {
  const args = Object.values(spec.args).map(argumentText);
  if (spec.passesCommand) args.splice(1, 0, "--");
  return ["helmr", spec.name, ...args].join(" ");
}

function argumentText(arg: Argument<unknown>): string {
  if (arg.kind === "one") return arg.placeholder;
  return arg.kind === "optional" ? `[${arg.placeholder}]` : arg.placeholder;
}

function flagRow([key, flag]: [string, Flag<unknown>]): Row {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const value = flag.placeholder === "" ? "" : ` ${flag.placeholder}`;
  const marks = [...(flag.required ? ["required"] : []), ...(flag.kind === "list" ? ["may be repeated"] : [])];
  return { left: `${short}--${flagName(key)}${value}`, right: marks.length === 0 ? flag.summary : `${flag.summary} (${marks.join(", ")})` };
}

function exampleLines(example: Example): string[] {
  return [`  # ${example.says}`, `  ${example.command}`];
}

function needsLines(spec: CommandSpec): string[] {
  if (spec.needs === "environment") return ["Needs HELMR_API_KEY, or `helmr login` together with --project and --env."];
  if (spec.needs === "login") return ["Needs `helmr login`; HELMR_API_KEY is not used."];
  return [];
}

/** What stands directly below a noun; below nothing: the first words. */
function rowsBelow(noun: string, groups: readonly Group[], commands: readonly CommandSpec[]): Row[] {
  const prefix = noun === "" ? "" : `${noun} `;
  const below = commands.filter(({ name }) => name.startsWith(prefix));
  return [...new Set(below.map(({ name }) => name.slice(prefix.length).split(" ")[0] as string))].map((word) => {
    const name = prefix + word;
    const group = groups.find((candidate) => candidate.name === name);
    return { left: word, right: below.find((command) => command.name === name)?.summary ?? group?.summary ?? "" };
  });
}

function aligned(rows: readonly Row[]): string[] {
  const width = Math.max(0, ...rows.map((row) => row.left.length));
  return rows.map((row) => `  ${row.left.padEnd(width)}  ${row.right}`.trimEnd());
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Words to lines of at most 100 characters; a line break in the text stays one. */
function wrapped(text: string): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines: string[] = [];
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > 100) {
        lines.push(line);
        line = word;
      } else {
        line = line === "" ? word : `${line} ${word}`;
      }
    }
    return [...lines, line];
  });
}

function page(sections: readonly (readonly string[])[]): string {
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}
