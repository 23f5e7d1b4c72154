/**
 * Block artifacts between local files and the blob store.
 *
 *   store   device → chunk thread → packs and manifest uploaded (in any order: the artifact becomes true only when the control plane
 *           accepts a call that names it) → `NewArtifact` for that call. What was staged is removed whatever happens.
 *   load    manifest → ranges from the pack cache or the blob store → verified → local file. A cached pack that does not verify is dropped
 *           and fetched once more; a fetched one that does not is `chunk_corrupt`.
 *   learn   after the control plane has confirmed an artifact: its chunks need not be stored again by others of the tenant.
 *
 * It does not decide where files are kept (workspace/, templates/) and knows no leases.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type ArtifactRef, type ChunkManifest, manifestObjectKey, type NewArtifact, packObjectKey } from "@helmr/protocol/worker";
import type { BlockSourceSpec } from "../disks/block-source.ts";
import { Gate, inParallel } from "../host/limited.ts";
import { newId } from "../new-id.ts";
import type { BlobPort } from "./blob-port.ts";
import type { ChunkWorker } from "./chunk-worker.ts";
import { type LoadRange, planLoad } from "./load-blocks.ts";
import type { PackCache } from "./pack-cache.ts";
import type { PackFile } from "./pack-writer.ts";
import { ChunkError, openManifest, type TenantKeys } from "./sealing.ts";

/** Chosen by measurement (docs/adr: chunk size): one qcow2 cluster, the smallest upload for scattered changes. */
export const chunkBytes = 65_536;
const levels = { fast: 1, small: 3 } as const;
const uploadsAtOnce = 4;
const fetchesAtOnce = 6;
const ranges = { wholePackShare: 0.5 };

export interface StoreRequest {
  source: BlockSourceSpec;
  parent?: ChunkManifest;
  keys: TenantKeys;
  blobs: BlobPort;
  signal: AbortSignal;
  /** `small`: written once, read often (images, task trees); default `fast`. */
  compression?: keyof typeof levels;
}

export interface StoredArtifact {
  artifact: NewArtifact;
  manifest: ChunkManifest;
  newBytes: number;
}

export interface LoadRequest {
  manifest: ChunkManifest;
  /** An existing file; it holds `have`, or is empty. */
  path: string;
  have?: ChunkManifest;
  keys: TenantKeys;
  blobs: BlobPort;
  signal: AbortSignal;
}

export class ArtifactStore {
  private readonly chunks: ChunkWorker;
  private readonly packs: PackCache;
  private readonly staging: string;

  constructor(parts: { chunks: ChunkWorker; packs: PackCache; staging: string }) {
    this.chunks = parts.chunks;
    this.packs = parts.packs;
    this.staging = parts.staging;
  }

