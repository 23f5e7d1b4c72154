/**
 * Local plain copies of artifacts (workspace versions, task trees, images) as sparse files that machines use as read-only backing files.
 * A cache: bounded, least recently used first out, everything in it can be fetched again.
 *
 *   missing → making → ready ⇄ held (by machines, templates, copies)      ready → gone (evicted, or moved on to the next version)
 *
 *   acquire   from the cache, or materialized: chunks of the nearest local relative are copied, the rest is fetched and verified
 *   advance   the version that was just captured from a base and its overlay becomes a base of its own: when nobody else holds the old one
 *             and it is not wanted, the old file is patched and renamed, which costs the change; otherwise it is copied first
 *
 * A directory `<org>/<digest>` is complete once it has that name; a `.partial` one is removed at start. Files are not flushed: after
 * another boot of the host each is verified against its manifest before its first use. One process owns the directory.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ArtifactRef, type ChunkManifest, decodeManifest, encodeManifest } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import type { ArtifactStore } from "../chunks/artifact-store.ts";
import type { BlobPort } from "../chunks/blob-port.ts";
import type { ChunkWorker } from "../chunks/chunk-worker.ts";
import { planLoad } from "../chunks/load-blocks.ts";
import type { TenantKeys } from "../chunks/sealing.ts";
import type { BlockSourceSpec } from "../disks/block-source.ts";
import { dataExtents } from "../disks/data-extents.ts";
import { readBootId } from "../host/boot-id.ts";
import { runCommand } from "../host/run-command.ts";

export interface Base {
  orgId: string;
  digest: string;
  path: string;
  /** Read from the disk when somebody asks: a start does not need it. */
  manifest(): Promise<ChunkManifest>;
  release(): void;
}

export interface Access {
  keys: TenantKeys;
  blobs: BlobPort;
  signal: AbortSignal;
}

interface Entry {
  key: string;
  orgId: string;
  digest: string;
  directory: string;
  bytes: number;
  holders: number;
  verified: boolean;
}

export interface Advance {
  orgId: string;
  digest: string;
  manifest: ChunkManifest;
  /** The base it was captured over; still held by the caller, and released by this call. */
  from: Base | { path: string; release(): void };
  source: BlockSourceSpec;
  /** The old version will be wanted again. */
  keepOld: boolean;
}

/** Relatives that are looked at when a version is not here. */
const relativesMax = 4;
/** Copying a relative pays when it has at least this share of the chunks. */
const relativeShare = 0.3;
const copyLimitMs = 10 * 60_000;

export class BaseStore {
  private readonly directory: string;
  private readonly artifacts: ArtifactStore;
  private readonly chunks: ChunkWorker;
  private readonly bytesMax: number;
  /** In order of use, the oldest first. */
  private readonly entries = new Map<string, Entry>();
  private readonly making = new Map<string, Promise<void>>();

  private constructor(parts: BaseStoreParts) {
    this.directory = parts.directory;
    this.artifacts = parts.artifacts;
    this.chunks = parts.chunks;
    this.bytesMax = parts.bytesMax;
  }

  static async open(parts: BaseStoreParts): Promise<BaseStore> {
    const store = new BaseStore(parts);
    await mkdir(parts.directory, { recursive: true, mode: 0o711 });
    const bootId = await readBootId();
    const marker = join(parts.directory, "boot-id");
    const sameBoot = (await readFile(marker, "utf8").catch(() => "")) === bootId;
    await store.scan(sameBoot);
    // Only now: a crash before this line means that everything is verified again.
    await writeFile(marker, bootId);
    return store;
  }

  get sizeBytes(): number {
    let sum = 0;
    for (const entry of this.entries.values()) sum += entry.bytes;
    return sum;
  }

  has(orgId: string, digest: string): boolean {
    const key = keyOf(orgId, digest);
    return this.entries.has(key) || this.making.has(key);
  }

