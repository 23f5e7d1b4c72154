/**
 * What the server's keys can do; the only holder of roots. Every use derives a key of its own from the root of its purpose (HKDF-SHA-256, the use
 * in the info), so that one use can never be mistaken for another.
 *
 * - `seal` / `open`: AES-256-GCM with a random nonce. The context (for a secret: environment and name) is authenticated with it, so a ciphertext
 *   cannot be moved to another row. The result names its key id and stays readable as long as the ring has that key.
 * - `sign` / `verify`: short texts that a client carries for us (the login flow cookie).
 * - `deriveToken` / `isDerivedToken`: credentials computed from an id instead of stored (public completion tokens, callback secrets).
 * - `storageKeys`: what a worker needs to read and write the chunks of one organization (engine §6).
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { sameSecret } from "./credentials.ts";
import type { KeyPurpose, KeyRing, RootKey } from "./key-ring.ts";

interface Sealed {
  keyId: string;
  /** version 1 · nonce 12 · tag 16 · ciphertext */
  bytes: Buffer;
}

type Opened = { ok: true; plain: Buffer } | { ok: false; reason: "unknown_key" | "corrupt" };

type SealPurpose = Extract<KeyPurpose, "secrets" | "content">;
type SignPurpose = Extract<KeyPurpose, "login" | "worker" | "grants" | "tokens">;

interface StorageKeySet {
  /** Ids of chunks are computed with it; it never changes. */
  idKey: Buffer;
  /** Key id that new chunks are sealed with. */
  current: string;
  contentKeys: ReadonlyMap<string, Buffer>;
}

export interface Keys {
  seal(purpose: SealPurpose, plain: Uint8Array, context: string): Sealed;
  open(purpose: SealPurpose, sealed: Sealed, context: string): Opened;
  currentKeyId(purpose: KeyPurpose): string;
  /** Ids of the ring, the current one first. */
  keyIds(purpose: KeyPurpose): readonly string[];
  /** HMAC-SHA-256 under the current key of the purpose. */
  mac(purpose: SignPurpose, use: string, message: string): { keyId: string; mac: Buffer };
  /** Checks against the named key, or against all of them; constant time per key. */
  checkMac(purpose: SignPurpose, use: string, check: { message: string; mac: Uint8Array; keyId?: string }): boolean;
  sign(purpose: SignPurpose, use: string, payload: string): string;
  /** The payload, if one of our keys signed it for this use. */
  verify(purpose: SignPurpose, use: string, signed: string): string | undefined;
  /** With the current key, or with the one it was made with: a repeat gives the same text. */
  deriveToken(prefix: string, subject: string, keyId?: string): string;
  isDerivedToken(text: string, prefix: string, subject: string): boolean;
  storageKeys(orgId: string): StorageKeySet;
}

const formatVersion = 1;
const nonceBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + nonceBytes + tagBytes;
/** Derived keys are few (a handful of uses), but organizations are many. */
const derivedMax = 4_096;

export function openKeys(ring: KeyRing): Keys {
  const derived = new Map<string, Buffer>();

  function derive(purpose: KeyPurpose, root: RootKey, use: string): Buffer {
    const name = `${purpose}\0${root.id}\0${use}`;
    const known = derived.get(name);
    if (known) return known;
    if (derived.size >= derivedMax) derived.clear();
    const key = Buffer.from(hkdfSync("sha256", root.key, Buffer.alloc(0), `helmr ${purpose} ${use}`, 32));
    derived.set(name, key);
    return key;
  }

  const rootOf = (purpose: KeyPurpose, keyId: string) => ring[purpose].find((root) => root.id === keyId);
  const hmac = (purpose: SignPurpose, root: RootKey, use: string, message: string) =>
    createHmac("sha256", derive(purpose, root, use))
      .update(message)
      .digest();

  const keys: Keys = {
    seal(purpose, plain, context) {
      const root = ring[purpose][0];
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", derive(purpose, root, "seal"), nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
      return { keyId: root.id, bytes: Buffer.concat([Buffer.of(formatVersion), nonce, cipher.getAuthTag(), sealed]) };
    },
    open(purpose, sealed, context) {
      const root = rootOf(purpose, sealed.keyId);
      if (!root) return { ok: false, reason: "unknown_key" };
      return openWith(derive(purpose, root, "seal"), sealed.bytes, context);
    },
    currentKeyId: (purpose) => ring[purpose][0].id,
    keyIds: (purpose) => ring[purpose].map((root) => root.id),
    mac: (purpose, use, message) => ({ keyId: ring[purpose][0].id, mac: hmac(purpose, ring[purpose][0], use, message) }),
    checkMac(purpose, use, { message, mac, keyId }) {
      const roots = keyId === undefined ? ring[purpose] : ring[purpose].filter((root) => root.id === keyId);
      return roots.some((root) => sameBytes(hmac(purpose, root, use, message), mac));
    },
    sign(purpose, use, payload) {
      const { keyId, mac } = keys.mac(purpose, use, payload);
      return `${Buffer.from(payload).toString("base64url")}.${keyId}.${mac.toString("base64url")}`;
    },
    verify(purpose, use, signed) {
      const [encoded, keyId, mac, ...rest] = signed.split(".");
      if (encoded === undefined || keyId === undefined || mac === undefined || rest.length > 0) return undefined;
      const message = Buffer.from(encoded, "base64url").toString();
      return keys.checkMac(purpose, use, { message, mac: Buffer.from(mac, "base64url"), keyId }) ? message : undefined;
    },
    deriveToken(prefix, subject, keyId) {
      const root = (keyId === undefined ? undefined : rootOf("tokens", keyId)) ?? ring.tokens[0];
      return prefix + hmac("tokens", root, prefix, subject).toString("base64url");
    },
    isDerivedToken(text, prefix, subject) {
      // Texts are compared, not decoded bytes: base64 has several texts for the same bytes.
      return ring.tokens.some((root) => sameSecret(text, prefix + hmac("tokens", root, prefix, subject).toString("base64url")));
    },
    storageKeys(orgId) {
      return {
        idKey: derive("chunk_ids", ring.chunk_ids[0], `chunk ids of ${orgId}`),
        current: ring.content[0].id,
        contentKeys: new Map(ring.content.map((root) => [root.id, derive("content", root, `chunks of ${orgId}`)])),
      };
    },
  };
  return keys;
}

function openWith(key: Buffer, bytes: Buffer, context: string): Opened {
  if (bytes.length < headerBytes || bytes[0] !== formatVersion) return { ok: false, reason: "corrupt" };
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(1, 1 + nonceBytes));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(bytes.subarray(1 + nonceBytes, headerBytes));
  try {
    return { ok: true, plain: Buffer.concat([decipher.update(bytes.subarray(headerBytes)), decipher.final()]) };
  } catch {
    // The tag does not fit: other key material under the same id, another row's bytes, or damage.
    return { ok: false, reason: "corrupt" };
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
