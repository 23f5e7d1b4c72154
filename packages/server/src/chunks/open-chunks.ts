/**
 * Opens what workers have sealed: manifests, and single chunks of packs (layout: protocol/src/worker/sealed-chunks.ts). The control plane only reads;
 * nothing here seals. Every open verifies the tag, the length, and the id over the plain bytes.
 */
import { createDecipheriv, createHash, createHmac, hkdfSync } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import {
  type ChunkManifest,
  chunkHeader,
  chunkIdBytes,
  chunkNonce,
  chunkPlainBytes,
  codecZstd,
  decodeManifest,
  encodeManifestContent,
  ManifestError,
  manifestKeyInfo,
  manifestOwner,
  manifestPlainBytesMax,
  packKeyInfo,
  sealedManifestParts,
  sealTagBytes,
} from "@helmr/protocol/worker";

/** As the key ring derives them for one organization. */
export interface OpeningKeys {
  orgId: string;
  idKey: Uint8Array;
  content: ReadonlyMap<string, Uint8Array>;
}

/** Stored bytes that are not what they should be, or that cannot be opened any more. */
export class StoredBytesError extends Error {
  override name = "StoredBytesError";
  readonly code: "missing" | "corrupt";
  constructor(code: "missing" | "corrupt", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const corrupt = (message: string, cause?: unknown) => new StoredBytesError("corrupt", message, { cause });

export function openManifest(keys: OpeningKeys, artifact: { id: string; digest: string }, sealed: Uint8Array): ChunkManifest {
  try {
    const parts = sealedManifestParts(sealed);
    const decipher = createDecipheriv("aes-256-gcm", deriveKey(keys, parts.keyId, manifestKeyInfo(artifact.id)), parts.nonce);
    decipher.setAAD(Buffer.concat([parts.header, Buffer.from(manifestOwner(keys.orgId, artifact.id))]));
    decipher.setAuthTag(parts.tag);
    const packed = decipher.update(parts.body);
    decipher.final();
    const manifest = decodeManifest(zstdDecompressSync(packed, { maxOutputLength: manifestPlainBytesMax }));
    const digest = `sha256:${createHash("sha256").update(encodeManifestContent(manifest)).digest("hex")}`;
    if (digest === artifact.digest) return manifest;
    throw corrupt(`Manifest of artifact ${artifact.id} has digest ${digest}, not ${artifact.digest}`);
  } catch (cause) {
    if (cause instanceof StoredBytesError) throw cause;
    throw corrupt(
      `Manifest of artifact ${artifact.id} is unusable: ${cause instanceof ManifestError ? cause.message : "it does not open"}`,
      cause,
    );
  }
}

function deriveKey(keys: OpeningKeys, keyId: string, info: string): Buffer {
  const root = keys.content.get(keyId);
  if (root === undefined) throw corrupt(`The content key ${keyId}, which seals ${info}, is not in the key ring`);
  return Buffer.from(hkdfSync("sha256", root, keys.orgId, info, 32));
}

/** Keys of packs of one manifest, derived once each. */
export class PackKeys {
  private readonly keys: OpeningKeys;
  private readonly manifest: ChunkManifest;
  private readonly derived = new Map<number, Buffer>();

  constructor(keys: OpeningKeys, manifest: ChunkManifest) {
    this.keys = keys;
    this.manifest = manifest;
  }

  /** The plain bytes of the chunk at a position of the manifest. */
  open(position: number, sealed: Uint8Array): Buffer {
    const { manifest, keys } = this;
    const id = manifest.ids.subarray(position * chunkIdBytes, (position + 1) * chunkIdBytes);
    const plainBytes = chunkPlainBytes(manifest, manifest.indexes[position] as number);
    const codec = manifest.codec[position] as number;
    const where = `Chunk ${Buffer.from(id).toString("hex")}`;
    if (sealed.length < sealTagBytes) throw corrupt(`${where} is cut short`);
    const plain = this.decrypt({ position, id, codec, plainBytes }, sealed);
    if (plain.length !== plainBytes || !createHmac("sha256", keys.idKey).update(plain).digest().subarray(0, chunkIdBytes).equals(id))
      throw corrupt(`${where} holds other bytes than its id says`);
    return plain;
  }

  private decrypt(chunk: { position: number; id: Uint8Array; codec: number; plainBytes: number }, sealed: Uint8Array): Buffer {
    const { manifest } = this;
    try {
      const key = this.packKey(manifest.pack[chunk.position] as number);
      const decipher = createDecipheriv("aes-256-gcm", key, chunkNonce(manifest.offset[chunk.position] as number));
      decipher.setAAD(chunkHeader(chunk.id, chunk.codec, chunk.plainBytes));
      decipher.setAuthTag(sealed.subarray(sealed.length - sealTagBytes));
      const body = decipher.update(sealed.subarray(0, sealed.length - sealTagBytes));
      decipher.final();
      return chunk.codec === codecZstd ? zstdDecompressSync(body, { maxOutputLength: chunk.plainBytes }) : body;
    } catch (cause) {
      if (cause instanceof StoredBytesError) throw cause;
      throw corrupt(`Chunk ${Buffer.from(chunk.id).toString("hex")} does not open`, cause);
    }
  }

  private packKey(number: number): Buffer {
    const known = this.derived.get(number);
    if (known !== undefined) return known;
    const pack = this.manifest.packs[number];
    if (pack === undefined) throw corrupt(`The manifest has no pack ${number}`);
    const key = deriveKey(this.keys, pack.keyId, packKeyInfo(pack.id));
    this.derived.set(number, key);
    return key;
  }
}
