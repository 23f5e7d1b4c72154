/** The command as an operator runs it: a process with its configuration in the environment. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateKeyRing, keyRingText, withNewRoot } from "../key-ring.ts";
import { type Accounts, type Tenant, addTenant, openAccounts } from "../operations/accounts.fixture.ts";
import { deliverSecrets } from "../operations/deliver-secrets.ts";
import { putSecret } from "../operations/put-secret.ts";
import { openKeys } from "../secrets.ts";

const oldRing = generateKeyRing();
const ring = withNewRoot(oldRing, "secrets");
let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  for (const name of ["A", "B"]) await putSecret(accounts.context.db, openKeys(oldRing), { scope: tenant, name, value: `value ${name}` });
});
afterAll(() => accounts.close());

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function run(keyRing: string): Promise<Ended> {
  const environment = { HELMR_DATABASE_URL: accounts.databaseUrl, HELMR_STATE_DIR: "/nowhere", HELMR_KEY_RING: keyRing };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(import.meta.dirname, "rotate-secrets.ts")],
      { env: environment, timeout: 15_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

test("seals everything under the new key, says what is left, and a second run finds nothing to do", async () => {
  const first = await run(keyRingText(ring));
  expect(first).toMatchObject({
    code: 0,
    stdout: `{"resealed":2,"unreadable":0,"remaining":[{"keyId":"${ring.secrets[0].id}","count":2}]}\n`,
  });
  const onlyNew = openKeys({ ...ring, secrets: [ring.secrets[0]] });
  expect(await deliverSecrets(accounts.context.db, onlyNew, tenant.environmentId, ["A", "B"])).toEqual({
    ok: true,
    values: new Map([
      ["A", "value A"],
      ["B", "value B"],
    ]),
  });
  expect(JSON.parse((await run(keyRingText(ring))).stdout)).toMatchObject({ resealed: 0 });
});

test("exits with 1 and names what it cannot open, without values", async () => {
  const ended = await run(keyRingText(generateKeyRing()));
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain(
    `secret "A" of environment ${tenant.environmentId} was left under key "${ring.secrets[0].id}": the ring has no such key`,
  );
  expect(ended.stdout + ended.stderr).not.toContain("value A");
});

test("a broken ring ends it before anything is touched, all problems at once and no key material", async () => {
  const broken = JSON.parse(keyRingText(ring)) as Record<string, unknown>;
  delete broken["login"];
  const ended = await run(JSON.stringify({ ...broken, tokens: [] }));
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain("for the purpose login");
  expect(ended.stderr).toContain("for the purpose tokens");
  expect(ended.stderr).not.toContain(ring.secrets[0].key.toString("base64"));
});
