import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "./accounts.fixture.ts";
import { findLoginSession } from "./find-credential.ts";
import { decideDeviceLogin, deviceLoginStatus, exchangeDeviceCode, startDeviceLogin } from "./log-in-by-device.ts";

let accounts: Accounts;
let tenant: Tenant;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
});
afterAll(() => accounts.close());

const start = () => startDeviceLogin(accounts.context.db, accounts.context.settings);
const decide = (userCode: string, status: "approved" | "denied", userId = tenant.ownerId) =>
  decideDeviceLogin(accounts.context.db, { userCode, userId, status });
const exchange = (deviceCode: string) => exchangeDeviceCode(accounts.context.db, deviceCode);
const status = (userCode: string) => deviceLoginStatus(accounts.context.db, userCode);

test("startDeviceLogin() gives codes, times and where to go; the device code is stored as a hash", async () => {
  const started = await start();
  expect(started).toEqual({
    device_code: expect.stringMatching(/^hlmr_dc_/),
    user_code: expect.stringMatching(/^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$/),
    verification_uri: "http://localhost:8787/auth/device",
    verification_uri_complete: `http://localhost:8787/auth/device?code=${started.user_code}`,
    expires_in_seconds: 600,
    interval_seconds: 5,
  });
  expect(JSON.stringify(await accounts.sql("select * from device_logins"))).not.toContain(started.device_code);
});

describe("the flow", () => {
  test("pending, approved, exchanged once", async () => {
    const { device_code: deviceCode, user_code: userCode } = await start();
    expect(await exchange(deviceCode)).toEqual({ kind: "pending" });
    expect(await status(userCode)).toEqual({ status: "pending", expires_at: expect.stringMatching(/Z$/) });
    expect(await decide(userCode, "approved")).toMatchObject({ status: "approved" });
    expect(await decide(userCode, "approved")).toMatchObject({ status: "approved" });
    const exchanged = await exchange(deviceCode);
    expect(exchanged).toMatchObject({ kind: "token", token: { token_type: "bearer", expires_in_seconds: 2_592_000 } });
    const token = exchanged.kind === "token" ? exchanged.token.access_token : "";
    expect(await findLoginSession(accounts.context.db, token)).toMatchObject({ userId: tenant.ownerId });
    expect(await exchange(deviceCode)).toEqual({ kind: "refused", error: "invalid_request" });
    expect(await status(userCode)).toEqual({ status: "consumed" });
  });

  test("of several exchanges at once one gets the token", async () => {
    const { device_code: deviceCode, user_code: userCode } = await start();
    await decide(userCode, "approved");
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => exchange(deviceCode)));
    expect(outcomes.filter((outcome) => outcome.kind === "token")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === "refused" && outcome.error === "invalid_request")).toHaveLength(7);
  });

  test("denied", async () => {
    const { device_code: deviceCode, user_code: userCode } = await start();
    expect(await decide(userCode, "denied")).toEqual({ status: "denied" });
    expect(await exchange(deviceCode)).toEqual({ kind: "refused", error: "access_denied" });
    expect(await decide(userCode, "approved")).toMatchObject({ status: 400, message: "the device login is already denied" });
  });

  test("expired, before and after approval", async () => {
    const [one, two] = [await start(), await start()];
    await decide(two.user_code, "approved");
    await accounts.sql("update device_logins set expires_at = now() where status in ('pending', 'approved')");
    for (const { device_code: deviceCode, user_code: userCode } of [one, two]) {
      expect(await exchange(deviceCode)).toEqual({ kind: "refused", error: "expired_token" });
      expect(await status(userCode)).toEqual({ status: "expired" });
      expect(await decide(userCode, "approved")).toMatchObject({ status: 400 });
    }
  });

  test("somebody else's decision does not count twice", async () => {
    const { user_code: userCode } = await start();
    const other = await addMember(accounts, tenant, { email: "other@example.com", role: "viewer" });
    const outcomes = await Promise.all([decide(userCode, "approved"), decide(userCode, "denied", other)]);
    expect(outcomes.filter((outcome) => outcome.status === 400)).toHaveLength(1);
  });

  test("a member who was removed after approving gets nothing", async () => {
    const { device_code: deviceCode, user_code: userCode } = await start();
    const gone = await addMember(accounts, tenant, { email: "gone@example.com", role: "viewer" });
    await decide(userCode, "approved", gone);
    await accounts.sql("update members set status = 'disabled' where user_id = $1", [gone]);
    expect(await exchange(deviceCode)).toEqual({ kind: "refused", error: "access_denied" });
    expect(await accounts.sql("select 1 from login_sessions where user_id = $1", [gone])).toEqual([]);
  });

  test("unknown codes", async () => {
    expect(await exchange("hlmr_dc_nonsense")).toEqual({ kind: "refused", error: "invalid_request" });
    expect(await status("AAAA-AAAA")).toMatchObject({ status: 404 });
    expect(await decide("AAAA-AAAA", "approved")).toMatchObject({ status: 404 });
  });

  test("a poll writes nothing", async () => {
    const { device_code: deviceCode } = await start();
    accounts.statements.length = 0;
    await exchange(deviceCode);
    expect(accounts.statements).toEqual(["device_login_by_code"]);
  });
});
