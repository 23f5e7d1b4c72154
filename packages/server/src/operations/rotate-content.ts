/**
 * Stores every artifact that needs an old content key again under the current one: checkpoints, versions, images and task trees alike, which share chunks.
 * Beside a working server, one artifact at a time:
 *
 *   look      its manifest says which keys it needs; what was found is written down, so that a later run does not look again
 *   reseal    new packs and a new manifest under a new id (chunks/reseal-chunks.ts); until here nobody knows of them
 *   move      one transaction: the new artifact is true, and everything that referred to the old one refers to it
 *
 * The old artifact is garbage from then on, and is collected like any other: after the grace period, so that who was told of it reads on. Stopped at any
 * moment, it leaves objects without rows, which are collected too. Whoever stores something meanwhile may still point to old packs (a tree that changed a
 * little since its parent), so passes follow until one changes nothing.
 */
import type { Readable } from "node:stream";
import { type ChunkManifest, sealedManifestParts } from "@helmr/protocol/worker";
import type { BlobStore } from "../blobs/port.ts";
import { BoundedCache } from "../bounded-cache.ts";
import { openManifest, StoredBytesError } from "../chunks/open-chunks.ts";
import { type KnownChunks, learnChunks, resealArtifact, type SealingKeys } from "../chunks/reseal-chunks.ts";
import type { Keys } from "../secrets.ts";
import { storageLimits } from "../storage-limits.ts";
import { artifactInsert } from "../store/artifact.ts";
import {
  artifactRotationEqual,
  artifactRotationFound,
  artifactRotationHold,
  artifactRotationMove,
  artifactRotationPage,
  type RotatingArtifact,
} from "../store/artifact-rotation.ts";
import type { Db } from "../store/db.ts";
import { checkArtifact } from "./check-artifact.ts";

export interface ContentRotationContext {
  db: Db;
  blobs: BlobStore;
  keys: Keys;
}

export interface ContentRotation {
  /** Artifacts stored again, and those whose place an equal one took that was there already. */
  resealed: number;
  moved: number;
  resealedBytes: number;
  /** Left as they are: a key is not in the ring, an object is gone, or bytes are damaged. */
  unreadable: { artifactId: string; orgId: string; kind: string; reason: string }[];
  /** Artifacts that something refers to, by key they need, as the last pass saw them. */
  remaining: Record<string, number>;
}

export interface ContentRotationOptions {
  page?: number;
  passesMax?: number;
  onArtifact?: (done: { artifactId: string; resealed: number }) => void | Promise<void>;
}

const beforeAll = "00000000-0000-0000-0000-000000000000";
const passesMaxDefault = 5;
/** Places of chunks, some 200 bytes each. */
const knownChunksMax = 200_000;

export async function rotateContent(context: ContentRotationContext, options: ContentRotationOptions = {}): Promise<ContentRotation> {
  const rotation: ContentRotation = { resealed: 0, moved: 0, resealedBytes: 0, unreadable: [], remaining: {} };
  for (let pass = options.passesMax ?? passesMaxDefault; pass > 0; pass -= 1) {
    const before = rotation.resealed + rotation.moved;
    rotation.unreadable = [];
    rotation.remaining = {};
    await new Pass(context, rotation, options).walk();
    if (rotation.resealed + rotation.moved === before) break;
  }
  return rotation;
}

interface Opened {
  keys: SealingKeys;
  manifest: ChunkManifest;
  sealedWith: string[];
}

class Pass {
  private readonly context: ContentRotationContext;
  private readonly rotation: ContentRotation;
  private readonly options: ContentRotationOptions;
  private known: KnownChunks = new BoundedCache(knownChunksMax);

  constructor(context: ContentRotationContext, rotation: ContentRotation, options: ContentRotationOptions) {
    this.context = context;
    this.rotation = rotation;
    this.options = options;
  }

  async walk(): Promise<void> {
    const limit = this.options.page ?? storageLimits.page;
    for (let after = beforeAll; ;) {
      const rows = await artifactRotationPage(this.context.db, after, limit);
      for (const row of rows) if (row.is_referred) await this.visit(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < limit) return;
      after = last.id;
    }
  }

