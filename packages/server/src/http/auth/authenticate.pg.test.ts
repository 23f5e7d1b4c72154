import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "@helmr/test/services";
import { accountLimits } from "../../account-limits.ts";
import { assert } from "../../assert.ts";
import { openHints } from "../../hints.ts";
import { type Accounts, type Tenant, addMember, addTenant, openAccounts } from "../../operations/accounts.fixture.ts";
import { changeMemberRole } from "../../operations/change-members.ts";
import { issueApiKey, revokeApiKey } from "../../operations/issue-api-keys.ts";
import { closeLoginSessions, openLoginSession } from "../../operations/open-login-session.ts";
import { openDb } from "../../store/db.ts";
import { notifyTransport } from "../../store/hint-notify.ts";
import { openAuthenticator } from "./authenticate.ts";
import type { Credentials } from "./authenticator.ts";

let accounts: Accounts;
let tenant: Tenant;
let here: ReturnType<typeof openAuthenticator>;
beforeAll(async () => {
  accounts = await openAccounts();
  tenant = await addTenant(accounts.context);
  here = openAuthenticator(accounts.context);
});
beforeEach(() => void (accounts.statements.length = 0));
afterAll(async () => {
  here.close();
  await accounts.close();
});

const issue = () =>
  issueApiKey(accounts.context.db, {
    ...tenant,
    name: "k",
    scopes: ["runs:read", "secrets:write"],
    expiresInDays: null,
    creatorId: tenant.ownerId,
  });
const credentials = (change: Partial<Credentials> = {}): Credentials => ({
  authorization: undefined,
  cookie: undefined,
  method: "GET",
  origin: undefined,
  ...change,
});
const bearer = (token: string) => credentials({ authorization: `Bearer ${token}` });
const refused = { refused: true, status: 401, message: "authentication is required" };

