/**
 * Who a credential belongs to, and what its owner may do now. One indexed look-up by hash; what is written for it (use of a key, prolonging of a
 * session) is throttled. Remembering answers is the business of `http/auth/authenticate.ts`.
 */
import { type Permission, type Role, credentialPrefix, permissionOfScope, rolePermissions } from "@helmr/protocol/shared";
import { credentialHash, isIssuedForm } from "../credentials.ts";
import { apiKeyLogin, apiKeyTouch } from "../store/api-key.ts";
import type { Queryable } from "../store/db.ts";
import { loginSessionLogin, loginSessionRenew } from "../store/login-session.ts";
import { accountLimits } from "../account-limits.ts";

export interface FoundApiKey {
  keyId: string;
  name: string;
  orgId: string;
  projectId: string;
  environmentId: string;
  permissions: ReadonlySet<Permission>;
}

export interface FoundLoginSession {
  loginSessionId: string;
  userId: string;
  membership?: { orgId: string; role: Role; permissions: ReadonlySet<Permission> };
  /** It was prolonged just now: a browser gets its cookie again. */
  renewed: boolean;
}

const nothing: ReadonlySet<Permission> = new Set();
const permissionsOf: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  owner: new Set(rolePermissions.owner),
  admin: new Set(rolePermissions.admin),
  developer: new Set(rolePermissions.developer),
  viewer: new Set(rolePermissions.viewer),
};

export async function findApiKey(db: Queryable, key: string): Promise<FoundApiKey | undefined> {
  if (!isIssuedForm(key, credentialPrefix.apiKey)) return undefined;
  const row = await apiKeyLogin(db, credentialHash(key), accountLimits.apiKeyTouchMs);
  if (!row) return undefined;
  if (row.touch_due) await apiKeyTouch(db, row.id, accountLimits.apiKeyTouchMs);
  const role = row.of_install ? "owner" : row.creator_role;
  return {
    keyId: row.id,
    name: row.name,
    orgId: row.org_id,
    projectId: row.project_id,
    environmentId: row.environment_id,
    permissions: keyPermissions(row.scopes, role === null ? nothing : permissionsOf[role]),
  };
}

/** What the scopes name and the creator's present role allows. */
export function keyPermissions(scopes: readonly string[], creator: ReadonlySet<Permission>): ReadonlySet<Permission> {
  const named = scopes.map(permissionOfScope).filter((permission) => permission !== undefined);
  return new Set(named.filter((permission) => creator.has(permission)));
}

export async function findLoginSession(db: Queryable, token: string): Promise<FoundLoginSession | undefined> {
  if (!isIssuedForm(token, credentialPrefix.loginSession)) return undefined;
  const row = await loginSessionLogin(db, credentialHash(token), accountLimits.loginSessionRenewMs);
  if (!row) return undefined;
  const renewal = { id: row.id, renew_after_ms: accountLimits.loginSessionRenewMs, lifetime_ms: accountLimits.loginSessionMs };
  const renewed = row.renew_due && (await loginSessionRenew(db, renewal)) > 0;
  return {
    loginSessionId: row.id,
    userId: row.user_id,
    ...(row.org_id === null || row.role === null
      ? {}
      : { membership: { orgId: row.org_id, role: row.role, permissions: permissionsOf[row.role] } }),
    renewed,
  };
}
