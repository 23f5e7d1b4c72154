import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateKeyRing } from "../key-ring.ts";
import { openKeys } from "../secrets.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { deliverSecrets, findUnavailableSecrets, unavailableSecretText } from "./deliver-secrets.ts";
import { putSecret } from "./put-secret.ts";

let accounts: Accounts;
let tenant: Tenant;
const values = { TEXT: "plain", EMPTY: "", ODD: "Zeile\r\n\0ü🙂", LONG: "x".repeat(300_000) };

beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  const { db, keys } = accounts.context;
  for (const [name, value] of Object.entries(values)) await putSecret(db, keys, { scope: tenant, name, value });
  await putSecret(db, keys, { scope: { ...tenant, environmentId: tenant.stagingId }, name: "STAGING", value: "other" });
  await putSecret(db, openKeys(generateKeyRing()), { scope: tenant, name: "LOST_KEY", value: "x" });
  await putSecret(db, keys, { scope: tenant, name: "DAMAGED", value: "x" });
  await accounts.sql("update secrets set sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) where name = 'DAMAGED'");
});
afterAll(() => accounts.close());

const deliver = (...names: string[]) => deliverSecrets(accounts.context.db, accounts.context.keys, tenant.environmentId, names);
const check = (...names: string[]) => findUnavailableSecrets(accounts.context.db, accounts.context.keys, tenant.environmentId, names);

describe("deliverSecrets()", () => {
  test("gives exactly the values that were put, in a transaction too", async () => {
    const names = Object.keys(values);
    expect(await deliver(...names)).toEqual({ ok: true, values: new Map(Object.entries(values)) });
    const inTx = await accounts.context.db.tx((tx) => deliverSecrets(tx, accounts.context.keys, tenant.environmentId, ["TEXT", "TEXT"]));
    expect(inTx).toEqual({ ok: true, values: new Map([["TEXT", "plain"]]) });
  });

  test("asks nothing for no names", async () => {
    const before = accounts.statements.length;
    expect(await deliver()).toEqual({ ok: true, values: new Map() });
    expect(accounts.statements.length).toBe(before);
  });

  test("gives no value at all when one is unavailable, and says which and why", async () => {
    const delivery = await deliver("TEXT", "STAGING", "LOST_KEY", "DAMAGED", "NONE");
    expect(delivery).toEqual({
      ok: false,
      unavailable: [
        { name: "STAGING", reason: "not_found" },
        { name: "LOST_KEY", reason: "unknown_key", keyId: expect.any(String) },
        { name: "DAMAGED", reason: "corrupt", keyId: accounts.context.keys.currentKeyId("secrets") },
        { name: "NONE", reason: "not_found" },
      ],
    });
  });

  test("a sealed value moved to another name or environment does not open", async () => {
    await accounts.sql(
      "insert into secrets (environment_id, name, key_id, sealed) select environment_id, 'MOVED', key_id, sealed from secrets where name = 'TEXT'",
    );
    expect(await deliver("MOVED")).toMatchObject({ ok: false, unavailable: [{ name: "MOVED", reason: "corrupt" }] });
  });
});

describe("findUnavailableSecrets()", () => {
  test("is empty when all are there", async () => expect(await check("TEXT", "EMPTY")).toEqual([]));

  test("names what is missing or cannot be opened, with the text of http §4.3", async () => {
    const found = await check("NONE", "TEXT", "LOST_KEY");
    expect(found.map((secret) => secret.name)).toEqual(["NONE", "LOST_KEY"]);
    expect(unavailableSecretText(found[0]!)).toBe('secret "NONE" is unavailable: secret not found');
    expect(unavailableSecretText(found[1]!)).toMatch(/^secret "LOST_KEY" is unavailable: the server has no key "k-/);
  });

  test("opens nothing", async () => {
    const before = accounts.statements.length;
    await check("TEXT");
    expect(accounts.statements.slice(before)).toEqual(["secret_key_ids"]);
  });
});
