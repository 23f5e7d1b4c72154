import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { deleteSecret, getSecret, listSecrets, putSecret } from "./put-secret.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const put = (name: string, value: string, environmentId = tenant.environmentId) =>
  putSecret(accounts.context.db, accounts.context.keys, { scope: { projectId: tenant.projectId, environmentId }, name, value });
const scope = () => ({ projectId: tenant.projectId, environmentId: tenant.environmentId });

describe("putSecret()", () => {
  test("creates, then replaces: created_at stays, updated_at moves on", async () => {
    const created = await put("A", "one");
    expect(created).toEqual({
      project_id: tenant.projectId,
      environment_id: tenant.environmentId,
      name: "A",
      created_at: expect.any(String),
      updated_at: created.created_at,
    });
    const replaced = await put("A", "two");
    expect(replaced.created_at).toBe(created.created_at);
    expect(replaced.updated_at > created.updated_at).toBe(true);
  });

  test("stores the value sealed and the key's id beside it", async () => {
    await put("SEALED", "plain-value-4711");
    const [row] = await accounts.sql<{ key_id: string; sealed: Buffer }>("select key_id, sealed from secrets where name = 'SEALED'");
    expect(row?.key_id).toBe(accounts.context.keys.currentKeyId("secrets"));
    expect(row?.sealed.includes("plain-value-4711")).toBe(false);
  });

  test("two at once leave one of the two values", async () => {
    await Promise.all(Array.from({ length: 8 }, (_, index) => put("RACE", `value-${index}`)));
    expect(await accounts.sql("select 1 from secrets where name = 'RACE'")).toHaveLength(1);
  });
});

test("an environment sees its own secrets only, by name", async () => {
  await put("STAGING_ONLY", "x", tenant.stagingId);
  const names = (await listSecrets(accounts.context.db, scope())).map((secret) => secret.name);
  expect(names).not.toContain("STAGING_ONLY");
  expect(names).toEqual([...names].sort());
  expect(await getSecret(accounts.context.db, scope(), "STAGING_ONLY")).toMatchObject({ status: 404, message: "secret not found" });
});

test("deleteSecret() removes once; a name that cannot exist is not found and never asked for", async () => {
  await put("GONE", "x");
  expect(await deleteSecret(accounts.context.db, scope(), "GONE")).toBe("deleted");
  expect(await deleteSecret(accounts.context.db, scope(), "GONE")).toMatchObject({ status: 404 });
  const before = accounts.statements.length;
  expect(await deleteSecret(accounts.context.db, scope(), "not a name\0")).toMatchObject({ status: 404 });
  expect(await getSecret(accounts.context.db, scope(), "../x")).toMatchObject({ status: 404 });
  expect(accounts.statements.length).toBe(before);
});
