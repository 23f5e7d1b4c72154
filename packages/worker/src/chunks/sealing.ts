/**
 * Sealing and opening of chunks and manifests (engine §6, §7). The layout, and what each key is derived for, is in
 * protocol/src/worker/sealed-chunks.ts. Equal content is found inside a tenant and tested by nobody else: ids are keyed. Every open verifies: tag,
 * length, and the chunk id over the plain bytes again.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import {
  type ChunkManifest,
  chunkHeader,
  chunkIdBytes,
  chunkNonce,
  codecRaw,
  codecZstd,
  decodeManifest,
  encodeManifest,
  encodeManifestContent,
  ManifestError,
  manifestHeader,
  manifestKeyInfo,
  manifestOwner,
  manifestPlainBytesMax,
  packKeyInfo,
  sealedManifestParts,
  type SealedManifestParts,
  sealNonceBytes,
  sealTagBytes,
  type StorageKeys,
} from "@helmr/protocol/worker";

export interface TenantKeys {
  orgId: string;
  idKey: Uint8Array;
  /** Id of the content key that seals new bytes. */
  current: string;
  content: ReadonlyMap<string, Uint8Array>;
}

export function tenantKeys(storage: StorageKeys): TenantKeys {
  return {
    orgId: storage.org_id,
    idKey: Buffer.from(storage.id_key, "base64"),
    current: storage.current,
    content: new Map(Object.entries(storage.content_keys).map(([id, key]) => [id, Buffer.from(key, "base64")])),
  };
}

export type ChunkErrorCode = "chunk_corrupt" | "manifest_corrupt" | "key_missing";

/** Stored bytes that are not what they should be. Expected: stores fail, and keys are rotated away. */
export class ChunkError extends Error {
  override name = "ChunkError";
  readonly code: ChunkErrorCode;
  constructor(code: ChunkErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function chunkId(idKey: Uint8Array, plain: Uint8Array): Buffer {
  return createHmac("sha256", idKey).update(plain).digest().subarray(0, chunkIdBytes);
}

export function packKey(keys: TenantKeys, keyId: string, packId: string): Buffer {
  return deriveKey(keys, keyId, packKeyInfo(packId));
}

function deriveKey(keys: TenantKeys, keyId: string, purpose: string): Buffer {
  const root = keys.content.get(keyId);
  if (root === undefined) throw new ChunkError("key_missing", `Content key ${keyId} was not delivered: it seals ${purpose}`);
  return Buffer.from(hkdfSync("sha256", root, keys.orgId, purpose, 32));
}

export interface SealedChunk {
  codec: number;
  parts: [Buffer, Buffer];
  bytes: number;
}

/** `parts` are to be written one after the other at `offset` of the pack. */
export function sealChunk(key: Uint8Array, offset: number, chunk: { id: Uint8Array; plain: Uint8Array; level: number }): SealedChunk {
  const packed = zstdCompressSync(chunk.plain, {
    params: { [constants.ZSTD_c_compressionLevel]: chunk.level },
  });
  const smaller = packed.length < chunk.plain.length;
  const codec = smaller ? codecZstd : codecRaw;
  const cipher = createCipheriv("aes-256-gcm", key, chunkNonce(offset));
  cipher.setAAD(chunkHeader(chunk.id, codec, chunk.plain.length));
  const body = cipher.update(smaller ? packed : chunk.plain);
  cipher.final();
  return { codec, parts: [body, cipher.getAuthTag()], bytes: body.length + sealTagBytes };
}

export interface ChunkToOpen {
  id: Uint8Array;
  codec: number;
  offset: number;
  plainBytes: number;
}

export function openChunk(keys: TenantKeys, key: Uint8Array, sealed: Uint8Array, chunk: ChunkToOpen): Buffer {
  const where = `Chunk ${Buffer.from(chunk.id).toString("hex")} at offset ${chunk.offset}`;
  if (sealed.length < sealTagBytes) throw new ChunkError("chunk_corrupt", `${where} is cut short`);
  let plain: Buffer;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, chunkNonce(chunk.offset));
    decipher.setAAD(chunkHeader(chunk.id, chunk.codec, chunk.plainBytes));
    decipher.setAuthTag(sealed.subarray(sealed.length - sealTagBytes));
    const body = decipher.update(sealed.subarray(0, sealed.length - sealTagBytes));
    decipher.final();
    plain = chunk.codec === codecZstd ? zstdDecompressSync(body, { maxOutputLength: chunk.plainBytes }) : body;
  } catch (cause) {
    throw new ChunkError("chunk_corrupt", `${where} does not open`, { cause });
  }
  if (plain.length !== chunk.plainBytes || !chunkId(keys.idKey, plain).equals(chunk.id))
    throw new ChunkError("chunk_corrupt", `${where} holds other bytes than its id says`);
  return plain;
}

/** The digest of an artifact: equal for equal content of one tenant. */
export function artifactDigest(manifest: ChunkManifest): string {
  return `sha256:${createHash("sha256").update(encodeManifestContent(manifest)).digest("hex")}`;
}

export function sealManifest(keys: TenantKeys, artifactId: string, manifest: ChunkManifest): Buffer {
  const nonce = randomBytes(sealNonceBytes);
  const header = manifestHeader(keys.current, nonce);
  const cipher = createCipheriv("aes-256-gcm", deriveKey(keys, keys.current, manifestKeyInfo(artifactId)), nonce);
  cipher.setAAD(Buffer.concat([header, Buffer.from(manifestOwner(keys.orgId, artifactId))]));
  const body = cipher.update(zstdCompressSync(encodeManifest(manifest)));
  cipher.final();
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}

export function openManifest(keys: TenantKeys, artifact: { id: string; digest: string }, sealed: Uint8Array): ChunkManifest {
  const manifest = decryptManifest(keys, artifact.id, manifestParts(artifact.id, sealed));
  const digest = artifactDigest(manifest);
  if (digest !== artifact.digest)
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifact.id} has digest ${digest}, not ${artifact.digest}`);
  return manifest;
}

function manifestParts(artifactId: string, sealed: Uint8Array): SealedManifestParts {
  try {
    return sealedManifestParts(sealed);
  } catch (cause) {
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifactId} has no valid header`, { cause });
  }
}

function decryptManifest(keys: TenantKeys, artifactId: string, parts: SealedManifestParts): ChunkManifest {
  const key = deriveKey(keys, parts.keyId, manifestKeyInfo(artifactId));
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, parts.nonce);
    decipher.setAAD(Buffer.concat([parts.header, Buffer.from(manifestOwner(keys.orgId, artifactId))]));
    decipher.setAuthTag(parts.tag);
    const packed = decipher.update(parts.body);
    decipher.final();
    return decodeManifest(zstdDecompressSync(packed, { maxOutputLength: manifestPlainBytesMax }));
  } catch (cause) {
    const why = cause instanceof ManifestError ? cause.message : "it does not open";
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifactId} is unusable: ${why}`, { cause });
  }
}
