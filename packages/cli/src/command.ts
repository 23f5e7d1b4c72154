/**
 * A command is data: what it is called, what it takes, what it needs, and `run`. The parser (program.ts), the help pages (help.ts), shell
 * completion and the tests all read the same records, in the order in which cli.md lists them.
 *
 * Flags are declared as a record whose keys become `--kebab-case`; their types reach `run` through `context.flags`.
 */
import { Failure } from "./failure.ts";
import type { Context } from "./context.ts";

export interface Flag<T> {
  kind: "switch" | "value" | "list";
  summary: string;
  /** What stands for the value in help, for example `ID`; empty for a switch. */
  placeholder: string;
  short?: string;
  required?: boolean;
  /** From one text to its value; throws a Failure. */
  parse(text: string, name: string): unknown;
  /** Carries the type only. */
  readonly type?: T;
}

export interface Argument<T> {
  kind: "one" | "optional" | "rest";
  placeholder: string;
  summary: string;
  readonly type?: T;
}

// oxlint-disable-next-line typescript/no-explicit-any -- the record's own members carry the types
export type Flags = Record<string, Flag<any>>;
// oxlint-disable-next-line typescript/no-explicit-any -- as above
export type Arguments = Record<string, Argument<any>>;

export type FlagValues<F extends Flags> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };
export type ArgumentValues<A extends Arguments> = { [K in keyof A]: A[K] extends Argument<infer T> ? T : never };

export interface Example {
  command: string;
  says: string;
}

/**
 * - `environment`: a project and environment: an API key, or a saved login with -p and -e
 * - `login`: a saved login; HELMR_API_KEY is ignored
 * - `nothing`: resolves what it needs itself, if anything
 */
type Needs = "environment" | "login" | "nothing";

export interface CommandSpec<F extends Flags = Flags, A extends Arguments = Arguments> {
  /** `run get`; one word for the few bare verbs. */
  name: string;
  summary: string;
  /** Further sentences for the help page. */
  details?: string;
  examples: readonly Example[];
  needs: Needs;
  /** The HTTP layer's texts for a wrong scope instead of the flags' own (cli §2). */
  scopeText?: "flags" | "layer";
  args: A;
  flags: F;
  /** `--` separates the arguments from a command line that is passed on as it is. */
  passesCommand?: boolean;
  run(context: Context<F, A>): Promise<void>;
}

/** Scope flags, declared once so that every command has the same ones. */
export const scopeFlags = {
  project: text("PROJECT", "project, by slug or id", { short: "p" }),
  env: text("ENV", "environment, by slug or id", { short: "e" }),
};
export type ScopeFlags = typeof scopeFlags;

export const jsonFlag = { json: toggle("print JSON") };

export function command<const F extends Flags, const A extends Arguments>(spec: CommandSpec<F, A>): CommandSpec {
  return spec;
}

/** Adds -p and -e in front of a command's own flags. */
export function environmentCommand<const F extends Flags, const A extends Arguments>(
  spec: Omit<CommandSpec<ScopeFlags & F, A>, "needs" | "flags"> & { flags: F },
): CommandSpec {
  return { ...spec, needs: "environment", flags: { ...scopeFlags, ...spec.flags } } as unknown as CommandSpec;
}

export function toggle(summary: string): Flag<boolean> {
  return { kind: "switch", summary, placeholder: "", parse: () => true };
}

export function text(placeholder: string, summary: string, options: { short?: string } = {}): Flag<string | undefined> {
  return { kind: "value", summary, placeholder, ...options, parse: (value) => value };
}

export function required<T>(flag: Flag<T | undefined>): Flag<T> {
  return { ...flag, required: true };
}

export function list(placeholder: string, summary: string): Flag<string[]> {
  return { kind: "list", summary, placeholder, parse: (value) => value };
}

export function integer(placeholder: string, summary: string, range: { min: number; max: number }): Flag<number | undefined> {
  return {
    kind: "value",
    summary,
    placeholder,
    parse: (value, name) => {
      const number = /^[+-]?\d{1,16}$/.test(value.trim()) ? Number(value) : Number.NaN;
      if (number >= range.min && number <= range.max) return number;
      throw new Failure(`--${name} must be an integer between ${range.min} and ${range.max}, not ${JSON.stringify(value)}`);
    },
  };
}

/** A sequence or offset. */
export function cursor(summary: string): Flag<number | undefined> {
  return integer("N", summary, { min: 0, max: Number.MAX_SAFE_INTEGER });
}

export function limit(summary: string): Flag<number | undefined> {
  return integer("N", summary, { min: 1, max: 2_147_483_647 });
}

export function argument(placeholder: string, summary: string): Argument<string> {
  return { kind: "one", placeholder, summary };
}

export function optionalArgument(placeholder: string, summary: string): Argument<string | undefined> {
  return { kind: "optional", placeholder, summary };
}

export function restArguments(placeholder: string, summary: string): Argument<string[]> {
  return { kind: "rest", placeholder, summary };
}

/** `payloadJson` is `--payload-json`. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