describe("credentials", () => {
  test("none is anonymous", async () => expect(await here.authenticate(credentials())).toEqual({ kind: "anonymous" }));

  test.each(["Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "hlmr_sk_x", "", "Bearer hlmr_pat_x", "Bearer hlmr_wk_x"])(
    "authorization %j is refused without a look-up",
    async (authorization) => {
      expect(await here.authenticate(credentials({ authorization }))).toMatchObject(refused);
      expect(accounts.statements).toEqual([]);
    },
  );

  test("the scheme is case-insensitive", async () => {
    const { raw_key: key, id } = await issue();
    expect(await here.authenticate(credentials({ authorization: `bEARER ${key}` }))).toMatchObject({ kind: "api_key", keyId: id });
  });

  test("a bearer stands alone: a wrong one is not saved by a good cookie", async () => {
    const token = await openLoginSession(accounts.context.db, tenant.ownerId, "browser");
    const cookie = `helmr_session_dev=${token}`;
    expect(await here.authenticate(credentials({ cookie }))).toMatchObject({ kind: "user", via: "cookie" });
    expect(await here.authenticate(credentials({ cookie, authorization: "Bearer wrong" }))).toMatchObject(refused);
    expect(await here.authenticate({ ...bearer(token), method: "POST" })).toMatchObject({ kind: "user", via: "bearer" });
  });

  test("a cookie changes nothing from a foreign page, and no look-up is made for one", async () => {
    const cookie = `helmr_session_dev=${await openLoginSession(accounts.context.db, tenant.ownerId, "browser")}`;
    accounts.statements.length = 0;
    for (const origin of [undefined, "null", "https://evil.example"]) {
      expect(await here.authenticate(credentials({ cookie, method: "POST", origin }))).toMatchObject({ status: 403 });
    }
    expect(accounts.statements).toEqual([]);
    expect(await here.authenticate(credentials({ cookie, method: "POST", origin: "http://localhost:8787" }))).toMatchObject({
      kind: "user",
    });
  });
});

describe("what is remembered", () => {
  test("a busy key is one look-up per second, not one per request", async () => {
    const { raw_key: key } = await issue();
    accounts.statements.length = 0;
    await Promise.all(Array.from({ length: 200 }, () => here.authenticate(bearer(key))));
    expect(accounts.statements.filter((name) => name === "api_key_login").length).toBeLessThanOrEqual(2);
  });

  test("a revoked key and a closed session end at once in this process", async () => {
    const { db, hints } = accounts.context;
    const { raw_key: key, id } = await issue();
    const token = await openLoginSession(db, tenant.ownerId, "device");
    expect(await here.authenticate(bearer(key))).toMatchObject({ kind: "api_key" });
    expect(await here.authenticate(bearer(token))).toMatchObject({ kind: "user" });
    await revokeApiKey(db, hints, tenant.environmentId, id);
    await closeLoginSessions(db, hints, [token]);
    expect(await here.authenticate(bearer(key))).toMatchObject(refused);
    expect(await here.authenticate(bearer(token))).toMatchObject(refused);
  });

  test("a demotion counts at once for sessions and keys", async () => {
    const { db, hints } = accounts.context;
    const userId = await addMember(accounts, tenant, { email: "admin@example.com", role: "admin" });
    const token = await openLoginSession(db, userId, "browser");
    const { raw_key: key } = await issueApiKey(db, {
      ...tenant,
      name: "k",
      scopes: ["secrets:write"],
      expiresInDays: null,
      creatorId: userId,
    });
    const permissions = async (credential: string) => {
      const actor = await here.authenticate(bearer(credential));
      if ("refused" in actor || actor.kind === "anonymous") return undefined;
      return (actor.kind === "api_key" ? actor.permissions : actor.membership?.permissions)?.has("secrets.write");
    };
    expect([await permissions(token), await permissions(key)]).toEqual([true, true]);
    await changeMemberRole(db, hints, { orgId: tenant.orgId, userId, role: "developer", expectedRole: "admin" });
    expect([await permissions(token), await permissions(key)]).toEqual([false, false]);
  });

  test("in another process it ends with the hint, and when the hint is lost within a second", async () => {
    const [oneHints, otherHints] = [
      await openHints(notifyTransport(accounts.context.db)),
      await openHints(notifyTransport(accounts.context.db)),
    ];
    const linked = openAuthenticator({ ...accounts.context, hints: otherHints });
    const unlinked = openAuthenticator({ ...accounts.context, hints: await openHints(null) });
    const { raw_key: key, id } = await issue();
    for (const process of [linked, unlinked]) expect(await process.authenticate(bearer(key))).toMatchObject({ kind: "api_key" });
    const revokedAt = performance.now();
    await revokeApiKey(accounts.context.db, oneHints, tenant.environmentId, id);
    const isRefused = (process: typeof linked) => async () => "refused" in (await process.authenticate(bearer(key)));
    await until("the hint ends the key", isRefused(linked), 900);
    await until("the key ends without a hint", isRefused(unlinked), 3_000);
    expect(performance.now() - revokedAt).toBeLessThan(2_000);
    for (const process of [linked, unlinked]) process.close();
    for (const hints of [oneHints, otherHints]) await hints.close();
  });
});

test("a cookie's session is prolonged with its cookie, at most every few minutes", async () => {
  const token = await openLoginSession(accounts.context.db, tenant.ownerId, "browser");
  await accounts.sql("update login_sessions set last_used_at = now() - $1 * interval '1 millisecond'", [
    accountLimits.loginSessionRenewMs + 1_000,
  ]);
  const set: string[] = [];
  const request = credentials({ cookie: `helmr_session_dev=${token}`, setCookie: (cookie) => set.push(cookie) });
  for (let count = 0; count < 5; count += 1) await here.authenticate(request);
  expect(set).toEqual([`helmr_session_dev=${token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000`]);
  expect(accounts.statements.filter((name) => name === "login_session_renew")).toHaveLength(1);
});

test("while the database is away authentication is unavailable, not refused", async () => {
  const db = openDb({ url: "postgres://nobody:x@127.0.0.1:1/none", poolSize: 1 });
  const lost = openAuthenticator({ ...accounts.context, db });
  const { raw_key: key } = await issue();
  expect(await lost.authenticate(bearer(key))).toMatchObject({ status: 503, message: "authentication is unavailable" });
  lost.close();
  await db.close();
});

test("resolveScope() gives the three ids of an own environment and 404 for anything else", async () => {
  const foreign = await addTenant(accounts.context, "beta");
  const token = await openLoginSession(accounts.context.db, tenant.ownerId, "browser");
  const actor = await here.authenticate(bearer(token));
  assert(!("refused" in actor) && actor.kind === "user", "the session is good");
  expect(await here.resolveScope(actor, "shop", "staging")).toEqual({
    orgId: tenant.orgId,
    projectId: tenant.projectId,
    environmentId: tenant.stagingId,
  });
  expect(await here.resolveScope(actor, foreign.projectId, "staging")).toMatchObject({ status: 404 });
  const { membership: _, ...outside } = actor;
  expect(await here.resolveScope(outside, "shop", "staging")).toMatchObject({ status: 404 });
});
