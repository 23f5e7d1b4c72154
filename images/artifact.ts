/**
 * One prepared thing = one directory named after what it was made from: `<name>-<digest of the inputs>`. It is filled under a temporary name
 * and renamed when complete, so a directory with the right name is always whole, two preparations at once do no harm, and a crash leaves only
 * a temporary directory, which the next preparation removes.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

export interface Artifact {
  name: string;
  /** Everything the content depends on. A change of the recipe itself changes `recipe`. */
  inputs: Record<string, string | number>;
}

export type Progress = (event: { step: string; state: "cached" | "started" | "done"; milliseconds?: number; detail?: string }) => void;

const digestLength = 16;

export function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, digestLength);
}

export function artifactName(artifact: Artifact): string {
  const inputs = Object.entries(artifact.inputs).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `${artifact.name}-${digestOf(inputs)}`;
}

export interface ArtifactRequest {
  directory: string;
  artifact: Artifact;
  progress: Progress;
  make: (target: string) => Promise<void>;
}

/** The directory of a prepared thing, made now when it is not there. */
export async function prepareArtifact({ directory, artifact, progress, make }: ArtifactRequest): Promise<string> {
  const target = join(directory, artifactName(artifact));
  if (await exists(target)) {
    progress({ step: artifact.name, state: "cached" });
    return target;
  }
  progress({ step: artifact.name, state: "started" });
  const started = performance.now();
  const temporary = `${target}.tmp-${process.pid}-${process.hrtime.bigint()}`;
  await mkdir(temporary, { recursive: true });
  try {
    await make(temporary);
    await rename(temporary, target).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else finished the same thing first: theirs is as good.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  progress({ step: artifact.name, state: "done", milliseconds: Math.round(performance.now() - started) });
  return target;
}

/** Temporary directories whose maker is dead. */
export async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const maker = /\.tmp-(\d+)-\d+$/.exec(name)?.[1];
    if (maker !== undefined && !(await exists(`/proc/${maker}`))) await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** Prepared things that are not of the current set and have not been made or used for a while. */
export async function removeOutdated(directory: string, options: { keep: readonly string[]; olderThanMs: number }): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (options.keep.some((kept) => kept === path || kept.startsWith(`${path}/`)) || !/-[0-9a-f]{16}$/.test(name)) continue;
    const info = await stat(path);
    if (Date.now() - info.mtimeMs < options.olderThanMs) continue;
    await rm(path, { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
