/**
 * Cache mounts of run steps: disks of this host that outlive builds, by project and id. One step at a time has one (sharing `locked`); whoever
 * comes meanwhile waits. A cache may be gone at any time: bounded, least recently used first out.
 *
 *   missing → made → held by a step ⇄ idle → evicted
 */
import { createHash } from "node:crypto";
import { copyFile, constants, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { EmptyDisks } from "../../disks/empty-disks.ts";
import { runCommand } from "../../host/run-command.ts";

export interface HeldCache {
  path: string;
  sizeBytes: number;
  release(): void;
}

const diskBytes = 8 * 1024 * 1024 * 1024;
const copyLimitMs = 60_000;

export class CacheDisks {
  private readonly directory: string;
  private readonly bytesMax: number;
  private readonly empties: EmptyDisks;
  /** By file name: resolves when the present holder gives it back. */
  private readonly held = new Map<string, Promise<void>>();

  private constructor(parts: { directory: string; bytesMax: number; empties: EmptyDisks }) {
    this.directory = parts.directory;
    this.bytesMax = parts.bytesMax;
    this.empties = parts.empties;
  }

  static async open(parts: { directory: string; bytesMax: number; empties: EmptyDisks }): Promise<CacheDisks> {
    await mkdir(parts.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(parts.directory))
      if (name.endsWith(".partial")) await rm(join(parts.directory, name), { force: true });
    return new CacheDisks(parts);
  }

  /** Several at once are always taken in the same order: two steps with the same caches do not wait for each other for ever. */
  async acquire(owner: string, ids: readonly string[], signal: AbortSignal): Promise<Map<string, HeldCache>> {
    const taken = new Map<string, HeldCache>();
    try {
      for (const id of [...new Set(ids)].toSorted()) taken.set(id, await this.take(fileName(owner, id), signal));
      return taken;
    } catch (error) {
      for (const cache of taken.values()) cache.release();
      throw error;
    }
  }

  private async take(name: string, signal: AbortSignal): Promise<HeldCache> {
    for (let before = this.held.get(name); before !== undefined; before = this.held.get(name)) await orAborted(before, signal);
    signal.throwIfAborted();
    let free: () => void = () => {};
    this.held.set(name, new Promise((resolve) => (free = resolve)));
    const release = () => {
      this.held.delete(name);
      free();
    };
    try {
      const path = await this.prepare(name);
      return { path, sizeBytes: diskBytes, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  private async prepare(name: string): Promise<string> {
    const path = join(this.directory, name);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (isThere) {
      const now = new Date();
      await utimes(path, now, now);
      return path;
    }
    await this.evict();
    const empty = await this.empties.get("workspace", diskBytes);
    const partial = `${path}.partial`;
    await rm(partial, { force: true });
    await copyFile(empty.path, partial, constants.COPYFILE_FICLONE_FORCE).catch(() =>
      runCommand("cp", ["--sparse=always", empty.path, partial], { timeoutMs: copyLimitMs }),
    );
    await rename(partial, path);
    return path;
  }

  /** Before another one is made. */
  private async evict(): Promise<void> {
    const present = await Promise.all(
      (await readdir(this.directory)).map(async (name) => {
        const info = await stat(join(this.directory, name));
        return { name, bytes: info.blocks * 512, usedMs: info.mtimeMs };
      }),
    );
    let over = present.reduce((sum, one) => sum + one.bytes, 0) - this.bytesMax;
    for (const { name, bytes } of present.toSorted((a, b) => a.usedMs - b.usedMs)) {
      if (over <= 0) return;
      if (this.held.has(name)) continue;
      over -= bytes;
      await rm(join(this.directory, name), { force: true });
    }
  }
}

function fileName(owner: string, id: string): string {
  return `${createHash("sha256").update(`${owner}\0${id}`).digest("hex")}.raw`;
}

function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    void work.then(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}
