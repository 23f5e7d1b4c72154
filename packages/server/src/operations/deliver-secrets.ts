/**
 * Secrets on their way to a run. At session start only their existence is checked (http §4.3 step 4): `findUnavailableSecrets`. With the lease of
 * an attempt the values themselves are opened: `deliverSecrets`. Both run on the caller's transaction or on the pool.
 */
import { assertNever } from "../assert.ts";
import type { Keys } from "../secrets.ts";
import type { Queryable } from "../store/db.ts";
import { secretKeyIds, secretSealed } from "../store/secret.ts";
import { secretContext } from "./put-secret.ts";

export type UnavailableSecret =
  | { name: string; reason: "not_found" }
  /** The server's key ring has no key with that id: restore it, or set the secret again. */
  | { name: string; reason: "unknown_key"; keyId: string }
  /** The stored bytes do not open under their key. */
  | { name: string; reason: "corrupt"; keyId: string };

export type Delivery = { ok: true; values: ReadonlyMap<string, string> } | { ok: false; unavailable: readonly UnavailableSecret[] };

/** In the order of `names`; empty when a start may go on. Values are not opened. */
export async function findUnavailableSecrets(
  on: Queryable,
  keys: Keys,
  environmentId: string,
  names: readonly string[],
): Promise<UnavailableSecret[]> {
  const wanted = [...new Set(names)];
  if (wanted.length === 0) return [];
  const found = new Map((await secretKeyIds(on, environmentId, wanted)).map((row) => [row.name, row.key_id]));
  const known = new Set(keys.keyIds("secrets"));
  return wanted.flatMap((name): UnavailableSecret[] => {
    const keyId = found.get(name);
    if (keyId === undefined) return [{ name, reason: "not_found" }];
    return known.has(keyId) ? [] : [{ name, reason: "unknown_key", keyId }];
  });
}

/** All values or none: a run with half of its secrets must not start. */
export async function deliverSecrets(on: Queryable, keys: Keys, environmentId: string, names: readonly string[]): Promise<Delivery> {
  const wanted = [...new Set(names)];
  if (wanted.length === 0) return { ok: true, values: new Map() };
  const rows = new Map((await secretSealed(on, environmentId, wanted)).map((row) => [row.name, row]));
  const values = new Map<string, string>();
  const unavailable: UnavailableSecret[] = [];
  for (const name of wanted) {
    const row = rows.get(name);
    if (!row) {
      unavailable.push({ name, reason: "not_found" });
      continue;
    }
    const opened = keys.open("secrets", { keyId: row.key_id, bytes: row.sealed }, secretContext(environmentId, name));
    if (opened.ok) values.set(name, opened.plain.toString());
    else unavailable.push({ name, reason: opened.reason, keyId: row.key_id });
  }
  return unavailable.length === 0 ? { ok: true, values } : { ok: false, unavailable };
}

/** The sentence of the 400 at session start, and of the failure of an attempt whose secrets went away in between. */
export function unavailableSecretText(secret: UnavailableSecret): string {
  switch (secret.reason) {
    case "not_found":
      return `secret "${secret.name}" is unavailable: secret not found`;
    case "unknown_key":
      return `secret "${secret.name}" is unavailable: the server has no key "${secret.keyId}"`;
    case "corrupt":
      return `secret "${secret.name}" is unavailable: its stored value does not open with key "${secret.keyId}"`;
    default:
      return assertNever(secret);
  }
}
