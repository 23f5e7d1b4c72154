/**
 * What the installed dependencies of a project depend on (sdk §8.1): the parts of package.json that its package manager reads, the lock file, the settings.
 * Without a lock file, or with packages of the project itself among them, that is the whole of the source: then nothing is kept for other builds but in
 * images, whose steps must have a key.
 */
import { createHash } from "node:crypto";
import { choosePackageManager, managerSettings, type PackageManager } from "@helmr/protocol/guest";
import { canonicalJson } from "@helmr/protocol/shared";
import { ImageError } from "../images/image-error.ts";
import { SourceArchive } from "../images/steps/source-archive.ts";

export interface DependencyInputs {
  manager: PackageManager["name"];
  inputs: Record<string, string>;
  /** Other sources may have the same. */
  isShared: boolean;
}

const textBytesMax = 64 * 1024 * 1024;
const sdkName = "@helmr/sdk";
const read = [
  "dependencies",
  "optionalDependencies",
  "devDependencies",
  "peerDependencies",
  "overrides",
  "resolutions",
  "pnpm",
  "trustedDependencies",
  "patchedDependencies",
  "dependenciesMeta",
  "catalog",
  "catalogs",
  "name",
  "version",
] as const;
/** Beside settings: what they name. */
const patchDirectories = ["patches", ".yarn/patches", ".yarn/plugins"];

/** undefined: there is nothing to install, or the source cannot be read, which the guest says. */
export async function dependencyInputs(source: string, signal: AbortSignal): Promise<DependencyInputs | undefined> {
  try {
    const archive = await SourceArchive.read(source, signal);
    const text = async (path: string) => readText(archive, path, signal);
    const manifest = JSON.parse((await text("package.json")) ?? "") as Record<string, unknown>;
    const declared = Object.entries({ ...(manifest["dependencies"] as object), ...(manifest["optionalDependencies"] as object) });
    const others = declared.filter(([name]) => name !== sdkName);
    if (others.length === 0) return undefined;
    const manager = choosePackageManager(manifest["packageManager"], (path) => archive.has(path));
    const isLocal =
      manifest["workspaces"] !== undefined || others.some(([, range]) => /^(file|link|workspace|portal):/.test(String(range)));
    const isShared = manager.lock !== undefined && !isLocal;
    const settings = await Promise.all(managerSettings[manager.name].map(async (path) => (await text(path)) ?? ""));
    const patches = manager.name === "npm" ? [] : patchDirectories.map((path) => directoryDigest(archive, path, signal));
    const inputs = {
      manager: `${manager.name} ${manager.version ?? ""}`,
      manifest: digest(canonicalJson(Object.fromEntries(read.flatMap((name) => (name in manifest ? [[name, manifest[name]]] : []))))),
      lock: manager.lock === undefined ? "" : archive.select({ kind: "file", path: manager.lock }, signal).digest,
      settings: digest(canonicalJson([...settings, ...patches])),
      ...(isShared ? {} : { files: directoryDigest(archive, "", signal) }),
    };
    return { manager: manager.name, inputs, isShared };
  } catch (error) {
    signal.throwIfAborted();
    // An archive or a package.json that cannot be read: the guest says what is wrong with it.
    if (error instanceof ImageError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Of what is installed in the built-in image. */
export function installKey(inputs: Record<string, string>): string {
  return digest(canonicalJson({ format: "dependencies 2", ...inputs }));
}

const sentences: Record<string, string> = {
  manager: "the package manager changed",
  lock: "the lock file changed",
  manifest: "package.json changed",
  settings: "the settings of the package manager changed",
  image: "the image they are installed in changed",
};

export function explainInstall(inputs: Record<string, string>, previous: Record<string, string> | undefined): string {
  if (previous === undefined) return "they were not installed before";
  const changed = Object.keys(sentences).find((name) => inputs[name] !== previous[name]);
  return changed === undefined ? "they were installed before and are gone" : (sentences[changed] as string);
}

async function readText(archive: SourceArchive, path: string, signal: AbortSignal): Promise<string | undefined> {
  if (!archive.has(path)) return undefined;
  const selection = archive.select({ kind: "file", path }, signal);
  if (selection.bytes > textBytesMax) return undefined;
  const parts: Buffer[] = [];
  for await (const part of selection.stream()) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

function directoryDigest(archive: SourceArchive, path: string, signal: AbortSignal): string {
  return archive.hasDirectory(path) ? archive.select({ kind: "directory", path, ignore: [] }, signal).digest : "";
}

function digest(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
