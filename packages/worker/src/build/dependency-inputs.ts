/**
 * What the installed dependencies of a project depend on (sdk §8.1): the parts of package.json that npm reads, the lock file, the settings. Without a lock
 * file, or with packages of the project itself among them, there is no key and they are installed for each build.
 */
import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import { canonicalJson } from "@helmr/protocol/shared";
import { ImageError } from "../images/image-error.ts";
import { SourceArchive } from "../images/steps/source-archive.ts";

export interface DependencyInputs {
  key: string;
  inputs: Record<string, string>;
}

const textBytesMax = 64 * 1024 * 1024;
const sdkName = "@helmr/sdk";
const read = ["dependencies", "optionalDependencies", "devDependencies", "peerDependencies", "overrides", "name", "version"] as const;

export async function dependencyInputs(source: string, builtInImage: string, signal: AbortSignal): Promise<DependencyInputs | undefined> {
  try {
    const archive = await SourceArchive.read(source, signal);
    const text = async (path: string) => readText(archive, path, signal);
    const manifest = JSON.parse((await text("package.json")) ?? "") as Record<string, unknown>;
    const lock = (await text("npm-shrinkwrap.json")) ?? (await text("package-lock.json"));
    if (lock === undefined || manifest["workspaces"] !== undefined) return undefined;
    const declared = Object.entries({ ...(manifest["dependencies"] as object), ...(manifest["optionalDependencies"] as object) });
    const others = declared.filter(([name]) => name !== sdkName);
    if (others.length === 0 || others.some(([, range]) => /^(file|link|workspace|portal):/.test(String(range)))) return undefined;
    const inputs = {
      manifest: digest(canonicalJson(Object.fromEntries(read.flatMap((name) => (name in manifest ? [[name, manifest[name]]] : []))))),
      lock: digest(lock),
      settings: digest((await text(".npmrc")) ?? ""),
      image: basename(dirname(builtInImage)),
    };
    return { inputs, key: digest(canonicalJson({ format: "dependencies 1", ...inputs })) };
  } catch (error) {
    signal.throwIfAborted();
    // An archive or a package.json that cannot be read: the guest says what is wrong with it.
    if (error instanceof ImageError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const sentences: Record<string, string> = {
  lock: "the lock file changed",
  manifest: "package.json changed",
  settings: ".npmrc changed",
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

function digest(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