  async acquire(ref: ArtifactRef, access: Access): Promise<Base> {
    const { orgId } = access.keys;
    const key = keyOf(orgId, ref.digest);
    for (;;) {
      const running = this.making.get(key);
      if (running !== undefined) {
        // Its failure is its own caller's (another lease may have ended); this one tries again.
        await running.catch(() => {});
        access.signal.throwIfAborted();
        continue;
      }
      const entry = this.entries.get(key);
      if (entry?.verified === true) return this.hold(entry);
      const work = entry === undefined ? this.materialize(ref, access) : this.verify(entry, access);
      await this.exclusively(key, work);
    }
  }

  private async exclusively(key: string, work: Promise<void>): Promise<void> {
    this.making.set(key, work);
    try {
      await work;
    } finally {
      this.making.delete(key);
    }
  }

  private hold(entry: Entry): Base {
    entry.holders += 1;
    this.entries.delete(entry.key);
    this.entries.set(entry.key, entry);
    let released = false;
    return {
      orgId: entry.orgId,
      digest: entry.digest,
      path: diskPath(entry.directory),
      manifest: () => readManifest(entry.directory),
      release: () => {
        if (released) return;
        released = true;
        entry.holders -= 1;
      },
    };
  }

  private async verify(entry: Entry, access: Access): Promise<void> {
    const manifest = await readManifest(entry.directory).catch(() => undefined);
    const file = manifest && { path: diskPath(entry.directory), manifest, idKey: access.keys.idKey };
    const sound = file !== undefined && (await this.chunks.run("verify", file, { signal: access.signal }));
    if (sound) entry.verified = true;
    else await this.remove(entry);
  }

  private async materialize(ref: ArtifactRef, access: Access): Promise<void> {
    const { orgId } = access.keys;
    const manifest = await this.artifacts.manifest(ref, access);
    await this.make({ orgId, digest: ref.digest, manifest }, async (path) => {
      const have = await this.copyRelative(path, orgId, manifest);
      if (have === undefined) await writeFile(path, "", { mode: 0o644 });
      await this.artifacts.load({ manifest, path, have, ...access });
    });
    await this.artifacts.learn(orgId, manifest);
  }