  async store(request: StoreRequest): Promise<StoredArtifact> {
    const artifactId = newId();
    const directory = join(this.staging, artifactId);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    try {
      return await this.storeStaged(request, { artifactId, directory });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  private async storeStaged(request: StoreRequest, staged: { artifactId: string; directory: string }): Promise<StoredArtifact> {
    const { keys, blobs } = request;
    const failure = new AbortController();
    const signal = AbortSignal.any([request.signal, failure.signal]);
    const gate = new Gate(uploadsAtOnce);
    const uploads: Promise<void>[] = [];
    const onPack = (pack: PackFile) => {
      const upload = gate.run(() => this.upload(pack, { keys, blobs, signal }));
      upload.catch((error: unknown) => failure.abort(error));
      uploads.push(upload);
      return upload;
    };
    const { source, parent, compression } = request;
    const input = { source, parent, keys, chunkBytes, level: levels[compression ?? "fast"], ...staged };
    try {
      const stored = await this.chunks.run("store", input, { signal, onPack });
      const manifestKey = manifestObjectKey(keys.orgId, staged.artifactId);
      await Promise.all([...uploads, blobs.put(manifestKey, stored.sealedManifest, { signal })]);
      const newBytes = stored.stats.sealedBytes + stored.sealedManifest.length;
      const artifact = {
        artifact_id: staged.artifactId,
        manifest_key: manifestKey,
        digest: stored.digest,
        length_bytes: stored.manifest.lengthBytes,
        stored_bytes: newBytes,
        packs: stored.manifest.packs.map((pack) => ({
          pack_id: pack.id,
          object_key: packObjectKey(keys.orgId, pack.id),
          size_bytes: pack.sizeBytes,
        })),
      };
      return { artifact, manifest: stored.manifest, newBytes };
    } catch (error) {
      failure.abort(error);
      await Promise.allSettled(uploads);
      throw uploadFailure(failure.signal, error);
    }
  }

  private async upload(pack: PackFile, to: { keys: TenantKeys; blobs: BlobPort; signal: AbortSignal }): Promise<void> {
    to.signal.throwIfAborted();
    await to.blobs.put(packObjectKey(to.keys.orgId, pack.id), pack, { signal: to.signal });
    await this.packs.adopt(pack.id, pack.path, pack.sizeBytes);
  }

  async manifest(ref: ArtifactRef, from: { keys: TenantKeys; blobs: BlobPort; signal: AbortSignal }): Promise<ChunkManifest> {
    const sealed = await from.blobs.get(ref.manifest_key, { signal: from.signal });
    return openManifest(from.keys, { id: ref.artifact_id, digest: ref.digest }, sealed);
  }

  async load(request: LoadRequest): Promise<void> {
    const { manifest, keys, path } = request;
    const plan = planLoad(manifest, request.have);
    const handle = await this.chunks.run("loadOpen", { path, manifest, keys });
    try {
      if (plan.zero.length > 0) await this.chunks.run("loadZero", { handle, indexes: plan.zero });
      await inParallel(wholePacks(manifest, plan.ranges), fetchesAtOnce, (fetch) => this.loadRange(handle, fetch, request));
    } finally {
      await this.chunks.run("loadClose", { handle });
    }
  }

  private async loadRange(handle: number, fetch: Fetch, request: LoadRequest): Promise<void> {
    const { range } = fetch;
    const pack = request.manifest.packs[range.pack];
    if (pack === undefined) throw new ChunkError("manifest_corrupt", `Manifest has no pack ${range.pack}`);
    const cached = await this.packs.read(pack.id, range);
    if (cached !== undefined && (await this.tryWrite(handle, range, cached))) return;
    if (cached !== undefined) await this.packs.drop(pack.id);
    const { signal, keys, blobs } = request;
    const wanted = fetch.whole ? { start: 0, end: pack.sizeBytes } : { start: range.start, end: range.end };
    const bytes = await blobs.get(packObjectKey(keys.orgId, pack.id), { range: wanted, signal });
    if (bytes.length !== wanted.end - wanted.start)
      throw new ChunkError("chunk_corrupt", `Pack ${pack.id} gave ${bytes.length} bytes for ${wanted.start}..${wanted.end}`);
    // A copy of its own memory: it is handed over to the thread.
    const part = new Uint8Array(bytes.subarray(range.start - wanted.start, range.end - wanted.start));
    await this.chunks.run("loadRange", { handle, range, bytes: part }, { transfer: [part.buffer], signal });
    if (fetch.whole) await this.packs.write(pack.id, bytes);
  }

  private async tryWrite(handle: number, range: LoadRange, bytes: Uint8Array): Promise<boolean> {
    try {
      await this.chunks.run("loadRange", { handle, range, bytes });
      return true;
    } catch (error) {
      if (error instanceof ChunkError && error.code === "chunk_corrupt") return false;
      throw error;
    }
  }

  async learn(orgId: string, manifest: ChunkManifest): Promise<void> {
    await this.chunks.run("learn", { orgId, manifest });
  }
}

/** Why uploads ended: the first failed upload, rather than the abort that it caused in the others. */
function uploadFailure(signal: AbortSignal, error: unknown): unknown {
  return signal.reason ?? error;
}

interface Fetch {
  range: LoadRange;
  whole: boolean;
}

/** A range that is most of its pack fetches the whole pack, for the cache. */
function wholePacks(manifest: ChunkManifest, loads: LoadRange[]): Fetch[] {
  return loads.map((range) => {
    const size = manifest.packs[range.pack]?.sizeBytes ?? 0;
    return { range, whole: range.end - range.start >= size * ranges.wholePackShare };
  });
}
