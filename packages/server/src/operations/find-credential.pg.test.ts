import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiKeyScope, type Role, permissionScopes, rolePermissions } from "@helmr/protocol/shared";
import { accountLimits } from "../account-limits.ts";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "./accounts.fixture.ts";
import { findApiKey, findLoginSession, keyPermissions } from "./find-credential.ts";
import { issueApiKey } from "./issue-api-keys.ts";
import { openLoginSession } from "./open-login-session.ts";

let accounts: Accounts;
let tenant: Tenant;
let userId: string;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  userId = await addMember(accounts, tenant, { email: "dev@example.com", role: "developer" });
});
afterAll(() => accounts.close());

const allScopes = Object.values(permissionScopes);
const issue = (scopes: readonly ApiKeyScope[], creatorId: string | null) =>
  issueApiKey(accounts.context.db, { ...tenant, name: "k", scopes, expiresInDays: null, creatorId });
const setRole = (role: Role) => accounts.sql("update members set role = $2 where user_id = $1", [userId, role]);

describe("findApiKey()", () => {
  test("is one statement, plus one write a minute for last_used_at", async () => {
    const { raw_key: key, id } = await issue(["runs:read"], userId);
    accounts.statements.length = 0;
    const found = await findApiKey(accounts.context.db, key);
    expect(found).toEqual({
      keyId: id,
      name: "k",
      orgId: tenant.orgId,
      projectId: tenant.projectId,
      environmentId: tenant.environmentId,
      permissions: new Set(["runs.read"]),
    });
    await findApiKey(accounts.context.db, key);
    expect(accounts.statements).toEqual(["api_key_login", "api_key_touch", "api_key_login"]);
    await accounts.sql("update api_keys set last_used_at = now() - $1 * interval '1 millisecond'", [accountLimits.apiKeyTouchMs + 1_000]);
    await findApiKey(accounts.context.db, key);
    expect(accounts.statements.at(-1)).toBe("api_key_touch");
  });

  test("what has not the form of a key asks nothing", async () => {
    const { raw_key: key } = await issue(["runs:read"], userId);
    accounts.statements.length = 0;
    for (const text of ["", "hlmr_sk_", `${key}x`, key.slice(0, -1), key.replace("hlmr_sk_", "hlmr_ls_")]) {
      expect(await findApiKey(accounts.context.db, text)).toBeUndefined();
    }
    expect(accounts.statements).toEqual([]);
  });

  test("revoked and expired keys, and keys of deleted environments, are unknown", async () => {
    const [revoked, expired, orphan] = [
      await issue(["runs:read"], userId),
      await issue(["runs:read"], userId),
      await issue(["runs:read"], userId),
    ];
    await accounts.sql("update api_keys set revoked_at = now() where id = $1", [revoked.id]);
    await accounts.sql("update api_keys set expires_at = now() where id = $1", [expired.id]);
    expect(await findApiKey(accounts.context.db, revoked.raw_key)).toBeUndefined();
    expect(await findApiKey(accounts.context.db, expired.raw_key)).toBeUndefined();
    await accounts.sql("update environments set deleted_at = now() where id = $1", [tenant.environmentId]);
    expect(await findApiKey(accounts.context.db, orphan.raw_key)).toBeUndefined();
    await accounts.sql("update environments set deleted_at = null where id = $1", [tenant.environmentId]);
    expect(await findApiKey(accounts.context.db, orphan.raw_key)).toBeDefined();
  });

  test("may do what its scopes and its creator's present role allow", async () => {
    const { raw_key: key } = await issue(allScopes, userId);
    const permissions = async () => (await findApiKey(accounts.context.db, key))?.permissions ?? new Set();
    const scoped = Object.keys(permissionScopes);
    for (const role of ["owner", "admin", "developer", "viewer"] as const) {
      await setRole(role);
      const expected = scoped.filter((permission) => rolePermissions[role].includes(permission as never));
      expect([...(await permissions())].sort()).toEqual(expected.sort());
    }
    await accounts.sql("update members set status = 'disabled' where user_id = $1", [userId]);
    expect((await permissions()).size).toBe(0);
    await accounts.sql("delete from members where user_id = $1", [userId]);
    expect((await permissions()).size).toBe(0);
    await accounts.sql("insert into members (org_id, user_id, role) values ($1, $2, 'developer')", [tenant.orgId, userId]);
  });

  test("a key of the install counts as an owner's", async () => {
    const { raw_key: key } = await issue(allScopes, null);
    expect((await findApiKey(accounts.context.db, key))?.permissions.size).toBe(allScopes.length);
  });
});

test("keyPermissions() drops scopes it does not know (any more)", () => {
  expect(keyPermissions(["runs:read", "gone:away", "toString"], new Set(["runs.read"]))).toEqual(new Set(["runs.read"]));
});

describe("findLoginSession()", () => {
  test("gives user and membership; renews at most every few minutes", async () => {
    const token = await openLoginSession(accounts.context.db, userId, "browser");
    expect(await findLoginSession(accounts.context.db, token)).toMatchObject({
      userId,
      membership: { orgId: tenant.orgId, role: "developer" },
      renewed: false,
    });
    await accounts.sql(
      "update login_sessions set last_used_at = now() - $1 * interval '1 millisecond', expires_at = now() + interval '1 day'",
      [accountLimits.loginSessionRenewMs + 1_000],
    );
    const [first, second] = await Promise.all([findLoginSession(accounts.context.db, token), findLoginSession(accounts.context.db, token)]);
    expect([first?.renewed, second?.renewed].filter(Boolean)).toHaveLength(1);
    const [row] = await accounts.sql<{ days: number }>(
      "select round(extract(epoch from expires_at - now()) / 86400)::int as days from login_sessions",
    );
    expect(row?.days).toBe(30);
    accounts.statements.length = 0;
    await findLoginSession(accounts.context.db, token);
    expect(accounts.statements).toEqual(["login_session_login"]);
  });

  test("expired and revoked sessions are unknown and are never renewed", async () => {
    for (const change of ["revoked_at = now()", "expires_at = now()"]) {
      const token = await openLoginSession(accounts.context.db, userId, "browser");
      await accounts.sql(`update login_sessions set ${change}, last_used_at = now() - interval '1 day'`);
      expect(await findLoginSession(accounts.context.db, token)).toBeUndefined();
    }
  });

  test("a removed member has a session without membership", async () => {
    const token = await openLoginSession(accounts.context.db, userId, "browser");
    await accounts.sql("update members set status = 'disabled' where user_id = $1", [userId]);
    const found = await findLoginSession(accounts.context.db, token);
    expect(found).toMatchObject({ userId });
    expect(found).not.toHaveProperty("membership");
  });
});
