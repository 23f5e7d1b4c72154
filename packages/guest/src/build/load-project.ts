/** From sources to declarations: the steps of the builder, each with what a project can do wrong in it. */
import { existsSync } from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import type { ProjectIndex } from "@helmr/protocol/guest";
import { type Discovery, type HelmrConfig, indexProject, type LoadedModule, readConfig, startDiscovery } from "@helmr/sdk/runtime";
import { type BuilderStart, type FromBuilder, ProjectError } from "./builder-pipe.ts";
import { compile, compiledName, compiledPath } from "./compile.ts";
import { taskFiles } from "./task-files.ts";

const configFile = "helmr.config.ts";

export async function loadProject(start: BuilderStart, say: (message: FromBuilder) => void): Promise<ProjectIndex> {
  const discovery = startDiscovery();
  say({ type: "phase", phase: "configuring", message: `Reading ${configFile}` });
  const config = await loadConfig(start, say);
  const entries = taskFiles({
    source: start.source,
    dirs: config.dirs,
    ...(config.ignorePatterns === undefined ? {} : { ignorePatterns: config.ignorePatterns }),
  });
  say({ type: "phase", phase: "compiling", message: `Compiling ${entries.length} ${entries.length === 1 ? "module" : "modules"}` });
  const common = { source: start.source, entries };
  if (entries.length > 0) {
    await Promise.all([
      compile({ ...common, outDirectory: start.compiled, sdk: start.sdk, shareModules: false }),
      compile({ ...common, outDirectory: start.work, sdk: undefined, shareModules: true }),
    ]);
  }
  say({ type: "phase", phase: "indexing", message: "Loading the project's modules" });
  const modules: LoadedModule[] = [];
  for (const file of entries) {
    say({ type: "loading", file });
    modules.push({ file, module: `.helmr/compiled/${compiledName(file)}`, exports: await load(file, start) });
  }
  return declarations(modules, discovery);
}

async function loadConfig(start: BuilderStart, say: (message: FromBuilder) => void): Promise<HelmrConfig> {
  if (!existsSync(join(start.source, configFile)))
    throw new ProjectError("missing_config", `${configFile} is missing at the root of the project`);
  await compile({ source: start.source, entries: [configFile], outDirectory: start.work, sdk: undefined, shareModules: false });
  say({ type: "loading", file: configFile });
  const reading = readConfig((await load(configFile, start))["default"]);
  if (!reading.ok) throw new ProjectError(reading.failure.kind, reading.failure.message);
  return reading.config;
}

function declarations(modules: readonly LoadedModule[], discovery: Discovery): ProjectIndex {
  const result = indexProject({ modules, discovery });
  discovery.stop();
  if (!result.ok) throw new ProjectError(result.failure.kind, result.failure.message);
  return result.index;
}

async function load(file: string, start: BuilderStart): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(compiledPath(start.work, file)).href)) as Record<string, unknown>;
  } catch (error) {
    throw new ProjectError("task_parse_failed", importFailure({ file, error, start }));
  }
}

function importFailure({ file, error, start }: { file: string; error: unknown; start: BuilderStart }): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
    const missing = /^Cannot find (?:package|module) '([^']+)'/.exec(message)?.[1]?.split("/node_modules/").at(-1);
    if (missing !== undefined) {
      return `${file}: the dependency "${missing}" cannot be resolved. Declare it under dependencies in package.json, so that the deployment installs it, or install it at /opt/helmr-task/node_modules in the image`;
    }
  }
  process.stderr.write(`${error instanceof Error ? inspect(error) : `A value was thrown: ${inspect(error)}`}\n`);
  const summary = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  const place = error instanceof Error ? sourcePlace(error.stack ?? "", start.source) : undefined;
  return `${place ?? file}: failed while the module was loaded: ${summary}`;
}

/** The first place of a stack that is in the project's sources, as `file:line:column`. */
function sourcePlace(stack: string, source: string): string | undefined {
  for (const [, path = "", position] of stack.matchAll(/\(?((?:file:\/\/)?\/[^\s()]+?):(\d+:\d+)\)?$/gm)) {
    const inProject = relative(source, path.startsWith("file://") ? fileURLToPath(path) : path);
    if (!inProject.startsWith("..") && !isAbsolute(inProject)) return `${inProject}:${position}`;
  }
  return undefined;
}
