import { afterAll, beforeAll, expect, test } from "vitest";
import { type Accounts, type Tenant, addTenant, openAccounts } from "./accounts.fixture.ts";
import { inviteMember } from "./invite-members.ts";
import { startDeviceLogin } from "./log-in-by-device.ts";
import { startMagicLink } from "./log-in-by-magic-link.ts";
import { openLoginSession } from "./open-login-session.ts";
import { pruneAccounts } from "./prune-accounts.ts";
import { takeRateToken } from "./take-rate-token.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const tables = ["login_sessions", "magic_links", "device_logins", "rate_limits", "invitations"] as const;

async function fill(): Promise<void> {
  const { context } = accounts;
  await openLoginSession(context.db, tenant.ownerId, "browser");
  await startMagicLink(context, { email: `${Math.random()}@example.com`, next: undefined });
  await startDeviceLogin(context.db, context.settings);
  await takeRateToken(context.db, { name: `rule ${Math.random()}`, burst: 1, refillMs: 1_000 }, "x");
  await inviteMember(context, { orgId: tenant.orgId, inviterId: tenant.ownerId, email: "x@example.com", role: "viewer", expiresInDays: 1 });
}

test("removes what ended long ago, a page at a time, and leaves the rest", async () => {
  for (let count = 0; count < 3; count += 1) await fill();
  for (const table of tables) {
    const column = table === "rate_limits" ? "updated_at" : "expires_at";
    await accounts.sql(`update ${table} set ${column} = now() - interval '91 days'`);
  }
  await fill();
  expect(await pruneAccounts(accounts.context.db, 2)).toEqual({ changed: 10, more: true });
  expect(await pruneAccounts(accounts.context.db, 2)).toEqual({ changed: 5, more: false });
  expect(await pruneAccounts(accounts.context.db, 2)).toEqual({ changed: 0, more: false });
  for (const table of tables) expect(await accounts.sql(`select 1 from ${table}`)).toHaveLength(1);
});

test("a session that may still be used is kept however old it is", async () => {
  await accounts.sql("update login_sessions set created_at = now() - interval '2 years', expires_at = now() + interval '1 minute'");
  await pruneAccounts(accounts.context.db);
  expect(await accounts.sql("select 1 from login_sessions")).toHaveLength(1);
});
