/**
 * How sealed chunks and manifests are laid out and what their keys are derived for: the part of the format that whoever seals (the worker) and whoever
 * opens (the worker, and the control plane that reads files of a version without a machine) must agree on. Without cryptography: each side brings its own.
 *
 *   chunk id   first 16 bytes of HMAC-SHA256(id key of the tenant, plain bytes)
 *   chunk      AES-256-GCM over the plain or zstd-compressed bytes, then the tag. Key = HKDF(content key, salt: organization, info: `packKeyInfo`);
 *              nonce = `chunkNonce(offset in the pack)`; authenticated with it: `chunkHeader`
 *   manifest   "HLM1" keyId nonce ciphertext tag over the zstd-compressed plain form. Key = HKDF(…, info: `manifestKeyInfo`), random nonce;
 *              authenticated with it: `manifestHeader` and `manifestOwner`
 */
import { chunkIdBytes, ManifestError } from "./chunk-manifest.ts";

export const sealTagBytes = 16;
export const sealNonceBytes = 12;
/** More than the largest manifest the protocol allows; a bound against bombs. */
export const manifestPlainBytesMax = 192 * 1024 * 1024;

const manifestMagic = [0x48, 0x4c, 0x4d, 0x31] as const; // "HLM1"

export const packKeyInfo = (packId: string): string => `helmr pack ${packId}`;
export const manifestKeyInfo = (artifactId: string): string => `helmr manifest ${artifactId}`;
export const manifestOwner = (orgId: string, artifactId: string): string => `${orgId} ${artifactId}`;

/** Unique per pack key: a pack id is made once and an offset is written once. */
export function chunkNonce(offset: number): Uint8Array {
  const nonce = new Uint8Array(sealNonceBytes);
  new DataView(nonce.buffer).setUint32(8, offset);
  return nonce;
}

/** A chunk with this header fits in no other place. */
export function chunkHeader(id: Uint8Array, codec: number, plainBytes: number): Uint8Array {
  const header = new Uint8Array(chunkIdBytes + 5);
  header.set(id);
  header[chunkIdBytes] = codec;
  new DataView(header.buffer).setUint32(chunkIdBytes + 1, plainBytes);
  return header;
}

export function manifestHeader(keyId: string, nonce: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(keyId);
  const header = new Uint8Array(5 + name.length + sealNonceBytes);
  header.set(manifestMagic);
  header[4] = name.length;
  header.set(name, 5);
  header.set(nonce, 5 + name.length);
  return header;
}

export interface SealedManifestParts {
  keyId: string;
  header: Uint8Array;
  nonce: Uint8Array;
  body: Uint8Array;
  tag: Uint8Array;
}

export function sealedManifestParts(bytes: Uint8Array): SealedManifestParts {
  const keyEnd = 5 + (bytes[4] ?? 0);
  const start = keyEnd + sealNonceBytes;
  const end = bytes.length - sealTagBytes;
  if (end < start || manifestMagic.some((byte, at) => bytes[at] !== byte))
    throw new ManifestError("The sealed manifest has no valid header");
  return {
    keyId: new TextDecoder().decode(bytes.subarray(5, keyEnd)),
    header: bytes.subarray(0, start),
    nonce: bytes.subarray(keyEnd, start),
    body: bytes.subarray(start, end),
    tag: bytes.subarray(end),
  };
}
