/**
 * Whole packs on the local disk, bounded, least recently used first out: those this worker wrote, and those it fetched nearly whole. What is
 * in a pack is sealed; whoever reads it verifies it, and tells the cache to `drop` a pack that was damaged.
 */
import { mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isUuid } from "@helmr/protocol/shared";
import type { ByteRange } from "../disks/byte-ranges.ts";

export class PackCache {
  private readonly directory: string;
  private readonly bytesMax: number;
  /** In order of use, the oldest first. */
  private readonly sizes = new Map<string, number>();
  private bytes = 0;

  private constructor(directory: string, bytesMax: number) {
    this.directory = directory;
    this.bytesMax = bytesMax;
  }

  static async open(directory: string, bytesMax: number): Promise<PackCache> {
    const cache = new PackCache(directory, bytesMax);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const found: { id: string; size: number; used: number }[] = [];
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      // Anything else was being written when the process ended.
      if (!isUuid(name)) await rm(path, { recursive: true, force: true });
      else {
        const { size, mtimeMs } = await stat(path);
        found.push({ id: name, size, used: mtimeMs });
      }
    }
    for (const { id, size } of found.sort((a, b) => a.used - b.used)) cache.account(id, size);
    await cache.evict();
    return cache;
  }

  get sizeBytes(): number {
    return this.bytes;
  }

  async read(packId: string, range: ByteRange): Promise<Uint8Array | undefined> {
    const size = this.sizes.get(packId);
    if (size === undefined || range.end > size) return undefined;
    this.sizes.delete(packId);
    this.sizes.set(packId, size);
    try {
      const file = await open(join(this.directory, packId), "r");
      try {
        const bytes = new Uint8Array(range.end - range.start);
        const { bytesRead } = await file.read(bytes, 0, bytes.length, range.start);
        return bytesRead === bytes.length ? bytes : undefined;
      } finally {
        await file.close();
      }
    } catch {
      // Evicted meanwhile, or the disk is broken: the pack is fetched.
      return undefined;
    }
  }

  /** Takes over the file of a pack that was uploaded. */
  async adopt(packId: string, path: string, sizeBytes: number): Promise<void> {
    await rename(path, join(this.directory, packId));
    this.account(packId, sizeBytes);
    await this.evict();
  }

  async write(packId: string, bytes: Uint8Array): Promise<void> {
    if (this.sizes.has(packId)) return;
    const partial = join(this.directory, `${packId}.partial`);
    await writeFile(partial, bytes, { mode: 0o600 });
    await this.adopt(packId, partial, bytes.length);
  }

  async drop(packId: string): Promise<void> {
    const size = this.sizes.get(packId);
    if (size === undefined) return;
    this.sizes.delete(packId);
    this.bytes -= size;
    await rm(join(this.directory, packId), { force: true });
  }

  private account(packId: string, sizeBytes: number): void {
    this.bytes += sizeBytes - (this.sizes.get(packId) ?? 0);
    this.sizes.delete(packId);
    this.sizes.set(packId, sizeBytes);
  }

  private async evict(): Promise<void> {
    for (const id of this.sizes.keys()) {
      if (this.bytes <= this.bytesMax) return;
      await this.drop(id);
    }
  }
}
