import { afterAll, beforeAll, expect, test } from "vitest";
import { type Accounts, addUser, openAccounts } from "./accounts.fixture.ts";
import { findLoginSession } from "./find-credential.ts";
import { closeLoginSessions, openLoginSession } from "./open-login-session.ts";

let accounts: Accounts;
let userId: string;
beforeAll(async () => {
  accounts = await openAccounts();
  userId = await addUser(accounts.context, "a@example.com");
});
afterAll(() => accounts.close());

test("openLoginSession() stores the hash of a token that is good for 30 days", async () => {
  const token = await openLoginSession(accounts.context.db, userId, "browser");
  expect(token).toMatch(/^[A-Za-z0-9_-]{40,}$/);
  const [row] = await accounts.sql<{ days: number; kind: string; token_hash: Buffer }>(
    "select extract(epoch from expires_at - created_at)::int / 86400 as days, kind, token_hash from login_sessions",
  );
  expect(row).toMatchObject({ days: 30, kind: "browser" });
  expect(row?.token_hash.length).toBe(32);
  expect(await findLoginSession(accounts.context.db, token)).toMatchObject({ userId });
});

test("a session that is rolled back with its transaction never existed", async () => {
  const { db } = accounts.context;
  let token = "";
  const failing = db.tx(async (tx) => {
    token = await openLoginSession(tx, userId, "browser");
    throw new RangeError("on purpose");
  });
  await expect(failing).rejects.toThrow("on purpose");
  expect(await findLoginSession(db, token)).toBeUndefined();
});

test("closeLoginSessions() ends the given ones, ignores unknown ones and tells everybody", async () => {
  const { db, hints } = accounts.context;
  const [one, two] = [await openLoginSession(db, userId, "browser"), await openLoginSession(db, userId, "device")];
  accounts.hinted.length = 0;
  await closeLoginSessions(db, hints, [one, "unknown"]);
  expect(accounts.hinted).toEqual(["credentials"]);
  expect(await findLoginSession(db, one)).toBeUndefined();
  expect(await findLoginSession(db, two)).toMatchObject({ userId });
});