  private async visit(row: RotatingArtifact): Promise<void> {
    const { rotation } = this;
    try {
      for (const keyId of await this.rotate(row)) rotation.remaining[keyId] = (rotation.remaining[keyId] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof StoredBytesError)) throw error;
      rotation.unreadable.push({ artifactId: row.id, orgId: row.org_id, kind: row.kind, reason: error.message });
    }
  }

  /** The keys that what is referred to needs afterwards. */
  private async rotate(row: RotatingArtifact): Promise<string[]> {
    const { db, keys } = this.context;
    const { current } = keys.storageKeys(row.org_id);
    const onlyCurrent = [current];
    let opened: Opened | undefined;
    if (row.sealed_with === null) {
      opened = await this.open(row);
      await artifactRotationFound(db, row.id, opened.sealedWith);
      if (isOnly(opened.sealedWith, current)) learnChunks(this.known, row.org_id, opened.manifest);
    }
    const sealedWith = opened?.sealedWith ?? row.sealed_with ?? [];
    if (isOnly(sealedWith, current)) return onlyCurrent;
    const equal = await artifactRotationEqual(db, row.id, current);
    const taken = equal === undefined ? await this.reseal(row, opened ?? (await this.open(row))) : await this.moveTo(row.id, equal);
    await this.options.onArtifact?.({ artifactId: row.id, resealed: this.rotation.resealed });
    return taken ? onlyCurrent : sealedWith;
  }

  private async open(row: RotatingArtifact): Promise<Opened> {
    const { idKey, current, contentKeys } = this.context.keys.storageKeys(row.org_id);
    const keys = { orgId: row.org_id, idKey, current, content: contentKeys };
    const sealed = await this.fetch(row.manifest_key);
    const manifest = openManifest(keys, { id: row.id, digest: row.digest }, sealed);
    const named = manifest.packs.map(({ keyId }) => keyId);
    return { keys, manifest, sealedWith: [...new Set([sealedManifestParts(sealed).keyId, ...named])].sort() };
  }

  private async moveTo(id: string, equal: string): Promise<boolean> {
    const moved = await this.context.db.tx(async (tx) => {
      if (!(await artifactRotationHold(tx, [id, equal]))) return false;
      await artifactRotationMove(tx, id, equal);
      return true;
    });
    if (moved) this.rotation.moved += 1;
    return moved;
  }

  private async reseal(row: RotatingArtifact, { keys, manifest }: Opened): Promise<boolean> {
    const stored = await resealArtifact({
      keys,
      manifest,
      digest: row.digest,
      known: this.known,
      fetch: (key, range) => this.fetch(key, range),
      put: (key, bytes) => this.put(key, bytes),
    });
    const outcome = await this.context.db.tx(async (tx) => {
      if (!(await artifactRotationHold(tx, [row.id]))) return "gone" as const;
      if ((await checkArtifact(tx, row.org_id, stored.artifact)) !== undefined) return "refused" as const;
      await artifactInsert(tx, row.org_id, row.kind, stored.artifact);
      await artifactRotationFound(tx, stored.artifact.artifact_id, [keys.current]);
      await artifactRotationMove(tx, row.id, stored.artifact.artifact_id);
      return "moved" as const;
    });
    if (outcome === "moved") {
      learnChunks(this.known, row.org_id, stored.manifest);
      this.rotation.resealed += 1;
      this.rotation.resealedBytes += stored.artifact.stored_bytes;
      return true;
    }
    // A pack that it points to was given up meanwhile: nothing that was learned is believed any more, and the next pass stores it whole.
    if (outcome === "refused") this.known = new BoundedCache(knownChunksMax);
    return false;
  }

  private async fetch(key: string, range?: { start: number; end: number }): Promise<Buffer> {
    const found = await this.context.blobs.get(key, range && { start: range.start, endExclusive: range.end });
    if (!found) throw new StoredBytesError("missing", `Object ${key} is missing`);
    const bytes = await bytesOf(found.bytes);
    if (range !== undefined && bytes.length !== range.end - range.start)
      throw new StoredBytesError("corrupt", `Object ${key} gave ${bytes.length} of ${range.end - range.start} bytes`);
    return bytes;
  }

  private async put(key: string, bytes: Buffer): Promise<void> {
    const { outcome } = await this.context.blobs.put(key, bytes, { sizeBytes: bytes.length });
    if (outcome !== "stored" && outcome !== "exists") throw new StoredBytesError("corrupt", `Object ${key} was not stored: ${outcome}`);
  }
}

const isOnly = (sealedWith: readonly string[], current: string): boolean => sealedWith.length === 1 && sealedWith[0] === current;

async function bytesOf(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}
