import { afterAll, beforeAll, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Accounts, openAccounts } from "./accounts.fixture.ts";
import { ensureLocalInstall } from "./ensure-local-install.ts";
import { findLoginSession } from "./find-credential.ts";
import { issueLocalLink, useLocalLink } from "./log-in-locally.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts({ mode: "local" });
});
afterAll(() => accounts.close());

const issue = () => accounts.context.db.tx(issueLocalLink);
const use = (token: string) => useLocalLink(accounts.context.db, token);
const refused = { status: 401, errorKind: "invalid_token" };

test("before there is a local user a link opens nothing", async () => {
  expect(await use(await issue())).toMatchObject(refused);
});

test("a link logs the local user in once, also when used several times at once", async () => {
  const { userId } = await ensureLocalInstall({ ...accounts.context, publicUrl: "http://localhost:8787" }, undefined);
  const token = await issue();
  expect(JSON.stringify(await accounts.sql("select * from local_login_links"))).not.toContain(token);
  const outcomes = await Promise.all(Array.from({ length: 6 }, () => use(token)));
  const [session] = outcomes.filter((outcome) => !isRefusal(outcome)) as string[];
  expect(outcomes.filter(isRefusal)).toHaveLength(5);
  for (const outcome of outcomes.filter(isRefusal)) expect(outcome).toMatchObject(refused);
  expect(await findLoginSession(accounts.context.db, session ?? "")).toMatchObject({ userId, membership: { role: "owner" } });
});

test("a new link ends the one before; old and wrong ones are refused", async () => {
  const [first, second] = [await issue(), await issue()];
  expect(await use(first)).toMatchObject(refused);
  await accounts.sql("update local_login_links set expires_at = now()");
  for (const token of [second, "", "hlmr_ll_x"]) expect(await use(token)).toMatchObject(refused);
});
