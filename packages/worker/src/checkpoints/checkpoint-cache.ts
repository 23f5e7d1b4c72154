/**
 * Machines that were parked on this host, as they were cut: memory and device state, for a resume that fetches nothing. A cache: bounded, least recently
 * parked out first, and everything in it is in the blob store too.
 *
 *   kept ⇄ held (being restored)        kept → gone (evicted, or used up: a checkpoint is resumed once)
 *
 * Files are plain: the directory is the worker's own, as the memory of running machines is. They are not flushed, so another boot of the host drops them.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBootId } from "../host/boot-id.ts";

export interface CutFiles {
  memory: string;
  device: string;
}

export interface HeldCut extends CutFiles {
  release(): void;
}

interface Entry {
  bytes: number;
  holders: number;
  doomed: boolean;
}

export class CheckpointCache {
  private readonly directory: string;
  private readonly bytesMax: number;
  /** In the order in which they were parked. */
  private readonly entries = new Map<string, Entry>();

  private constructor(directory: string, bytesMax: number) {
    this.directory = directory;
    this.bytesMax = bytesMax;
  }

  static async open(parts: { directory: string; bytesMax: number }): Promise<CheckpointCache> {
    const { directory, bytesMax } = parts;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const cache = new CheckpointCache(directory, bytesMax);
    const marker = join(directory, "boot-id");
    const bootId = await readBootId();
    const sameBoot = (await readFile(marker, "utf8").catch(() => "")) === bootId;
    await cache.scan(sameBoot);
    await writeFile(marker, bootId);
    return cache;
  }

  /** The latest first: placement prefers them. */
  ids(): string[] {
    return [...this.entries]
      .filter(([, entry]) => !entry.doomed)
      .map(([id]) => id)
      .reverse();
  }

  /** Takes the files over. */
  async keep(checkpointId: string, files: CutFiles): Promise<void> {
    const partial = join(this.directory, `${checkpointId}.partial`);
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { mode: 0o700 });
    try {
      await rename(files.memory, join(partial, "memory"));
      await rename(files.device, join(partial, "device"));
      await rename(partial, this.place(checkpointId));
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
    this.entries.set(checkpointId, { bytes: await bytesOf(this.place(checkpointId)), holders: 0, doomed: false });
    await this.evict(checkpointId);
  }

  hold(checkpointId: string): HeldCut | undefined {
    const entry = this.entries.get(checkpointId);
    if (entry === undefined || entry.doomed) return undefined;
    entry.holders += 1;
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      entry.holders -= 1;
      if (entry.doomed && entry.holders === 0) void this.remove(checkpointId);
    };
    const place = this.place(checkpointId);
    return { memory: join(place, "memory"), device: join(place, "device"), release };
  }

  /** It was used, or it is no good. */
  async drop(checkpointId: string): Promise<void> {
    const entry = this.entries.get(checkpointId);
    if (entry === undefined) return;
    entry.doomed = true;
    if (entry.holders === 0) await this.remove(checkpointId);
  }

  private async evict(except: string): Promise<void> {
    let over = [...this.entries.values()].reduce((sum, entry) => sum + entry.bytes, 0) - this.bytesMax;
    for (const [id, entry] of this.entries) {
      if (over <= 0) return;
      if (entry.holders > 0 || id === except) continue;
      over -= entry.bytes;
      await this.remove(id);
    }
  }

  private async remove(checkpointId: string): Promise<void> {
    this.entries.delete(checkpointId);
    await rm(this.place(checkpointId), { recursive: true, force: true });
  }

  private async scan(sameBoot: boolean): Promise<void> {
    const found: { id: string; bytes: number; at: number }[] = [];
    for (const name of await readdir(this.directory)) {
      if (name === "boot-id") continue;
      const place = this.place(name);
      const info = sameBoot && !name.endsWith(".partial") ? await stat(join(place, "device")).catch(() => undefined) : undefined;
      if (info === undefined) await rm(place, { recursive: true, force: true });
      else found.push({ id: name, bytes: await bytesOf(place), at: info.mtimeMs });
    }
    for (const { id, bytes } of found.sort((a, b) => a.at - b.at)) this.entries.set(id, { bytes, holders: 0, doomed: false });
  }

  private place(checkpointId: string): string {
    return join(this.directory, checkpointId);
  }
}

async function bytesOf(place: string): Promise<number> {
  const sizes = ["memory", "device"].map(async (name) => (await stat(join(place, name)).catch(() => ({ blocks: 0 }))).blocks * 512);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
