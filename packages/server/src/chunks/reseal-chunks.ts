/**
 * Stores an artifact again under the current content key: what lies under another key is opened, verified and sealed into new packs, what lies under the
 * current one keeps its place, and a new manifest under a new id names both. Content and digest stay what they were. The one place of the server that seals;
 * workers seal everything else (worker/src/chunks/). Objects only: rows are for who asked (operations/rotate-content.ts).
 *
 * Memory is bounded by one manifest, one pack, one read of a few chunks, and `KnownChunks`.
 */
import { createCipheriv, hkdfSync, randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import {
  type ChunkManifest,
  chunkHeader,
  chunkIdBytes,
  chunkNonce,
  chunkPlainBytes,
  codecRaw,
  codecZstd,
  encodeManifest,
  manifestHeader,
  manifestKeyInfo,
  manifestObjectKey,
  manifestOwner,
  type NewArtifact,
  packKeyInfo,
  packObjectKey,
  sealNonceBytes,
  sealTagBytes,
} from "@helmr/protocol/worker";
import { assert } from "../assert.ts";
import { BoundedCache } from "../bounded-cache.ts";
import { newId } from "../new-id.ts";
import { ChunkDevice, type FetchBytes } from "./chunk-device.ts";
import type { OpeningKeys } from "./open-chunks.ts";

export interface SealingKeys extends OpeningKeys {
  /** Id of the content key that seals. */
  current: string;
}

export interface ChunkPlace {
  packId: string;
  packBytes: number;
  offset: number;
  sealedBytes: number;
  codec: number;
}

/** Where chunks that were sealed again lie, by organization and id: what artifacts share is stored once. */
export type KnownChunks = BoundedCache<ChunkPlace>;

export type PutObject = (objectKey: string, bytes: Buffer) => Promise<void>;

const packTargetBytes = 4 * 1024 * 1024;
const readBytes = 1024 * 1024;

export interface Resealing {
  keys: SealingKeys;
  manifest: ChunkManifest;
  digest: string;
  fetch: FetchBytes;
  put: PutObject;
  known: KnownChunks;
}

export async function resealArtifact(options: Resealing): Promise<{ artifact: NewArtifact; manifest: ChunkManifest }> {
  const { keys, manifest, digest, put } = options;
  const packs = new Packs(options);
  const places = Array.from<ChunkPlace>({ length: manifest.indexes.length });
  for await (const { position, plain } of chunksOf(options, (at) => packs.keep(places, at)))
    places[position] = await packs.seal(position, plain);
  await packs.finish();
  const resealed = arranged(manifest, places, keys.current);
  const id = newId();
  const objectKey = manifestObjectKey(keys.orgId, id);
  await put(objectKey, sealManifest(keys, id, resealed));
  const artifact = {
    artifact_id: id,
    manifest_key: objectKey,
    digest,
    length_bytes: manifest.lengthBytes,
    stored_bytes: packs.writtenBytes,
    packs: resealed.packs.map((pack) => ({
      pack_id: pack.id,
      object_key: packObjectKey(keys.orgId, pack.id),
      size_bytes: pack.sizeBytes,
    })),
  };
  return { artifact, manifest: resealed };
}

/** The plain bytes of all chunks that are not kept, neighbours read together. */
async function* chunksOf(
  { keys, manifest, fetch }: Resealing,
  keep: (position: number) => boolean,
): AsyncGenerator<{ position: number; plain: Buffer }> {
  const { indexes, chunkBytes } = manifest;
  const device = new ChunkDevice({ manifest, keys, fetch, cache: new BoundedCache<Buffer>(0) });
  const wanted: number[] = [];
  const read = async () => {
    const [first, last] = [wanted[0] as number, wanted.at(-1) as number];
    const start = (indexes[first] as number) * chunkBytes;
    const end = (indexes[last] as number) * chunkBytes + chunkPlainBytes(manifest, indexes[last] as number);
    const bytes = await device.read(start, end - start);
    return wanted.splice(0).map((position) => {
      const from = (indexes[position] as number) * chunkBytes - start;
      return { position, plain: bytes.subarray(from, from + chunkPlainBytes(manifest, indexes[position] as number)) };
    });
  };
  for (let position = 0; position < indexes.length; position += 1) {
    if (keep(position)) continue;
    const before = wanted.at(-1);
    const joins = before !== undefined && before === position - 1 && indexes[before] === (indexes[position] as number) - 1;
    if (wanted.length > 0 && (!joins || (wanted.length + 1) * chunkBytes > readBytes)) yield* await read();
    wanted.push(position);
  }
  if (wanted.length > 0) yield* await read();
}

class Packs {
  writtenBytes = 0;
  private readonly options: Resealing;
  private open: { id: string; key: Buffer; parts: Buffer[]; bytes: number; places: { name: string; place: ChunkPlace }[] } | undefined;
  /** Of this artifact: what is in the open pack is not known elsewhere yet. */
  private readonly fresh = new Map<string, ChunkPlace>();

  constructor(options: Resealing) {
    this.options = options;
  }

  /** True when the chunk needs no sealing: it is under the current key, or was sealed again before. */
  keep(places: ChunkPlace[], position: number): boolean {
    const { manifest, keys, known } = this.options;
    const pack = manifest.packs[manifest.pack[position] as number];
    assert(pack !== undefined, `The manifest has no pack of chunk ${position}`);
    const place =
      pack.keyId === keys.current
        ? {
            packId: pack.id,
            packBytes: pack.sizeBytes,
            offset: manifest.offset[position] as number,
            sealedBytes: manifest.sealedBytes[position] as number,
            codec: manifest.codec[position] as number,
          }
        : (this.fresh.get(this.nameOf(position)) ?? known.get(this.nameOf(position)));
    if (place) places[position] = place;
    return place !== undefined;
  }

  async seal(position: number, plain: Buffer): Promise<ChunkPlace> {
    const { manifest, keys } = this.options;
    const again = this.fresh.get(this.nameOf(position));
    if (again) return again;
    const id = newId();
    const pack = (this.open ??= { id, key: derive(keys, packKeyInfo(id)), parts: [], bytes: 0, places: [] });
    const chunk = manifest.ids.subarray(position * chunkIdBytes, (position + 1) * chunkIdBytes);
    const packed = zstdCompressSync(plain);
    const codec = packed.length < plain.length ? codecZstd : codecRaw;
    const cipher = createCipheriv("aes-256-gcm", pack.key, chunkNonce(pack.bytes));
    cipher.setAAD(chunkHeader(chunk, codec, plain.length));
    const body = cipher.update(codec === codecZstd ? packed : plain);
    cipher.final();
    const place: ChunkPlace = { packId: pack.id, packBytes: 0, offset: pack.bytes, sealedBytes: body.length + sealTagBytes, codec };
    pack.parts.push(body, cipher.getAuthTag());
    pack.bytes += place.sealedBytes;
    pack.places.push({ name: this.nameOf(position), place });
    this.fresh.set(this.nameOf(position), place);
    if (pack.bytes >= packTargetBytes) await this.finish();
    return place;
  }

  async finish(): Promise<void> {
    const pack = this.open;
    if (pack === undefined) return;
    this.open = undefined;
    await this.options.put(packObjectKey(this.options.keys.orgId, pack.id), Buffer.concat(pack.parts));
    this.writtenBytes += pack.bytes;
    for (const { place } of pack.places) place.packBytes = pack.bytes;
  }

  private nameOf(position: number): string {
    const { manifest, keys } = this.options;
    return chunkName(keys.orgId, manifest, position);
  }
}

const chunkName = (orgId: string, { ids }: ChunkManifest, position: number): string =>
  `${orgId} ${Buffer.from(ids.buffer, ids.byteOffset + position * chunkIdBytes, chunkIdBytes).toString("latin1")}`;

/** Once the control plane knows an artifact, others may point to its chunks. */
export function learnChunks(known: KnownChunks, orgId: string, manifest: ChunkManifest): void {
  for (let position = 0; position < manifest.indexes.length; position += 1) {
    const pack = manifest.packs[manifest.pack[position] as number];
    assert(pack !== undefined, `The manifest has no pack of chunk ${position}`);
    const [offset, sealedBytes, codec] = [manifest.offset[position], manifest.sealedBytes[position], manifest.codec[position]];
    const place = { packId: pack.id, packBytes: pack.sizeBytes, offset, sealedBytes, codec } as ChunkPlace;
    known.set(chunkName(orgId, manifest, position), place, 1);
  }
}

function arranged(manifest: ChunkManifest, places: readonly ChunkPlace[], keyId: string): ChunkManifest {
  const numbers = new Map<string, number>();
  const packs: ChunkManifest["packs"] = [];
  const pack = Uint32Array.from(places, (place) => {
    const number = numbers.get(place.packId) ?? packs.push({ id: place.packId, sizeBytes: place.packBytes, keyId }) - 1;
    numbers.set(place.packId, number);
    return number;
  });
  return {
    ...manifest,
    packs,
    pack,
    offset: Uint32Array.from(places, ({ offset }) => offset),
    sealedBytes: Uint32Array.from(places, ({ sealedBytes }) => sealedBytes),
    codec: Uint8Array.from(places, ({ codec }) => codec),
  };
}

function sealManifest(keys: SealingKeys, artifactId: string, manifest: ChunkManifest): Buffer {
  const nonce = randomBytes(sealNonceBytes);
  const header = manifestHeader(keys.current, nonce);
  const cipher = createCipheriv("aes-256-gcm", derive(keys, manifestKeyInfo(artifactId)), nonce);
  cipher.setAAD(Buffer.concat([header, Buffer.from(manifestOwner(keys.orgId, artifactId))]));
  const body = cipher.update(zstdCompressSync(encodeManifest(manifest)));
  cipher.final();
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}

function derive(keys: SealingKeys, info: string): Buffer {
  const root = keys.content.get(keys.current);
  assert(root !== undefined, `The current content key ${keys.current} is not in the key ring`);
  return Buffer.from(hkdfSync("sha256", root, keys.orgId, info, 32));
}