  /** Makes a complete directory under its final name. */
  private async make(
    what: { orgId: string; digest: string; manifest: ChunkManifest },
    fill: (path: string) => Promise<void>,
  ): Promise<void> {
    const directory = this.directoryOf(what.orgId, what.digest);
    const partial = `${directory}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true, mode: 0o711 });
    try {
      await fill(diskPath(partial));
      await this.complete(what, partial);
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
  }

  private async complete(what: { orgId: string; digest: string; manifest: ChunkManifest }, partial: string): Promise<void> {
    const directory = this.directoryOf(what.orgId, what.digest);
    await writeFile(join(partial, "manifest"), encodeManifest(what.manifest), { mode: 0o600 });
    await rename(partial, directory);
    const key = keyOf(what.orgId, what.digest);
    const { orgId, digest } = what;
    this.entries.set(key, { key, orgId, digest, directory, bytes: await diskBytes(directory), holders: 0, verified: true });
    await this.evict(key);
  }

  /** Copies the local base that has most of the wanted chunks at the same places. */
  private async copyRelative(path: string, orgId: string, manifest: ChunkManifest): Promise<ChunkManifest | undefined> {
    const relatives = [...this.entries.values()].filter((entry) => entry.orgId === orgId && entry.verified).slice(-relativesMax);
    let best: { base: Base; have: ChunkManifest; missing: number } | undefined;
    for (const entry of relatives) {
      const base = this.hold(entry);
      const have = await base.manifest().catch(() => undefined);
      const missing =
        have === undefined ? Infinity : planLoad(manifest, have).ranges.reduce((sum, range) => sum + range.positions.length, 0);
      if (have !== undefined && missing < (best?.missing ?? manifest.indexes.length * (1 - relativeShare))) {
        best?.base.release();
        best = { base, have, missing };
      } else base.release();
    }
    if (best === undefined) return undefined;
    try {
      await copySparse(best.base.path, path);
      return best.have;
    } finally {
      best.base.release();
    }
  }

  /** The file of an artifact that was just stored becomes its base: it is moved here. */
  async adopt(what: { orgId: string; digest: string; manifest: ChunkManifest }, path: string): Promise<void> {
    if (this.has(what.orgId, what.digest)) return;
    await this.exclusively(
      keyOf(what.orgId, what.digest),
      this.make(what, (target) => rename(path, target)),
    );
  }

  async advance(to: Advance): Promise<void> {
    const key = keyOf(to.orgId, to.digest);
    if (this.has(to.orgId, to.digest)) {
      to.from.release();
      return;
    }
    // Registered before the first await: who asks for the new version from now on waits for it.
    await this.exclusively(key, this.advanceNow(to));
  }

  private async advanceNow(to: Advance): Promise<void> {
    const { from, source } = to;
    const old = "digest" in from ? this.entries.get(keyOf(from.orgId, from.digest)) : undefined;
    if (old === undefined || to.keepOld || old.holders > 1) {
      await this.make(to, async (path) => {
        await copySparse(from.path, path);
        await this.patch(path, source);
      }).finally(() => from.release());
      return;
    }
    this.entries.delete(old.key);
    from.release();
    const partial = `${this.directoryOf(to.orgId, to.digest)}.partial`;
    // Under the old key too: who asks for the old version meanwhile must not build it where this one still lies.
    await this.exclusively(old.key, moveDirectory(old.directory, partial));
    try {
      const backing = diskPath(partial);
      await this.patch(backing, source.kind === "overlay" ? { ...source, backing } : source);
      await this.complete(to, partial);
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
  }

  private async patch(base: string, source: BlockSourceSpec): Promise<void> {
    await this.chunks.run("patch", { base, source, extents: await dataExtents(base) });
  }

  private async evict(except: string): Promise<void> {
    let left = this.sizeBytes - this.bytesMax;
    for (const entry of this.entries.values()) {
      if (left <= 0) return;
      if (entry.holders > 0 || entry.key === except) continue;
      left -= entry.bytes;
      await this.remove(entry);
    }
  }

  private async remove(entry: Entry): Promise<void> {
    assert(entry.holders === 0, `Base ${entry.digest} is removed while it is held`);
    this.entries.delete(entry.key);
    await rm(entry.directory, { recursive: true, force: true });
  }

  private async scan(sameBoot: boolean): Promise<void> {
    const found: { entry: Entry; usedMs: number }[] = [];
    for (const orgId of await readdir(this.directory)) {
      if (orgId === "boot-id") continue;
      for (const name of await readdir(join(this.directory, orgId))) {
        const directory = join(this.directory, orgId, name);
        const info = await stat(join(directory, "manifest")).catch(() => undefined);
        if (name.endsWith(".partial") || info === undefined) {
          await rm(directory, { recursive: true, force: true });
          continue;
        }
        const digest = `sha256:${name}`;
        const entry = {
          key: keyOf(orgId, digest),
          orgId,
          digest,
          directory,
          bytes: await diskBytes(directory),
          holders: 0,
          verified: sameBoot,
        };
        found.push({ entry, usedMs: info.mtimeMs });
      }
    }
    for (const { entry } of found.sort((a, b) => a.usedMs - b.usedMs)) this.entries.set(entry.key, entry);
    // Nothing is evicted here: machines that are about to be adopted may stand on any of these.
  }

  private directoryOf(orgId: string, digest: string): string {
    return join(this.directory, orgId, digest.replace(/^sha256:/, ""));
  }
}

export interface BaseStoreParts {
  directory: string;
  artifacts: ArtifactStore;
  chunks: ChunkWorker;
  bytesMax: number;
}

function keyOf(orgId: string, digest: string): string {
  return `${orgId} ${digest}`;
}

function diskPath(directory: string): string {
  return join(directory, "disk.raw");
}

async function readManifest(directory: string): Promise<ChunkManifest> {
  return decodeManifest(await readFile(join(directory, "manifest")));
}

async function diskBytes(directory: string): Promise<number> {
  return (await stat(diskPath(directory))).blocks * 512;
}

async function moveDirectory(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await rename(from, to);
}

async function copySparse(from: string, to: string): Promise<void> {
  await runCommand("cp", ["--sparse=always", "--reflink=auto", from, to], { timeoutMs: copyLimitMs });
}
