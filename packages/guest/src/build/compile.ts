/**
 * Compiles modules of a project with esbuild: one file per entry with everything of the project and the SDK in it, because a task's start pays
 * for every file it loads; packages stay external. Errors come with file, line and column.
 *
 * A compiled module stands elsewhere than its source, so what a source file asks about its own place is answered with the source's place.
 */
import { readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { build, type BuildFailure, type Loader, type Message, type Plugin } from "esbuild";
import { ProjectError } from "./builder-pipe.ts";

export interface CompileOptions {
  source: string;
  /** Paths relative to the source. */
  entries: readonly string[];
  outDirectory: string;
  /** Directory of the SDK's modules, which become part of each entry; undefined: it is imported as a package, which is much less to compile. */
  sdk: string | undefined;
  /** true: parts that several entries use are files of their own, so that each exists once in a process that loads them all. */
  shareModules: boolean;
}

/** `tasks/hello.ts` becomes `tasks/hello.ts.mjs`: names stay apart whatever their endings. */
export function compiledName(entry: string): string {
  return `${entry}.mjs`;
}

export async function compile(options: CompileOptions): Promise<void> {
  const { source, entries, outDirectory, sdk, shareModules } = options;
  try {
    await build({
      absWorkingDir: source,
      entryPoints: entries.map((entry) => ({ in: `./${entry}`, out: entry })),
      outdir: outDirectory,
      outExtension: { ".js": ".mjs" },
      chunkNames: "shared/[hash]",
      bundle: true,
      splitting: shareModules,
      format: "esm",
      platform: "node",
      target: "node20",
      packages: "external",
      ...(sdk === undefined ? {} : { alias: { "@helmr/sdk": join(sdk, "index.js") } }),
      sourcemap: "linked",
      sourcesContent: false,
      legalComments: "none",
      logLevel: "silent",
      define: Object.fromEntries(placeNames.map(({ expression, name }) => [expression, name])),
      banner: { js: requireBanner },
      plugins: [sourcePlaces(source)],
    });
  } catch (error) {
    const { errors } = error as Partial<BuildFailure>;
    if (errors === undefined) throw error;
    throw new ProjectError("task_parse_failed", errors.slice(0, 20).map(describe).join("\n"));
  }
}

/** `tasks/a.ts:3:14: Expected ";" but found "x"`; columns count from 1. */
function describe(message: Message): string {
  const { location, text } = message;
  if (location === null) return text;
  return `${location.file}:${location.line}:${location.column + 1}: ${text}`;
}

/** What CommonJS in the project needs once it is part of a module; one line, so that positions below it stay right. */
const requireBanner = 'import{createRequire as __helmrRequire}from"node:module";const require=__helmrRequire(import.meta.url);';

const placeNames = [
  { expression: "import.meta.url", name: "__helmrUrl", value: (file: string) => `file://${encodeURI(file)}` },
  { expression: "import.meta.filename", name: "__helmrFilename", value: (file: string) => file },
  { expression: "import.meta.dirname", name: "__helmrDirname", value: (file: string) => dirname(file) },
  { expression: "__filename", name: "__helmrFilename", value: (file: string) => file },
  { expression: "__dirname", name: "__helmrDirname", value: (file: string) => dirname(file) },
];

const loaders: Record<string, Loader> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
  ".jsx": "jsx",
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
};

/** Declares the names of `placeNames` in the files that use them, on their first line. */
function sourcePlaces(source: string): Plugin {
  return {
    name: "source-places",
    setup(api) {
      api.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, ({ path }) => {
        if (!path.startsWith(`${source}/`)) return undefined;
        const text = readFileSync(path, "utf8");
        if (!/import\.meta|__filename|__dirname/.test(text)) return undefined;
        const used = new Map(placeNames.map(({ name, value }) => [name, value(path)]));
        const declarations = [...used].map(([name, value]) => `var ${name}=${JSON.stringify(value)};`).join("");
        const loader = loaders[extname(path)];
        return { contents: declarations + text, resolveDir: dirname(path), ...(loader === undefined ? {} : { loader }) };
      });
    },
  };
}

export function compiledPath(outDirectory: string, entry: string): string {
  return join(outDirectory, compiledName(entry));
}
