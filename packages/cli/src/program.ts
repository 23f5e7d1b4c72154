/**
 * From an argument list to an exit code. commander reads the arguments; what there is to read comes from the command records. Every
 * failure ends here as one line on stderr (cli §1).
 */
import { createHash } from "node:crypto";
import { helmrVersion } from "@helmr/protocol/shared";
import { Argument as CommanderArgument, Command, CommanderError, Option } from "commander";
import { type Argument, type CommandSpec, type Flag, flagName } from "./command.ts";
import { commands, groups } from "./commands/catalog.ts";
import { Context } from "./context.ts";
import { Failure, SilentExit, oneLine, reasonOf } from "./failure.ts";
import { commandHelp, groupHelp, rootHelp, usageLine } from "./help.ts";
import type { Host } from "./host.ts";
import { coloursFor, isInteractive } from "./terminal/interaction.ts";
import { Output } from "./terminal/output.ts";

interface Outputs {
  out: Output;
  err: Output;
}

/** A help page or the version was asked for: text for stdout, nothing else to do. */
class Page extends Error {
  readonly text: string;

  constructor(text: string) {
    super("page");
    this.text = text;
  }
}

export async function runCli(host: Host, argv: readonly string[]): Promise<number> {
  const outputs: Outputs = { out: new Output(host.stdout), err: new Output(host.stderr) };
  let code = 0;
  try {
    const chosen = parse(argv);
    await chosen.spec.run(contextOf(host, chosen, outputs));
  } catch (error) {
    if (error instanceof Page) await outputs.out.write(error.text);
    else code = await report(host, outputs, error);
  }
  await Promise.all([outputs.out.flush(), outputs.err.flush()]);
  return code;
}

async function report(host: Host, { err }: Outputs, error: unknown): Promise<number> {
  const cause: unknown = host.signal.aborted && !(error instanceof SilentExit) ? host.signal.reason : error;
  if (cause instanceof SilentExit) return cause.exitCode;
  const { red } = coloursFor(isInteractive(host, false));
  if (cause instanceof Failure) {
    await err.line(red(cause.message));
    return cause.exitCode;
  }
  const id = createHash("sha256")
    .update(String((cause as Error | undefined)?.stack ?? cause))
    .digest("hex")
    .slice(0, 10);
  await err.line(red(`unexpected error ${id} (helmr ${helmrVersion}): ${oneLine(reasonOf(cause))}; please report it`));
  if ((host.env["HELMR_DEBUG"] ?? "") !== "") await err.line(String((cause as Error | undefined)?.stack));
  return 1;
}

function contextOf(host: Host, { spec, args, flags, apiUrl, passed }: Chosen, outputs: Outputs): Context {
  const scopeText = spec.scopeText ?? "flags";
  return new Context(host, {
    args: args,
    flags: flags,
    apiUrl,
    passed,
    name: spec.name,
    scopeText,
    outputs,
    catalog: { commands, groups },
  });
}

interface Chosen {
  spec: CommandSpec;
  args: Record<string, unknown>;
  flags: Record<string, unknown>;
  apiUrl: string | undefined;
  passed: readonly string[] | undefined;
}

/** Commands of the single-machine install, which the script `helmr` of a checkout takes before it comes to us (cli §6). */
const frontDoorWords = new Set(["up", "down", "doctor", "test", "worker"]);

