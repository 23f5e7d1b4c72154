/** One-time links: magic links by mail and the local login link. Each is used up by one update whose `where` is the guard. */
import { advisoryLock } from "./advisory-lock.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface NewMagicLink {
  id: string;
  token_hash: Buffer;
  email: string;
  next_path: string | null;
  invitation_id: string | null;
  /** false: for an address nobody knows; the row costs the same time and counts the same, but opens nothing. */
  usable: boolean;
  lifetime_ms: number;
}

const countRecent = statement<{ email: string; window_ms: number }, { count: number }>(
  "magic_link_count_recent",
  "select count(*) as count from magic_links where email = $email and created_at > now() - $window_ms * interval '1 millisecond'",
);

const insert = statement<NewMagicLink>(
  "magic_link_insert",
  `insert into magic_links (id, token_hash, email, next_path, invitation_id, used_at, expires_at)
   values ($id, $token_hash, $email, $next_path, $invitation_id, case when $usable then null else now() end,
           now() + $lifetime_ms * interval '1 millisecond')`,
);

const use = statement<{ token_hash: Buffer }, { email: string; next_path: string | null; invitation_id: string | null }>(
  "magic_link_use",
  `update magic_links set used_at = now()
    where token_hash = $token_hash and used_at is null and expires_at > now()
   returning email, next_path, invitation_id`,
);

const localInsert = statement<{ id: string; token_hash: Buffer; lifetime_ms: number }>(
  "local_login_link_insert",
  `insert into local_login_links (id, token_hash, expires_at)
   values ($id, $token_hash, now() + $lifetime_ms * interval '1 millisecond')`,
);

/** A new link takes the place of the one before. */
const localDeleteAll = statement<Record<never, never>>("local_login_link_delete_all", "delete from local_login_links");

const localUse = statement<{ token_hash: Buffer }, { id: string }>(
  "local_login_link_use",
  `update local_login_links set used_at = now()
    where token_hash = $token_hash and used_at is null and expires_at > now()
   returning id`,
);

/** Serializes the starts of one address, so that counting them is exact. */
export const magicLinkLockAddress = (tx: Tx, email: string) => advisoryLock(tx, `magic link ${email}`);
export const magicLinkCountRecent = async (tx: Tx, email: string, windowMs: number) =>
  (await tx.one(countRecent, { email, window_ms: windowMs }))?.count ?? 0;
export const magicLinkInsert = (tx: Tx, row: NewMagicLink) => tx.run(insert, row);
export const magicLinkUse = (tx: Tx, tokenHash: Buffer) => tx.one(use, { token_hash: tokenHash });
export const localLinkInsert = (tx: Tx, row: { id: string; token_hash: Buffer; lifetime_ms: number }) => tx.run(localInsert, row);
export const localLinkDeleteAll = (tx: Tx) => tx.run(localDeleteAll, {});
export const localLinkUse = (on: Queryable, tokenHash: Buffer) => on.one(localUse, { token_hash: tokenHash });
