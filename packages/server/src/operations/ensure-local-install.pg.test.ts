import { afterAll, beforeAll, expect, test } from "vitest";
import { permissionScopes } from "@helmr/protocol/shared";
import { isRefusal } from "../outcome.ts";
import { type Accounts, openAccounts } from "./accounts.fixture.ts";
import { deleteProject } from "./change-projects.ts";
import { createOrganization } from "./create-organization.ts";
import { ensureLocalInstall } from "./ensure-local-install.ts";
import { findApiKey, findLoginSession } from "./find-credential.ts";
import { useLocalLink } from "./log-in-locally.ts";

let accounts: Accounts;
beforeAll(async () => {
  accounts = await openAccounts({ mode: "local" });
});
afterAll(() => accounts.close());

const ensure = (key?: string) => ensureLocalInstall({ ...accounts.context, publicUrl: "http://127.0.0.1:8787" }, key);
const count = async (table: string) => (await accounts.sql(`select 1 from ${table}`)).length;

test("several first starts at once make one install with one working key", async () => {
  const installs = await Promise.all(Array.from({ length: 5 }, () => ensure()));
  expect(new Set(installs.map((install) => `${install.orgId} ${install.userId} ${install.projectId} ${install.environmentId}`)).size).toBe(
    1,
  );
  expect([await count("organizations"), await count("users"), await count("projects"), await count("environments")]).toEqual([1, 1, 1, 2]);
  const found = await Promise.all(installs.map((install) => findApiKey(accounts.context.db, install.apiKey)));
  expect(found.filter(Boolean)).toHaveLength(1);
});

test("makes what a first run needs: all scopes, default project in production, a link that logs the owner in", async () => {
  const install = await ensure();
  expect(install.apiKeyIsNew).toBe(true);
  const key = await findApiKey(accounts.context.db, install.apiKey);
  expect(key).toMatchObject({ orgId: install.orgId, projectId: install.projectId, environmentId: install.environmentId });
  expect(key?.permissions.size).toBe(Object.keys(permissionScopes).length);
  expect(await accounts.sql("select slug, is_default from projects")).toEqual([{ slug: "default", is_default: true }]);
  expect(await accounts.sql("select slug from environments where id = $1", [install.environmentId])).toEqual([{ slug: "production" }]);
  const url = new URL(install.loginUrl);
  expect(url.origin + url.pathname).toBe("http://127.0.0.1:8787/dev/login");
  const session = await useLocalLink(accounts.context.db, url.searchParams.get("token") ?? "");
  expect(isRefusal(session)).toBe(false);
  expect(await findLoginSession(accounts.context.db, session as string)).toMatchObject({
    userId: install.userId,
    membership: { role: "owner" },
  });
});

test("a known key stays, every start has a new link", async () => {
  const first = await ensure();
  const second = await ensure(first.apiKey);
  expect(second).toEqual({ ...first, apiKeyIsNew: false, loginUrl: expect.any(String) });
  expect(second.loginUrl).not.toBe(first.loginUrl);
});

test.each(["", "hlmr_sk_unknown"])("an unknown key %j is replaced and the old one ends", async (unknown) => {
  const first = await ensure();
  const second = await ensure(unknown);
  expect(second.apiKeyIsNew).toBe(true);
  expect(await findApiKey(accounts.context.db, first.apiKey)).toBeUndefined();
  expect(await findApiKey(accounts.context.db, second.apiKey)).toBeDefined();
});

test("a revoked key is replaced", async () => {
  const first = await ensure();
  await accounts.sql("update api_keys set revoked_at = now()");
  expect(await ensure(first.apiKey)).toMatchObject({ apiKeyIsNew: true });
});

test("nobody can make another organization", async () => {
  const install = await ensure();
  const outcome = await createOrganization(accounts.context, { userId: install.userId, slug: "x", name: "x", setupToken: "s3tup-token" });
  expect(outcome).toMatchObject({ status: 409 });
});

test("a deleted default project is replaced by another one, or made anew, with a key that fits", async () => {
  const first = await ensure();
  await deleteProject(accounts.context.db, accounts.context.hints, first.orgId, first.projectId);
  const second = await ensure(first.apiKey);
  expect(second).toMatchObject({ orgId: first.orgId, userId: first.userId, apiKeyIsNew: true });
  expect(second.projectId).not.toBe(first.projectId);
  expect(await findApiKey(accounts.context.db, second.apiKey)).toMatchObject({ environmentId: second.environmentId });
});

test("an owner who was demoted on purpose stays so", async () => {
  const install = await ensure();
  await accounts.sql("update members set role = 'viewer'");
  await ensure(install.apiKey);
  expect(await accounts.sql("select role from members")).toEqual([{ role: "viewer" }]);
});
