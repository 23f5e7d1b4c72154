/** Login sessions of browsers and of the command line. Only the SHA-256 of the token is stored. */
import type { Role } from "@helmr/protocol/shared";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface LoginSessionRow {
  id: string;
  user_id: string;
  org_id: string | null;
  role: Role | null;
  renew_due: boolean;
}

/** The session with the user's active membership, if any. Of several the oldest counts: the API has no way to choose another one. */
const login = statement<{ token_hash: Buffer; renew_after_ms: number }, LoginSessionRow>(
  "login_session_login",
  `select s.id, s.user_id, m.org_id, m.role, s.last_used_at < now() - $renew_after_ms * interval '1 millisecond' as renew_due
     from login_sessions s
     left join lateral (select org_id, role from members
                         where user_id = s.user_id and status = 'active' order by created_at, org_id limit 1) m on true
    where s.token_hash = $token_hash and s.revoked_at is null and s.expires_at > now()`,
);

/** Zero rows: revoked or renewed by somebody else meanwhile. */
const renew = statement<{ id: string; renew_after_ms: number; lifetime_ms: number }>(
  "login_session_renew",
  `update login_sessions set last_used_at = now(), expires_at = now() + $lifetime_ms * interval '1 millisecond'
    where id = $id and revoked_at is null and expires_at > now() and last_used_at < now() - $renew_after_ms * interval '1 millisecond'`,
);

const insert = statement<{ id: string; token_hash: Buffer; user_id: string; kind: "browser" | "device"; lifetime_ms: number }>(
  "login_session_insert",
  `insert into login_sessions (id, token_hash, user_id, kind, expires_at)
   values ($id, $token_hash, $user_id, $kind, now() + $lifetime_ms * interval '1 millisecond')`,
);

const revoke = statement<{ token_hash: Buffer }>(
  "login_session_revoke",
  "update login_sessions set revoked_at = now() where token_hash = $token_hash and revoked_at is null",
);

const revokeOfUser = statement<{ user_id: string }>(
  "login_session_revoke_of_user",
  "update login_sessions set revoked_at = now() where user_id = $user_id and revoked_at is null and expires_at > now()",
);

export const loginSessionLogin = (on: Queryable, tokenHash: Buffer, renewAfterMs: number) =>
  on.one(login, { token_hash: tokenHash, renew_after_ms: renewAfterMs });
export const loginSessionRenew = (on: Queryable, row: { id: string; renew_after_ms: number; lifetime_ms: number }) => on.run(renew, row);
export const loginSessionInsert = (
  on: Queryable,
  row: { id: string; token_hash: Buffer; user_id: string; kind: "browser" | "device"; lifetime_ms: number },
) => on.run(insert, row);
export const loginSessionRevoke = (on: Queryable, tokenHash: Buffer) => on.run(revoke, { token_hash: tokenHash });
export const loginSessionRevokeOfUser = (tx: Tx, userId: string) => tx.run(revokeOfUser, { user_id: userId });
