/** `helmr.config.ts`: which project this is and where its tasks are (sdk §2.1). */
import { brand, hasBrand } from "../brand.ts";
import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

export interface HelmrConfigInput {
  /** Slug or id of the project; used by the command line with a login, ignored with an API key. */
  readonly project: string;
  /** Directories with task modules, relative to this file. */
  readonly dirs: readonly string[];
  /** Replaces the default patterns of files that are left out: tests, and files whose names begin with an underscore. */
  readonly ignorePatterns?: readonly string[];
}

export interface HelmrConfig {
  readonly project: string;
  readonly dirs: readonly string[];
  readonly ignorePatterns?: readonly string[];
}

export function defineConfig(input: HelmrConfigInput): HelmrConfig {
  if (typeof input !== "object" || input === null) throw new DefinitionError("defineConfig needs an object with project and dirs");
  checkText(input.project, "project");
  checkTexts(input.dirs, "dirs");
  if (input.dirs.length === 0) throw new DefinitionError("dirs of helmr.config.ts must name at least one directory");
  if (input.ignorePatterns !== undefined) checkTexts(input.ignorePatterns, "ignorePatterns");
  const config: HelmrConfig = {
    project: input.project,
    dirs: Object.freeze([...input.dirs]),
    ...(input.ignorePatterns === undefined ? {} : { ignorePatterns: Object.freeze([...input.ignorePatterns]) }),
  };
  return Object.freeze(brand("Config", config));
}

function checkTexts(values: unknown, label: string): void {
  if (!Array.isArray(values)) throw new DefinitionError(`${label} of helmr.config.ts must be a list of texts`);
  for (const [index, value] of values.entries()) checkText(value, `${label}[${index}]`);
}

function checkText(value: unknown, label: string): void {
  if (typeof value !== "string" || value.trim() === "" || value.includes("\0")) {
    throw new DefinitionError(`${label} of helmr.config.ts must be a text that is not blank and has no NUL, and is ${shown(value)}`);
  }
}

export type ConfigReading = { ok: true; config: HelmrConfig } | { ok: false; failure: { kind: "missing_config"; message: string } };

/** Checks the default export of helmr.config.ts: it must come from `defineConfig`, of this or another copy of the SDK. */
export function readConfig(value: unknown): ConfigReading {
  if (hasBrand("Config", value)) return { ok: true, config: value as HelmrConfig };
  const found = value === undefined ? "there is none" : "it is something else";
  return {
    ok: false,
    failure: {
      kind: "missing_config",
      message: `The default export of helmr.config.ts must be the result of defineConfig({ project, dirs }), and ${found}`,
    },
  };
}
