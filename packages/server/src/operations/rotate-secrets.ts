/**
 * Seals every secret value again under the current key, in pages that are a transaction each. It can be stopped and started at any time and run
 * beside a working server: a page locks its rows, and whoever writes a value meanwhile seals it with the current key anyway. When it reports
 * nothing left, the old key can be taken out of the ring.
 */
import type { Keys } from "../secrets.ts";
import type { Db, Tx } from "../store/db.ts";
import { type SealedSecretRow, secretCountByKey, secretLockSealedByOthers, secretReseal } from "../store/secret.ts";
import { secretContext } from "./put-secret.ts";

const pageSize = 100;
const beforeAll = { environmentId: "00000000-0000-0000-0000-000000000000", name: "" };

export interface Rotation {
  resealed: number;
  /** Values that did not open: their key is not in the ring, or their bytes are damaged. They were left as they are. */
  unreadable: { environmentId: string; name: string; keyId: string; reason: "unknown_key" | "corrupt" }[];
  /** Values per key id afterwards. */
  remaining: { keyId: string; count: number }[];
}

export interface RotateOptions {
  pageSize?: number;
  onPage?: (resealedSoFar: number) => void;
}

export async function rotateSecrets(db: Db, keys: Keys, options: RotateOptions = {}): Promise<Rotation> {
  const rotation: Rotation = { resealed: 0, unreadable: [], remaining: [] };
  const limit = options.pageSize ?? pageSize;
  let after = beforeAll;
  for (;;) {
    const page = await db.tx((tx) => resealPage(tx, keys, after, limit));
    rotation.resealed += page.resealed;
    rotation.unreadable.push(...page.unreadable);
    options.onPage?.(rotation.resealed);
    if (!page.last) break;
    after = page.last;
  }
  rotation.remaining = (await secretCountByKey(db)).map((row) => ({ keyId: row.key_id, count: row.count }));
  return rotation;
}

async function resealPage(tx: Tx, keys: Keys, after: typeof beforeAll, limit: number) {
  const rows = await secretLockSealedByOthers(tx, { currentKeyId: keys.currentKeyId("secrets"), after, limit });
  const unreadable: Rotation["unreadable"] = [];
  for (const row of rows) {
    const fresh = resealed(keys, row);
    if ("reason" in fresh) unreadable.push({ environmentId: row.environment_id, name: row.name, keyId: row.key_id, reason: fresh.reason });
    else await secretReseal(tx, fresh);
  }
  const last = rows.at(-1);
  return { resealed: rows.length - unreadable.length, unreadable, last: last && { environmentId: last.environment_id, name: last.name } };
}

function resealed(keys: Keys, row: SealedSecretRow): SealedSecretRow | { reason: "unknown_key" | "corrupt" } {
  const context = secretContext(row.environment_id, row.name);
  const opened = keys.open("secrets", { keyId: row.key_id, bytes: row.sealed }, context);
  if (!opened.ok) return { reason: opened.reason };
  const sealed = keys.seal("secrets", opened.plain, context);
  opened.plain.fill(0);
  return { ...row, key_id: sealed.keyId, sealed: sealed.bytes };
}
