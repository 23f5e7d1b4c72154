/** Tokens that let a browser use one stream of one session (http §5.3). A caller's row is locked before anything else, so that uses are counted exactly. */
import type { PublicAccessScopeType } from "@helmr/protocol/api";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface NewPublicAccessToken {
  id: string;
  environment_id: string;
  token_hash: Buffer;
  kind: PublicAccessScopeType;
  session_id: string;
  stream: string;
  correlation_id: string | null;
  max_uses: number | null;
  expires_at: string | null;
  ttl_ms: number;
}

/** No row: the wanted expiry has passed. */
const insert = statement<NewPublicAccessToken, { expires_at: string; created_at: string }>(
  "public_access_token_insert",
  `insert into public_access_tokens (id, environment_id, token_hash, kind, session_id, stream, correlation_id, max_uses, expires_at)
   select $id, $environment_id, $token_hash, $kind, $session_id, $stream, $correlation_id, $max_uses,
          coalesce($expires_at::timestamptz, now() + $ttl_ms * interval '1 millisecond')
    where $expires_at::timestamptz is null or $expires_at::timestamptz > now()
   returning expires_at, created_at`,
);

export interface PublicAccessTokenRow {
  id: string;
  environment_id: string;
  kind: PublicAccessScopeType;
  session_id: string;
  external_id: string | null;
  stream: string;
  correlation_id: string | null;
  uses: number;
  max_uses: number | null;
  expired: boolean;
  revoked: boolean;
}

const lock = statement<{ token_hash: Buffer }, PublicAccessTokenRow>(
  "public_access_token_lock",
  `select p.id, p.environment_id, p.kind, p.session_id, s.external_id, p.stream, p.correlation_id, p.uses, p.max_uses,
          p.expires_at <= now() as expired, p.revoked_at is not null as revoked
     from public_access_tokens p join sessions s on s.id = p.session_id
    where p.token_hash = $token_hash for no key update of p`,
);

const use = statement<{ id: string }>("public_access_token_use", "update public_access_tokens set uses = uses + 1 where id = $id");

const prune = statement<{ age_ms: number; row_limit: number }>(
  "public_access_token_prune",
  `delete from public_access_tokens
    where id in (select id from public_access_tokens where expires_at < now() - $age_ms * interval '1 millisecond' order by expires_at limit $row_limit)`,
);

export const publicAccessTokenInsert = (tx: Queryable, token: NewPublicAccessToken) => tx.one(insert, token);
export const publicAccessTokenLock = (tx: Tx, hash: Buffer) => tx.one(lock, { token_hash: hash });
export const publicAccessTokenUse = (tx: Tx, id: string) => tx.run(use, { id });
export const publicAccessTokenPrune = (on: Queryable, ageMs: number, limit: number) => on.run(prune, { age_ms: ageMs, row_limit: limit });
