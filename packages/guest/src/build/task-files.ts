/** Finds the task modules of a project (sdk §5). Links to directories are not followed; a link to a file counts as that file. */
import { lstatSync, readdirSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import picomatch from "picomatch";
import { ProjectError } from "./builder-pipe.ts";

const defaultIgnorePatterns = ["**/*.test.*", "**/*.spec.*", "**/_*.*"];
const neverSearched = new Set(["node_modules", ".git", ".helmr", ".next"]);
const moduleName = /\.(ts|mts|cts|js|mjs|cjs)$/;
const declarationName = /\.d\.[^/]*$|\.d\.(ts|mts|cts)$/;
const modulesMax = 5_000;

export interface SearchOptions {
  /** Project root. */
  source: string;
  dirs: readonly string[];
  ignorePatterns?: readonly string[];
}

/** Paths relative to the project root, sorted by their bytes. */
export function taskFiles({ source, dirs, ignorePatterns }: SearchOptions): string[] {
  const patterns = (ignorePatterns ?? defaultIgnorePatterns).map((pattern) => pattern.replace(/^\.\//, ""));
  const isIgnored = patterns.length === 0 ? () => false : picomatch(patterns, { dot: true, nonegate: true });
  const found = new Set<string>();
  for (const directory of dirs) search({ source, relative: projectDirectory(source, directory), isIgnored, found });
  return [...found].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
}

function projectDirectory(source: string, directory: string): string {
  const relative = normalize(directory)
    .replace(/\/+$/, "")
    .replace(/^\.(\/|$)/, "");
  if (directory.startsWith("/") || relative === ".." || relative.startsWith("../")) {
    throw new ProjectError(
      "missing_config",
      `helmr.config.ts: dirs must stay inside the project, and ${JSON.stringify(directory)} does not`,
    );
  }
  if (statSync(join(source, relative), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new ProjectError(
      "missing_config",
      `helmr.config.ts: the directory ${JSON.stringify(directory)} of dirs does not exist in the project`,
    );
  }
  return relative;
}

interface Search {
  source: string;
  relative: string;
  isIgnored: (path: string) => boolean;
  found: Set<string>;
}

function search({ source, relative, isIgnored, found }: Search): void {
  for (const name of readdirSync(join(source, relative))) {
    const path = relative === "" ? name : `${relative}/${name}`;
    if (neverSearched.has(name)) continue;
    const full = join(source, path);
    if (lstatSync(full).isDirectory()) search({ source, relative: path, isIgnored, found });
    else if (isModule(name) && !isIgnored(path) && statSync(full, { throwIfNoEntry: false })?.isFile() === true) found.add(path);
    if (found.size > modulesMax)
      throw new ProjectError("task_parse_failed", `dirs of helmr.config.ts hold more than ${modulesMax} modules`);
  }
}

function isModule(name: string): boolean {
  return moduleName.test(name) && !declarationName.test(name);
}
