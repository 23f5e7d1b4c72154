import { afterAll, beforeAll, expect, test } from "vitest";
import { generateKeyRing, withNewRoot } from "../key-ring.ts";
import { openKeys } from "../secrets.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { deliverSecrets } from "./deliver-secrets.ts";
import { putSecret } from "./put-secret.ts";
import { rotateSecrets } from "./rotate-secrets.ts";

const oldRing = generateKeyRing();
const newRing = withNewRoot(oldRing, "secrets");
const oldKeys = openKeys(oldRing);
const keys = openKeys(newRing);
/** Without the old key: what the server has once the operator took it out. */
const onlyNew = openKeys({ ...newRing, secrets: [newRing.secrets[0]] });

let accounts: Accounts;
let tenant: Tenant;
const names = Array.from({ length: 23 }, (_, index) => `SECRET_${index}`);
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  for (const name of names) await putSecret(accounts.context.db, oldKeys, { scope: tenant, name, value: `value of ${name}` });
  await putSecret(accounts.context.db, oldKeys, { scope: { ...tenant, environmentId: tenant.stagingId }, name: "OTHER", value: "other" });
});
afterAll(() => accounts.close());

test("seals everything again, in pages, without touching updated_at, while values are written and other rotations run", async () => {
  const { db } = accounts.context;
  const before = await accounts.sql("select name, updated_at from secrets where name <> 'SECRET_7' order by name");
  const [first, second] = await Promise.all([
    rotateSecrets(db, keys, { pageSize: 4 }),
    rotateSecrets(db, keys, { pageSize: 3 }),
    putSecret(db, keys, { scope: tenant, name: "SECRET_7", value: "changed meanwhile" }),
  ]);
  const rest = await rotateSecrets(db, keys);
  expect(first.resealed + second.resealed + rest.resealed).toBeGreaterThanOrEqual(names.length);
  expect(rest.remaining).toEqual([{ keyId: newRing.secrets[0].id, count: names.length + 1 }]);
  expect(await accounts.sql("select name, updated_at from secrets where name <> 'SECRET_7' order by name")).toEqual(before);

  const delivery = await deliverSecrets(db, onlyNew, tenant.environmentId, names);
  const expected = names.map((name) => [name, name === "SECRET_7" ? "changed meanwhile" : `value of ${name}`] as const);
  expect(delivery).toEqual({ ok: true, values: new Map(expected) });
});

test("what does not open is reported, left as it is and does not stop the rest", async () => {
  const { db } = accounts.context;
  const strange = openKeys(generateKeyRing());
  await putSecret(db, strange, { scope: tenant, name: "AA_STRANGE", value: "x" });
  await putSecret(db, oldKeys, { scope: tenant, name: "ZZ_OLD", value: "old" });
  const rotation = await rotateSecrets(db, keys, { pageSize: 1 });
  expect(rotation).toMatchObject({
    resealed: 1,
    unreadable: [
      { environmentId: tenant.environmentId, name: "AA_STRANGE", keyId: strange.currentKeyId("secrets"), reason: "unknown_key" },
    ],
  });
  expect(rotation.remaining).toHaveLength(2);
  expect(await deliverSecrets(db, strange, tenant.environmentId, ["AA_STRANGE"])).toMatchObject({ ok: true });
  expect(await deliverSecrets(db, onlyNew, tenant.environmentId, ["ZZ_OLD"])).toMatchObject({ ok: true });
});
