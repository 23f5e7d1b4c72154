/** package.json of a project: what deploy needs from it, and which of its dependencies are there (cli §5.2, sdk §6). */
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { Failure, reasonOf } from "../failure.ts";

export const sdkName = "@helmr/sdk";

type PackageManager = "npm" | "bun";

export interface ProjectPackage {
  directory: string;
  manager: PackageManager;
  dependencies: readonly string[];
}

export async function readProjectPackage(directory: string): Promise<ProjectPackage> {
  const manifest = await readManifest(path.join(directory, "package.json"));
  const dependencies = isRecord(manifest["dependencies"]) ? Object.keys(manifest["dependencies"]) : [];
  if (!dependencies.includes(sdkName))
    throw new Failure(`package.json does not list ${sdkName} under dependencies; run: npm install ${sdkName}`);
  const manager = manifest["packageManager"];
  if (typeof manager !== "string" || manager.trim() === "") {
    throw new Failure('package.json has no packageManager; add one of bun or npm, such as "packageManager": "npm@11.0.0"');
  }
  return { directory, manager: managerOf(manager.trim()), dependencies };
}

function managerOf(text: string): PackageManager {
  const name = text.split("@")[0];
  if (name === "npm" || name === "bun") return name;
  throw new Failure(`packageManager ${JSON.stringify(text)} is not supported; use bun or npm`);
}

async function readManifest(file: string): Promise<Record<string, unknown>> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) throw new Failure(`${file} was not found; is this a project directory? helmr init makes one`);
  if (!found.isFile()) throw new Failure(`${file} is not a file`);
  try {
    const manifest: unknown = JSON.parse(await readFile(file, "utf8"));
    if (isRecord(manifest)) return manifest;
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  throw new Failure(`${file} is not a JSON object`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Names that no node_modules of the directory or of one above it holds. */
export async function missingDependencies({ directory, dependencies }: ProjectPackage): Promise<string[]> {
  const found = await Promise.all(dependencies.map((name) => installedManifest(directory, name)));
  return dependencies.filter((_name, index) => found[index] === undefined);
}

/** The version of the installed SDK. */
export async function installedSdkVersion({ directory }: ProjectPackage): Promise<string> {
  const manifest = await installedManifest(directory, sdkName);
  const version = manifest === undefined ? undefined : (await readManifest(manifest))["version"];
  if (typeof version !== "string") throw new Failure(`${sdkName} is not installed in ${directory}`);
  return version;
}

async function installedManifest(directory: string, name: string): Promise<string | undefined> {
  for (let at = path.resolve(directory); ; at = path.dirname(at)) {
    const manifest = path.join(at, "node_modules", ...name.split("/"), "package.json");
    if ((await stat(manifest).catch(() => undefined))?.isFile()) return manifest;
    if (at === path.dirname(at)) return undefined;
  }
}
