import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { permissionScopes } from "@helmr/protocol/shared";
import { credentialHash } from "../credentials.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { type IssueApiKey, issueApiKey, listApiKeys, revokeApiKey } from "./issue-api-keys.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const issue = (input: Partial<IssueApiKey> = {}) =>
  issueApiKey(accounts.context.db, {
    ...tenant,
    name: "ci",
    scopes: ["runs:read"],
    expiresInDays: null,
    creatorId: tenant.ownerId,
    ...input,
  });
const list = (status: "active" | "expired" | "revoked" | "all", environmentId = tenant.environmentId) =>
  listApiKeys(accounts.context.db, environmentId, status);

describe("issueApiKey()", () => {
  test("gives the key once and stores its hash and prefix", async () => {
    const key = await issue({ scopes: ["runs:read", "runs:create", "runs:read"], expiresInDays: 30 });
    expect(key).toMatchObject({
      name: "ci",
      project_id: tenant.projectId,
      environment_id: tenant.environmentId,
      permissions: [{ scopes: ["runs:read", "runs:create"] }],
      status: "active",
      last_used_at: null,
      revoked_at: null,
    });
    expect(key.raw_key).toMatch(/^hlmr_sk_/);
    expect(key.key_prefix).toBe(key.raw_key.slice(0, 16));
    expect(Date.parse(key.expires_at ?? "") - Date.parse(key.created_at)).toBe(30 * 86_400_000);
    const [row] = await accounts.sql<{ key_hash: Buffer }>("select key_hash from api_keys where id = $1", [key.id]);
    expect(row?.key_hash).toEqual(credentialHash(key.raw_key));
  });

  test("takes every scope of the contract", async () => {
    const key = await issue({ scopes: Object.values(permissionScopes) });
    expect(key.permissions?.[0]?.scopes).toEqual(Object.values(permissionScopes));
  });
});

describe("listApiKeys()", () => {
  test("filters by status, newest first, inside one environment", async () => {
    const environmentId = tenant.stagingId;
    const [active, expired, revoked] = [
      await issue({ environmentId }),
      await issue({ environmentId, expiresInDays: 30 }),
      await issue({ environmentId }),
    ];
    await accounts.sql("update api_keys set expires_at = now() - interval '1 second' where id = $1", [expired.id]);
    await revokeApiKey(accounts.context.db, accounts.context.hints, environmentId, revoked.id);
    const ids = async (status: Parameters<typeof list>[0]) => (await list(status, environmentId)).items.map((key) => [key.id, key.status]);
    expect(await ids("active")).toEqual([[active.id, "active"]]);
    expect(await ids("expired")).toEqual([[expired.id, "expired"]]);
    expect(await ids("revoked")).toEqual([[revoked.id, "revoked"]]);
    expect((await ids("all")).map(([id]) => id)).toEqual([revoked.id, expired.id, active.id]);
    expect((await list("all", environmentId)).items.some((key) => "raw_key" in key)).toBe(false);
  });

  test("shows at most 200 and says that there are more", async () => {
    await accounts.sql(
      `insert into api_keys (id, org_id, project_id, environment_id, name, key_hash, key_prefix, scopes)
       select gen_random_uuid(), $1, $2, $3, 'many', sha256(n::text::bytea), 'hlmr_sk_', '{}' from generate_series(1, 200) n`,
      [tenant.orgId, tenant.projectId, tenant.environmentId],
    );
    const page = await list("all");
    expect(page.items).toHaveLength(200);
    expect(page.has_more).toBe(true);
  });
});

test("revokeApiKey() ends a key once, tells everybody, and knows only keys of its environment", async () => {
  const { db, hints } = accounts.context;
  const key = await issue();
  expect(await revokeApiKey(db, hints, tenant.stagingId, key.id)).toMatchObject({ status: 404 });
  accounts.hinted.length = 0;
  expect(await revokeApiKey(db, hints, tenant.environmentId, key.id)).toBe("revoked");
  expect(accounts.hinted).toEqual(["credentials"]);
  const first = await accounts.sql("select revoked_at from api_keys where id = $1", [key.id]);
  expect(await revokeApiKey(db, hints, tenant.environmentId, key.id)).toBe("revoked");
  expect(await accounts.sql("select revoked_at from api_keys where id = $1", [key.id])).toEqual(first);
});
