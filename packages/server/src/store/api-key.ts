/** API keys of environments. `key_hash` is the SHA-256 of the whole key and unique: authentication is one look-up by it. */
import type { Role } from "@helmr/protocol/shared";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface ApiKeyRow {
  id: string;
  name: string;
  key_prefix: string;
  project_id: string;
  environment_id: string;
  scopes: string[];
  status: "active" | "expired" | "revoked";
  created_at: string;
  last_used_at: string | null;
  expires_at: string | null;
  revoked_at: string | null;
}

export interface NewApiKey {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  name: string;
  key_hash: Buffer;
  key_prefix: string;
  scopes: string[];
  creator_id: string | null;
  expires_in_days: number | null;
}

/** A key that may be used now, with the present role of its creator. */
export interface ApiKeyLogin {
  id: string;
  name: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  scopes: string[];
  /** true: the install itself made the key, which counts as an owner. */
  of_install: boolean;
  /** null: the creator is no member (any more), or disabled. */
  creator_role: Role | null;
  touch_due: boolean;
}

const status = "case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end";
const columns = `id, name, key_prefix, project_id, environment_id, scopes, ${status} as status, created_at, last_used_at, expires_at, revoked_at`;

const login = statement<{ key_hash: Buffer; touch_after_ms: number }, ApiKeyLogin>(
  "api_key_login",
  `select k.id, k.name, k.org_id, k.project_id, k.environment_id, k.scopes, k.creator_id is null as of_install, m.role as creator_role,
          (k.last_used_at is null or k.last_used_at < now() - $touch_after_ms * interval '1 millisecond') as touch_due
     from api_keys k
     join environments e on e.id = k.environment_id and e.deleted_at is null
     left join members m on m.org_id = k.org_id and m.user_id = k.creator_id and m.status = 'active'
    where k.key_hash = $key_hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`,
);

const scopeNames = statement<
  { project_id: string; environment_id: string },
  { project_slug: string; project_name: string; environment_slug: string; environment_name: string }
>(
  "api_key_scope_names",
  `select p.slug as project_slug, p.name as project_name, e.slug as environment_slug, e.name as environment_name
     from environments e join projects p on p.id = e.project_id
    where e.id = $environment_id and p.id = $project_id and e.deleted_at is null`,
);

const touch = statement<{ id: string; touch_after_ms: number }>(
  "api_key_touch",
  `update api_keys set last_used_at = now()
    where id = $id and (last_used_at is null or last_used_at < now() - $touch_after_ms * interval '1 millisecond')`,
);

const insert = statement<NewApiKey, ApiKeyRow>(
  "api_key_insert",
  `insert into api_keys (id, org_id, project_id, environment_id, name, key_hash, key_prefix, scopes, creator_id, expires_at)
   values ($id, $org_id, $project_id, $environment_id, $name, $key_hash, $key_prefix, $scopes, $creator_id, now() + $expires_in_days * interval '1 day')
   returning ${columns}`,
);

const list = statement<{ environment_id: string; status: string; row_limit: number }, ApiKeyRow>(
  "api_key_list",
  `select * from (select ${columns} from api_keys where environment_id = $environment_id) keys
    where $status = 'all' or status = $status
    order by created_at desc, id desc
    limit $row_limit`,
);

/** Revoking twice keeps the first time. */
const revoke = statement<{ environment_id: string; id: string }>(
  "api_key_revoke",
  "update api_keys set revoked_at = coalesce(revoked_at, now()) where environment_id = $environment_id and id = $id",
);

const ofInstallByHash = statement<{ environment_id: string; key_hash: Buffer }, { id: string }>(
  "api_key_of_install",
  `select id from api_keys
    where environment_id = $environment_id and key_hash = $key_hash and creator_id is null
      and revoked_at is null and (expires_at is null or expires_at > now())`,
);

const revokeOthersOfInstall = statement<{ environment_id: string; keep_id: string }>(
  "api_key_revoke_others_of_install",
  `update api_keys set revoked_at = now()
    where environment_id = $environment_id and creator_id is null and id <> $keep_id and revoked_at is null`,
);

export const apiKeyLogin = (on: Queryable, keyHash: Buffer, touchAfterMs: number) =>
  on.one(login, { key_hash: keyHash, touch_after_ms: touchAfterMs });
export const apiKeyTouch = (on: Queryable, id: string, touchAfterMs: number) => on.run(touch, { id, touch_after_ms: touchAfterMs });
export const apiKeyScopeNames = (on: Queryable, scope: { project_id: string; environment_id: string }) => on.one(scopeNames, scope);
export const apiKeyInsert = (on: Queryable, row: NewApiKey) => on.one(insert, row);
export const apiKeyList = (on: Queryable, filter: { environment_id: string; status: string; row_limit: number }) => on.all(list, filter);
export const apiKeyRevoke = (tx: Tx, environmentId: string, id: string) => tx.run(revoke, { environment_id: environmentId, id });
export const apiKeyOfInstall = (on: Queryable, environmentId: string, keyHash: Buffer) =>
  on.one(ofInstallByHash, { environment_id: environmentId, key_hash: keyHash });
export const apiKeyRevokeOthersOfInstall = (tx: Tx, environmentId: string, keepId: string) =>
  tx.run(revokeOthersOfInstall, { environment_id: environmentId, keep_id: keepId });