function parse(argv: readonly string[]): Chosen {
  const [word] = argv;
  if (word !== undefined && frontDoorWords.has(word)) {
    throw new Failure(`${word} belongs to the single-machine install; run ./helmr ${word} in a checkout of Helmr`);
  }
  let chosen: Chosen | undefined;
  const passed = passedCommand(argv);
  const program = programTree((spec, leaf, values) => {
    chosen = { spec, args: argumentValues(spec, passed, values), flags: flagValues(spec, leaf), apiUrl: apiUrlOf(leaf), passed };
  });
  try {
    // `helmr help run get` is `helmr run get --help`.
    program.parse(argv[0] === "help" ? [...argv.slice(1), "--help"] : [...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw new Failure(usageText(error), { cause: error });
    throw error;
  }
  if (chosen === undefined) throw new Page(rootHelp(groups, commands));
  return chosen;
}

function passedCommand(argv: readonly string[]): readonly string[] | undefined {
  const at = argv.indexOf("--");
  return at === -1 ? undefined : argv.slice(at + 1);
}

type OnChosen = (spec: CommandSpec, leaf: Command, values: readonly unknown[]) => void;

function programTree(onChosen: OnChosen): Command {
  const program = prepared(new Command("helmr"), () => rootHelp(groups, commands));
  program.option("--version", "print the version").on("option:version", () => {
    throw new Page(`${helmrVersion}\n`);
  });
  for (const spec of commands) {
    const words = spec.name.split(" ");
    let parent = program;
    for (let depth = 1; depth < words.length; depth += 1) parent = groupOf(parent, words.slice(0, depth));
    parent.addCommand(leafOf(spec, onChosen));
  }
  return program;
}

function groupOf(parent: Command, words: readonly string[]): Command {
  const name = words.at(-1) as string;
  const existing = parent.commands.find((child) => child.name() === name);
  if (existing) return existing;
  const group = groups.find((candidate) => candidate.name === words.join(" "));
  const help = () => (group === undefined ? rootHelp(groups, commands) : groupHelp(group, groups, commands));
  const created = prepared(new Command(name), help);
  parent.addCommand(created);
  return created;
}

/** What every level has: -a, -h, no output and no exit of commander's own. Flags belong to the level they stand behind. */
function prepared(level: Command, help: () => string): Command {
  const showHelp = (): never => {
    throw new Page(help());
  };
  level
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {}, outputError: () => {} })
    .enablePositionalOptions()
    .helpCommand(false)
    .helpOption(false)
    .addOption(new Option("-a, --api-url <URL>", "base URL"))
    .addOption(new Option("-h, --help", "show help"))
    .on("option:help", showHelp);
  // What commander calls for a group without a verb.
  return Object.assign(level, { help: showHelp });
}

function leafOf(spec: CommandSpec, onChosen: OnChosen): Command {
  const leaf = prepared(new Command(spec.name.split(" ").at(-1)), () => commandHelp(spec, groups, commands));
  if (spec.passesCommand) leaf.addArgument(new CommanderArgument("[ARGS...]"));
  else for (const arg of Object.values(spec.args)) leaf.addArgument(new CommanderArgument(argumentText(arg)));
  for (const [key, flag] of Object.entries(spec.flags)) leaf.addOption(optionOf(flagName(key), flag));
  return leaf.action(() => onChosen(spec, leaf, leaf.processedArgs));
}

function argumentText(arg: Argument<unknown>): string {
  if (arg.kind === "one") return `<${arg.placeholder}>`;
  return arg.kind === "optional" ? `[${arg.placeholder}]` : `[${arg.placeholder}...]`;
}

function optionOf(name: string, flag: Flag<unknown>): Option {
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const option = new Option(`${short}--${name}${flag.kind === "switch" ? "" : ` <${flag.placeholder}>`}`, flag.summary);
  if (flag.kind === "switch") return option;
  return option.argParser((text: string, before: unknown) => {
    const value = flag.parse(text, name);
    return flag.kind === "list" ? [...((before as unknown[] | undefined) ?? []), value] : value;
  });
}

function argumentValues(spec: CommandSpec, passed: readonly string[] | undefined, values: readonly unknown[]): Record<string, unknown> {
  const keys = Object.keys(spec.args);
  if (!spec.passesCommand) return Object.fromEntries(keys.map((key, index) => [key, values[index]]));
  const all = (values[0] as string[] | undefined) ?? [];
  const before = all.slice(0, all.length - (passed?.length ?? 0));
  if (passed === undefined || passed.length === 0 || before.length !== 1) throw new Failure(`usage: ${usageLine(spec)}`);
  return { [keys[0] as string]: before[0], [keys[1] as string]: passed };
}

function flagValues(spec: CommandSpec, leaf: Command): Record<string, unknown> {
  const values = leaf.opts<Record<string, unknown>>();
  return Object.fromEntries(Object.entries(spec.flags).map(([key, flag]) => [key, flagValue({ key, flag, values })]));
}

function flagValue({ key, flag, values }: { key: string; flag: Flag<unknown>; values: Record<string, unknown> }): unknown {
  const name = flagName(key);
  // commander reads `--no-x` as the absence of `--x`.
  const value = name.startsWith("no-") ? values[name.slice(3)] === false : values[key];
  if (flag.kind === "switch") return value === true;
  if (flag.kind === "list") return value ?? [];
  if (value === undefined && flag.required) throw new Failure(`--${name} is required`);
  return value;
}

/** The innermost one that was given. */
function apiUrlOf(leaf: Command): string | undefined {
  for (let level: Command | null = leaf; level !== null; level = level.parent) {
    const url = level.opts<{ apiUrl?: string }>().apiUrl;
    if (url !== undefined) return url;
  }
  return undefined;
}

function usageText(error: CommanderError): string {
  return oneLine(error.message.replace(/^error: /, ""));
}
