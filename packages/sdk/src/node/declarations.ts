/**
 * Declarations of the published package: what the type checker emits, without the files that no entry reaches, and with the endings that
 * stand in a package. They must stand alone: a declaration that names another package than itself is a defect of our sources, because
 * users have none of ours installed.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DefinitionError } from "../errors.ts";

const sourceRoot = fileURLToPath(new URL("..", import.meta.url));
const compilerMsMax = 120_000;

/** By path relative to the source root, such as `running/port.d.ts`. `entries` are given without an ending. */
export async function emitDeclarations(entries: readonly string[]): Promise<Map<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "helmr-sdk-"));
  try {
    await runCompiler(entries, folder);
    return await reachable(entries, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runCompiler(entries: readonly string[], folder: string): Promise<void> {
  const compilerOptions = {
    target: "es2022",
    module: "nodenext",
    moduleResolution: "nodenext",
    lib: ["esnext", "dom", "dom.iterable"],
    types: [],
    strict: true,
    noUncheckedIndexedAccess: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: dirname(dirname(dirname(sourceRoot))),
    outDir: folder,
  };
  const config = join(folder, "tsconfig.json");
  await writeFile(config, JSON.stringify({ compilerOptions, files: entries.map((entry) => join(sourceRoot, `${entry}.ts`)) }));
  const compiler = fileURLToPath(new URL("../bin/tsc", import.meta.resolve("typescript")));
  try {
    await promisify(execFile)(process.execPath, [compiler, "-p", config], { timeout: compilerMsMax });
  } catch (cause) {
    const { stdout = "" } = cause as { stdout?: string };
    throw new DefinitionError(`Cannot emit the declarations of the SDK:\n${stdout}`, { cause });
  }
}

const specifier = /(\bfrom |\bimport\()"([^"]+)"/g;

async function reachable(entries: readonly string[], folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const waiting = entries.map((entry) => `${entry}.d.ts`);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (found.has(path)) continue;
    const text = await readFile(join(folder, "packages/sdk/src", path), "utf8");
    for (const [, , target] of text.matchAll(specifier)) {
      if (!target?.startsWith(".")) throw new DefinitionError(`${path} names ${target}: published declarations must stand alone`);
      waiting.push(posix.join(posix.dirname(path), target.replace(/\.ts$/, ".d.ts")));
    }
    found.set(
      path,
      text.replace(specifier, (_whole, before: string, target: string) => `${before}"${target.replace(/\.ts$/, ".js")}"`),
    );
  }
  return found;
}
