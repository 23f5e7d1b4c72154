/**
 * Random credentials: `<prefix><43 characters base62><6 characters checksum>`. The random part carries 256 bits; the checksum (CRC-32 of all that
 * stands before it) lets a scanner and this server tell a credential from noise without asking the database. Only the SHA-256 of the whole text
 * is stored. A plain hash is enough: there is nothing to guess in 256 random bits, so no slow hash is needed.
 *
 * Credentials that are derived instead of random (public completion tokens, callback secrets) are in `secrets.ts`.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 43 · log2(62) = 256.03 bits. */
const randomCharacters = 43;
const checksumCharacters = 6;
/** Characters of the random part that an API key's `key_prefix` shows (http §15.4). 208 bits stay unknown. */
const shownCharacters = 8;

export interface IssuedCredential {
  /** Given to its owner once, never stored. */
  text: string;
  hash: Buffer;
}

export function issueCredential(prefix: string): IssuedCredential {
  const body = prefix + randomText(randomCharacters);
  const text = body + checksum(body);
  return { text, hash: credentialHash(text) };
}

export function credentialHash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** Whether a text could have been issued with this prefix. Says nothing about validity; saves a look-up for everything else. */
export function isIssuedForm(text: string, prefix: string): boolean {
  if (!text.startsWith(prefix) || text.length !== prefix.length + randomCharacters + checksumCharacters) return false;
  const body = text.slice(0, -checksumCharacters);
  return text.slice(-checksumCharacters) === checksum(body);
}

/** What may be shown of a credential later. */
export function shownPrefix(text: string, prefix: string): string {
  return text.slice(0, prefix.length + shownCharacters);
}

/** Compares in a time that does not depend on where two texts differ, nor on their lengths. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(credentialHash(given), credentialHash(expected));
}

/** Every character with the same probability: bytes from 248 on are thrown away. */
export function randomText(length: number, characters: string = alphabet): string {
  const limit = 256 - (256 % characters.length);
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < limit && text.length < length) text += characters[byte % characters.length];
    }
  }
  return text;
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let at = 0; at < checksumCharacters; at += 1) {
    text = alphabet[rest % alphabet.length] + text;
    rest = Math.floor(rest / alphabet.length);
  }
  return text;
}
