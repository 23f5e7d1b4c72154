/** API keys of an environment (http §15.4). The key itself is in one answer only. */
import type { ApiKey, ApiKeyCreated, ApiKeySelf } from "@helmr/protocol/api";
import { type ApiKeyScope, credentialPrefix, type Permission, permissionScopes } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import { issueCredential, shownPrefix } from "../credentials.ts";
import type { Hints } from "../hints.ts";
import { newId } from "../new-id.ts";
import { type Refusal, notFound } from "../outcome.ts";
import { type ApiKeyRow, apiKeyInsert, apiKeyList, apiKeyRevoke, apiKeyScopeNames } from "../store/api-key.ts";
import type { Db, Queryable } from "../store/db.ts";
import { accountLimits, credentialsTopic } from "../account-limits.ts";

export interface IssueApiKey {
  orgId: string;
  projectId: string;
  environmentId: string;
  name: string;
  scopes: readonly ApiKeyScope[];
  expiresInDays: number | null;
  /** null: the install itself, which counts as an owner. */
  creatorId: string | null;
}

export async function issueApiKey(on: Queryable, input: IssueApiKey): Promise<ApiKeyCreated> {
  const { text, hash } = issueCredential(credentialPrefix.apiKey);
  const row = await apiKeyInsert(on, {
    id: newId(),
    org_id: input.orgId,
    project_id: input.projectId,
    environment_id: input.environmentId,
    name: input.name,
    key_hash: hash,
    key_prefix: shownPrefix(text, credentialPrefix.apiKey),
    scopes: [...new Set(input.scopes)],
    creator_id: input.creatorId,
    expires_in_days: input.expiresInDays,
  });
  return { ...apiKeyView(required(row, "An insert returns its row")), raw_key: text };
}

/** The key that asks, in words a person knows. */
export async function describeApiKey(
  db: Queryable,
  key: { keyId: string; name: string; projectId: string; environmentId: string; permissions: ReadonlySet<Permission> },
): Promise<ApiKeySelf | Refusal> {
  const names = await apiKeyScopeNames(db, { project_id: key.projectId, environment_id: key.environmentId });
  if (!names) return notFound("environment not found");
  return {
    id: key.keyId,
    name: key.name,
    project: { id: key.projectId, slug: names.project_slug, name: names.project_name },
    environment: { id: key.environmentId, slug: names.environment_slug, name: names.environment_name },
    permissions: Object.entries(permissionScopes).flatMap(([permission, scope]) =>
      key.permissions.has(permission as Permission) ? [scope] : [],
    ),
  };
}

/** Newest first; one row more than is shown tells whether there are more. */
export async function listApiKeys(
  db: Queryable,
  environmentId: string,
  status: ApiKey["status"] | "all",
): Promise<{ items: ApiKey[]; has_more: boolean }> {
  const rows = await apiKeyList(db, { environment_id: environmentId, status, row_limit: accountLimits.listMax + 1 });
  return { items: rows.slice(0, accountLimits.listMax).map(apiKeyView), has_more: rows.length > accountLimits.listMax };
}

/** Ends the key in this process before the answer is sent, elsewhere as soon as the hint arrives. */
export async function revokeApiKey(db: Db, hints: Hints, environmentId: string, id: string): Promise<Refusal | "revoked"> {
  return db.tx(async (tx) => {
    if ((await apiKeyRevoke(tx, environmentId, id)) === 0) return notFound("api key not found");
    tx.afterCommit(() => hints.send(credentialsTopic));
    return "revoked" as const;
  });
}

function apiKeyView(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    key_prefix: row.key_prefix,
    project_id: row.project_id,
    environment_id: row.environment_id,
    permissions: [{ scopes: row.scopes }],
    status: row.status,
    created_at: row.created_at,
    last_used_at: row.last_used_at,
    expires_at: row.expires_at,
    revoked_at: row.revoked_at,
  };
}
