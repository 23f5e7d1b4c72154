/**
 * Loads helmr.config.ts (cli §5.2): compiled here, evaluated in a fresh process with a time limit, so that what it does cannot harm or
 * hang the command line. Syntax and import errors are found while compiling, with file, line and column; errors of its own code are traced
 * back to the source.
 *
 * Packages stay external and are loaded by the child as always, except those whose entry is TypeScript (workspaces of a repository), which
 * no Node version loads from node_modules.
 */
import { SourceMap, type SourceMapPayload, isBuiltin } from "node:module";
import { access } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { BuildFailure, Message, Plugin } from "esbuild";
import { Failure, oneLine } from "../failure.ts";
import { runProgram } from "./run-program.ts";

const configName = "helmr.config.ts";
const evaluationMsMax = 30_000;
const brand = "helmr.sdk.Config";
/** With which Node ends when nothing is left that could settle a top-level await. */
const unsettledAwaitCode = 13;

export interface ProjectConfig {
  project: string;
  dirs: string[];
  ignorePatterns?: string[];
}

export interface ConfigOptions {
  directory: string;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  onOutput?: (text: string) => void;
}

type Told = { config: ProjectConfig } | { unbranded: true } | { error: { text: string; stack: string } };

export async function loadConfig(options: ConfigOptions): Promise<ProjectConfig> {
  const { directory } = options;
  if (
    !(await access(path.join(directory, configName)).then(
      () => true,
      () => false,
    ))
  ) {
    throw new Failure(`${path.join(directory, configName)} was not found; helmr init makes one`);
  }
  const { code, map } = await compiled(directory);
  const end = await runProgram({
    command: process.execPath,
    args: ["--input-type=module", "-"],
    cwd: directory,
    env: options.env,
    timeoutMs: evaluationMsMax,
    signal: options.signal,
    input: code,
    result: true,
    ...(options.onOutput === undefined ? {} : { onOutput: options.onOutput }),
  });
  if (end.kind === "timed_out") throw new Failure(`${configName} took longer than ${evaluationMsMax / 1_000} s to load`);
  if (end.kind === "not_started") throw new Failure(`${configName} could not be loaded: ${end.reason}`);
  const told = toldBy(end.result);
  if (told === undefined) throw new Failure(`${configName} could not be loaded: ${lastError(end.output, end.code)}`);
  if ("error" in told) throw new Failure(`${position(told.error.stack, map, directory)}: ${told.error.text}`);
  if ("unbranded" in told) throw new Failure(`the default export of ${configName} must come from defineConfig of @helmr/sdk`);
  return told.config;
}

/** Runs before the project's code: whatever goes wrong there is told in one piece. */
const prologue = `
import { writeSync } from "node:fs";
const tell = (value) => writeSync(3, JSON.stringify(value));
process.setUncaughtExceptionCaptureCallback((error) => {
  const known = error instanceof Error;
  tell({ error: { text: known ? String(error) : "threw " + String(error), stack: known ? String(error.stack) : "" } });
  process.exit(1);
});
process.on("unhandledRejection", (error) => { throw error; });
globalThis[Symbol.for("helmr.cli.tell")] = tell;
`;

const entry = `
import "helmr:prologue";
import * as loaded from "./${configName}";
const config = loaded.default;
const branded = typeof config === "object" && config !== null && config[Symbol.for("${brand}")] !== undefined;
globalThis[Symbol.for("helmr.cli.tell")](branded
  ? { config: { project: config.project, dirs: config.dirs, ignorePatterns: config.ignorePatterns } }
  : { unbranded: true });
process.exit(0);
`;

async function compiled(directory: string): Promise<{ code: string; map: SourceMap }> {
  const { build } = await import("esbuild");
  try {
    const result = await build({
      stdin: { contents: entry, resolveDir: directory, sourcefile: "helmr:entry", loader: "js" },
      absWorkingDir: directory,
      bundle: true,
      write: false,
      outdir: directory,
      format: "esm",
      platform: "node",
      target: "node20.19",
      sourcemap: "external",
      logLevel: "silent",
      define: { "import.meta.url": JSON.stringify(pathToFileURL(path.join(directory, configName)).href) },
      plugins: [packagesPlugin],
    });
    const find = (extension: string) => result.outputFiles.find((file) => file.path.endsWith(extension))?.text ?? "";
    return { code: find(".js"), map: new SourceMap(JSON.parse(find(".map")) as SourceMapPayload) };
  } catch (error) {
    const [first] = (error as Partial<BuildFailure>).errors ?? [];
    if (first === undefined) throw error;
    throw new Failure(messageText(first), { cause: error });
  }
}

const packagesPlugin: Plugin = {
  name: "helmr-packages",
  setup(build) {
    build.onResolve({ filter: /^helmr:prologue$/ }, () => ({ path: "prologue", namespace: "helmr" }));
    build.onLoad({ filter: /^prologue$/, namespace: "helmr" }, () => ({ contents: prologue, loader: "js" }));
    build.onResolve({ filter: /^[^./]/ }, async (args) => {
      if (args.pluginData === "resolved" || args.kind === "entry-point") return undefined;
      if (isBuiltin(args.path)) return { path: args.path, external: true };
      const { importer, namespace, resolveDir, kind } = args;
      const found = await build.resolve(args.path, { importer, namespace, resolveDir, kind, pluginData: "resolved" });
      // Its errors stand at the import; what is found inside the project (tsconfig paths) or is TypeScript is compiled with it.
      if (found.errors.length > 0) return { errors: found.errors };
      const inPackage = found.path.split(path.sep).includes("node_modules");
      const isTypeScript = /\.[cm]?tsx?$/.test(found.path);
      return inPackage && !isTypeScript ? { path: args.path, external: true } : found;
    });
  },
};

/** Columns of esbuild count from 0. */
function messageText(message: Message): string {
  const at = message.location;
  return at === null ? message.text : `${at.file}:${at.line}:${at.column + 1}: ${message.text}`;
}

function toldBy(text: string): Told | undefined {
  if (text === "") return undefined;
  return JSON.parse(text) as Told;
}

/** The first frame of the stack that belongs to the project, traced back to the source. */
function position(stack: string, map: SourceMap, directory: string): string {
  for (const match of stack.matchAll(/\[(?:eval1?|stdin)\]:(\d+):(\d+)/g)) {
    const found = map.findEntry(Number(match[1]) - 1, Number(match[2]) - 1);
    if (!("originalSource" in found) || found.originalSource.startsWith("helmr:")) continue;
    const file = path.relative(directory, path.resolve(directory, found.originalSource));
    // Packages check what the config gives them: the mistake is where they were called.
    if (file.startsWith("..") || file.includes("node_modules")) continue;
    return `${file}:${found.originalLine + 1}:${found.originalColumn + 1}`;
  }
  return configName;
}

/** For a child that died without telling: the line of its output that says why. */
function lastError(output: string, code: number): string {
  if (code === unsettledAwaitCode) return "an await at its top level never settles";
  const lines = output.split(/\r?\n/).filter((line) => line.trim() !== "");
  const named = lines.find((line) => /^\w*Error\b.*:/.test(line));
  return oneLine(named ?? lines.at(-1) ?? `the process ended with exit code ${code}`);
}
