/**
 * What the server's root keys (`keys.ts`) are used for; nothing else touches them. Every use derives a key of its own from the root of its purpose
 * (HKDF-SHA-256, the use in the info), so that one use can never be mistaken for another.
 *
 * - `seal` / `open`: AES-256-GCM with a random nonce. The context (for a secret: environment and name) is authenticated with it, so a ciphertext
 *   cannot be moved to another row. The result names its key id and stays readable as long as the ring has that key.
 * - `sign` / `verify`: short texts that a client carries for us (the login flow cookie).
 * - `deriveToken` / `isDerivedToken`: credentials computed from an id instead of stored (public completion tokens, callback secrets).
 * - `storageKeys`: what a worker needs to read and write the chunks of one organization (engine §6).
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { required } from "./assert.ts";
import { sameSecret } from "./credentials.ts";
import { deriveKey, type KeyPurpose, type Keys } from "./keys.ts";

export interface Sealed {
  keyId: string;
  /** version 1 · nonce 12 · tag 16 · ciphertext */
  bytes: Buffer;
}

export type Opened = { ok: true; plain: Buffer } | { ok: false; reason: "unknown_key" | "corrupt" };

export type SealPurpose = Extract<KeyPurpose, "secrets" | "storage">;
export type SignPurpose = Extract<KeyPurpose, "login" | "worker" | "tokens" | "grants">;

export interface StorageKeySet {
  /** Ids of chunks are computed with it. It must never change, so it comes from the first key of the ring, not from the current one. */
  idKey: Buffer;
  /** Key id that new chunks are sealed with. */
  current: string;
  contentKeys: ReadonlyMap<string, Buffer>;
}

export interface Vault {
  seal(purpose: SealPurpose, plain: Uint8Array, context: string): Sealed;
  open(purpose: SealPurpose, sealed: Sealed, context: string): Opened;
  currentKeyId(purpose: KeyPurpose): string;
  keyIds(purpose: KeyPurpose): readonly string[];
  /** HMAC-SHA-256 under the current key of the purpose. */
  mac(purpose: SignPurpose, use: string, message: string): { keyId: string; mac: Buffer };
  /** Checks against the named key, or against all of them; constant time per key. */
  checkMac(purpose: SignPurpose, use: string, check: { message: string; mac: Uint8Array; keyId?: string }): boolean;
  sign(purpose: SignPurpose, use: string, payload: string): string;
  /** The payload, if one of our keys signed it for this use. */
  verify(purpose: SignPurpose, use: string, signed: string): string | undefined;
  deriveToken(prefix: string, subject: string): string;
  isDerivedToken(text: string, prefix: string, subject: string): boolean;
  storageKeys(orgId: string): StorageKeySet;
}

const formatVersion = 1;
const nonceBytes = 12;
const tagBytes = 16;
const headerBytes = 1 + nonceBytes + tagBytes;
/** Derived keys are few (a handful of uses), but organizations are many. */
const derivedMax = 4_096;

export function openVault(keys: Keys): Vault {
  const derived = new Map<string, Buffer>();

  /** `undefined` for a key id that the ring does not have. */
  function derive(purpose: KeyPurpose, keyId: string, use: string): Buffer | undefined {
    const name = `${purpose}\0${keyId}\0${use}`;
    const known = derived.get(name);
    if (known) return known;
    const key = deriveKey(keys[purpose], `helmr ${purpose} ${use}`, keyId);
    if (!key) return undefined;
    if (derived.size >= derivedMax) derived.clear();
    derived.set(name, key);
    return key;
  }
  const owned = (purpose: KeyPurpose, keyId: string, use: string) => required(derive(purpose, keyId, use), `The ring of ${purpose} has its own ids`);
  const hmac = (purpose: SignPurpose, keyId: string, use: string, message: string) =>
    createHmac("sha256", owned(purpose, keyId, use))
      .update(message)
      .digest();

  const vault: Vault = {
    seal(purpose, plain, context) {
      const keyId = keys[purpose].current;
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", owned(purpose, keyId, "seal"), nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
      return { keyId, bytes: Buffer.concat([Buffer.of(formatVersion), nonce, cipher.getAuthTag(), sealed]) };
    },
    open(purpose, sealed, context) {
      const key = derive(purpose, sealed.keyId, "seal");
      return key ? openWith(key, sealed.bytes, context) : { ok: false, reason: "unknown_key" };
    },
    currentKeyId: (purpose) => keys[purpose].current,
    keyIds: (purpose) => keys[purpose].ids,
    mac: (purpose, use, message) => ({ keyId: keys[purpose].current, mac: hmac(purpose, keys[purpose].current, use, message) }),
    checkMac(purpose, use, { message, mac, keyId }) {
      const ids = keyId === undefined ? keys[purpose].ids : keys[purpose].ids.filter((id) => id === keyId);
      return ids.some((id) => sameBytes(hmac(purpose, id, use, message), mac));
    },
    sign(purpose, use, payload) {
      const { keyId, mac } = vault.mac(purpose, use, payload);
      return `${Buffer.from(payload).toString("base64url")}.${keyId}.${mac.toString("base64url")}`;
    },
    verify(purpose, use, signed) {
      const [encoded, keyId, mac, ...rest] = signed.split(".");
      if (encoded === undefined || keyId === undefined || mac === undefined || rest.length > 0) return undefined;
      const message = Buffer.from(encoded, "base64url").toString();
      return vault.checkMac(purpose, use, { message, mac: Buffer.from(mac, "base64url"), keyId }) ? message : undefined;
    },
    deriveToken(prefix, subject) {
      return prefix + vault.mac("tokens", prefix, subject).mac.toString("base64url");
    },
    isDerivedToken(text, prefix, subject) {
      // Texts are compared, not decoded bytes: base64 has several texts for the same bytes.
      return keys.tokens.ids.some((id) => sameSecret(text, prefix + hmac("tokens", id, prefix, subject).toString("base64url")));
    },
    storageKeys(orgId) {
      const { ids, current } = keys.storage;
      return {
        idKey: owned("storage", ids[0] as string, `chunk ids of ${orgId}`),
        current,
        contentKeys: new Map(ids.map((id) => [id, owned("storage", id, `chunks of ${orgId}`)])),
      };
    },
  };
  return vault;
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
