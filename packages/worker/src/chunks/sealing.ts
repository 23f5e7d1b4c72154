/**
 * How chunks and manifests are sealed (engine §6, §7).
 *
 *   chunk id   first 16 bytes of HMAC-SHA256(id key of the tenant, plain bytes): equal content is found inside a tenant, tested by nobody else
 *   chunk      AES-256-GCM over the plain or zstd-compressed bytes, then the tag. Key = HKDF(content key, pack id); nonce = the chunk's
 *              offset in its pack, so a (key, nonce) pair never comes twice: a pack id is made once and an offset is written once.
 *              The id, codec and plain length are authenticated with it, so a chunk fits in no other place.
 *   manifest   "HLM1" keyId nonce ciphertext tag; plain form compressed with zstd. Key = HKDF(content key, artifact id), random nonce; the
 *              header, organization and artifact are authenticated.
 *
 * Every open verifies: tag, length, and the chunk id over the plain bytes again.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import {
  type ChunkManifest,
  chunkIdBytes,
  codecRaw,
  codecZstd,
  decodeManifest,
  encodeManifest,
  encodeManifestContent,
  ManifestError,
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

export const sealTagBytes = 16;
const nonceBytes = 12;

export function chunkId(idKey: Uint8Array, plain: Uint8Array): Buffer {
  return createHmac("sha256", idKey).update(plain).digest().subarray(0, chunkIdBytes);
}

export function packKey(keys: TenantKeys, keyId: string, packId: string): Buffer {
  return deriveKey(keys, keyId, `helmr pack ${packId}`);
}

function deriveKey(keys: TenantKeys, keyId: string, purpose: string): Buffer {
  const root = keys.content.get(keyId);
  if (root === undefined) throw new ChunkError("key_missing", `Content key ${keyId} was not delivered: it seals ${purpose}`);
  return Buffer.from(hkdfSync("sha256", root, keys.orgId, purpose, 32));
}

function chunkNonce(offset: number): Buffer {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeUInt32BE(offset, 8);
  return nonce;
}

function chunkHeader(id: Uint8Array, codec: number, plainBytes: number): Buffer {
  const header = Buffer.alloc(chunkIdBytes + 5);
  header.set(id);
  header[chunkIdBytes] = codec;
  header.writeUInt32BE(plainBytes, chunkIdBytes + 1);
  return header;
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

const manifestMagic = "HLM1";
/** More than the largest manifest the protocol allows; a bound against bombs. */
const manifestPlainBytesMax = 192 * 1024 * 1024;

export function sealManifest(keys: TenantKeys, artifactId: string, manifest: ChunkManifest): Buffer {
  const keyId = Buffer.from(keys.current);
  const nonce = randomBytes(nonceBytes);
  const header = Buffer.concat([Buffer.from(manifestMagic), Buffer.from([keyId.length]), keyId, nonce]);
  const key = deriveKey(keys, keys.current, `helmr manifest ${artifactId}`);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.concat([header, Buffer.from(`${keys.orgId} ${artifactId}`)]));
  const body = cipher.update(zstdCompressSync(encodeManifest(manifest)));
  cipher.final();
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}

export function openManifest(keys: TenantKeys, artifact: { id: string; digest: string }, sealed: Uint8Array): ChunkManifest {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const keyEnd = 5 + (bytes[4] ?? 0);
  const start = keyEnd + nonceBytes;
  if (bytes.length < start + sealTagBytes || bytes.subarray(0, 4).toString() !== manifestMagic)
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifact.id} has no valid header`);
  const key = deriveKey(keys, bytes.subarray(5, keyEnd).toString(), `helmr manifest ${artifact.id}`);
  const manifest = decryptManifest({ keys, key, bytes, keyEnd }, artifact.id);
  const digest = artifactDigest(manifest);
  if (digest !== artifact.digest)
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifact.id} has digest ${digest}, not ${artifact.digest}`);
  return manifest;
}

function decryptManifest(sealed: { keys: TenantKeys; key: Uint8Array; bytes: Buffer; keyEnd: number }, artifactId: string): ChunkManifest {
  const start = sealed.keyEnd + nonceBytes;
  const end = sealed.bytes.length - sealTagBytes;
  try {
    const decipher = createDecipheriv("aes-256-gcm", sealed.key, sealed.bytes.subarray(sealed.keyEnd, start));
    decipher.setAAD(Buffer.concat([sealed.bytes.subarray(0, start), Buffer.from(`${sealed.keys.orgId} ${artifactId}`)]));
    decipher.setAuthTag(sealed.bytes.subarray(end));
    const packed = decipher.update(sealed.bytes.subarray(start, end));
    decipher.final();
    return decodeManifest(zstdDecompressSync(packed, { maxOutputLength: manifestPlainBytesMax }));
  } catch (cause) {
    const why = cause instanceof ManifestError ? cause.message : "it does not open";
    throw new ChunkError("manifest_corrupt", `Manifest of artifact ${artifactId} is unusable: ${why}`, { cause });
  }
}
