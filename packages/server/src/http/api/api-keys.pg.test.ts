/** API keys over HTTP (http §15.4), and what they may do. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccountServer, type Founded, foundOrganization, joinAs, startAccountServer } from "../account-server.fixture.ts";

let server: AccountServer;
let owner: Founded;
beforeAll(async () => {
  server = await startAccountServer();
  owner = await foundOrganization(server);
});
afterAll(() => server.close());

const base = "/api/projects/shop/environments/production/api-keys";
const body = { name: "ci", expires_in_days: 30, permissions: [{ scopes: ["secrets:write"] }] };
const create = (change: object = {}, path = base) => server.call("POST", path, { cookie: owner.cookie, body: { ...body, ...change } });
const list = (query = "", path = base) => server.call("GET", `${path}${query}`, { cookie: owner.cookie });

describe("POST", () => {
  test("201 with the key, once", async () => {
    const created = await create();
    expect(created.status).toBe(201);
    expect(created.headers.get("cache-control")).toBe("no-store");
    const { raw_key: rawKey, ...view } = created.json as { raw_key: string; id: string };
    expect(rawKey).toMatch(/^hlmr_sk_[0-9A-Za-z]{49}$/);
    expect(view).toEqual({
      id: expect.any(String),
      name: "ci",
      key_prefix: rawKey.slice(0, 16),
      project_id: owner.projectId,
      environment_id: owner.environmentId,
      permissions: [{ scopes: ["secrets:write"] }],
      status: "active",
      created_at: expect.any(String),
      last_used_at: null,
      expires_at: expect.any(String),
      revoked_at: null,
    });
    expect((await list()).json.items).toContainEqual(view);
  });

  test("takes UUIDs and slugs in the path, and no lifetime", async () => {
    const path = `/api/projects/${owner.projectId}/environments/${owner.stagingId}/api-keys`;
    expect(await create({ expires_in_days: null }, path)).toMatchObject({
      status: 201,
      json: { expires_at: null, environment_id: owner.stagingId },
    });
  });

  test.each([
    [{ expires_in_days: 31 }],
    [{ expires_in_days: "30" }],
    [{ expires_in_days: undefined }],
    [{ name: "" }],
    [{ name: "x".repeat(65) }],
    [{ permissions: [] }],
    [{ permissions: [{ scopes: [] }] }],
    [{ permissions: [{ scopes: ["runs.read"] }] }],
    [{ permissions: [{ scopes: ["api-keys:manage"] }] }],
    [{ permissions: [{ scopes: ["runs:read"], other: 1 }] }],
    [{ other: 1 }],
  ])("%j is 400", async (change) => expect((await create(change)).status).toBe(400));

  test("unknown or malformed places", async () => {
    expect((await create({}, base.replace("shop", "none"))).status).toBe(404);
    expect((await create({}, base.replace("production", "none"))).status).toBe(404);
    expect(await create({}, base.replace("shop", "No_Slug"))).toMatchObject({ status: 400, json: { error: "invalid project id" } });
  });
});

test("GET filters by status; another status is 400", async () => {
  const { id } = (await create()).json as { id: string };
  await server.call("DELETE", `${base}/${id}`, { cookie: owner.cookie });
  const ids = async (status: string) => ((await list(`?status=${status}`)).json.items as { id: string }[]).map((key) => key.id);
  expect(await ids("revoked")).toContain(id);
  expect(await ids("active")).not.toContain(id);
  expect(await ids("all")).toContain(id);
  expect(await ids("expired")).toEqual([]);
  expect((await list()).json.has_more).toBe(false);
  expect((await list("?status=other")).status).toBe(400);
});

describe("DELETE", () => {
  test("204 and the key is dead at once, also while it is remembered; twice is 204, unknown 404, malformed 400", async () => {
    const { id, raw_key: key } = (await create()).json as { id: string; raw_key: string };
    expect((await server.call("GET", "/api/secrets", { bearer: key })).status).toBe(200);
    expect(await server.call("DELETE", `${base}/${id}`, { cookie: owner.cookie })).toMatchObject({ status: 204, text: "" });
    expect(await server.call("GET", "/api/secrets", { bearer: key })).toMatchObject({
      status: 401,
      json: { error: "authentication is required" },
    });
    expect((await server.call("DELETE", `${base}/${id}`, { cookie: owner.cookie })).status).toBe(204);
    expect((await server.call("DELETE", `${base}/${owner.orgId}`, { cookie: owner.cookie })).status).toBe(404);
    expect(await server.call("DELETE", `${base}/nonsense`, { cookie: owner.cookie })).toMatchObject({
      status: 400,
      json: { error: "invalid api key id" },
    });
    const staging = base.replace("production", "staging");
    expect((await server.call("DELETE", `${staging}/${id}`, { cookie: owner.cookie })).status).toBe(404);
  });
});

describe("a key", () => {
  test("is refused where a session is needed, and knows no scope in the request", async () => {
    const { raw_key: bearer } = (await create()).json as { raw_key: string };
    for (const path of ["/api/me", "/api/projects", "/api/members", base, "/api/projects/shop/environments/production/secrets"]) {
      expect(await server.call("GET", path, { bearer })).toMatchObject({
        status: 401,
        json: { error: "session authentication is required" },
      });
    }
  });

  test("has the permissions of its scopes only", async () => {
    const { raw_key: bearer } = (await create({ permissions: [{ scopes: ["runs:read"] }, { scopes: ["runs:create"] }] })).json as {
      raw_key: string;
    };
    expect(await server.call("GET", "/api/secrets", { bearer })).toMatchObject({
      status: 403,
      json: { error: "secrets.write permission is required" },
    });
  });

  test("loses at once what its creator loses, and gets it back with them", async () => {
    const admin = await joinAs(server, owner.cookie, { email: "admin@example.com", role: "admin" });
    const { raw_key: bearer } = (await server.call("POST", base, { cookie: admin.cookie, body })).json as { raw_key: string };
    const setRole = (expected: string, role: string) =>
      server.call("PATCH", `/api/members/${admin.userId}`, { cookie: owner.cookie, body: { role, expected_role: expected } });
    const status = async () => (await server.call("GET", "/api/secrets", { bearer })).status;
    expect(await status()).toBe(200);
    await setRole("admin", "developer");
    expect(await status()).toBe(403);
    await setRole("developer", "admin");
    expect(await status()).toBe(200);
    await server.call("DELETE", `/api/members/${admin.userId}`, { cookie: owner.cookie });
    expect(await status()).toBe(403);
  });

  test("dies with its environment", async () => {
    const environments = `/api/projects/${owner.projectId}/environments`;
    const { id } = (
      await server.call("POST", environments, { cookie: owner.cookie, body: { slug: "tmp", name: "Tmp", color_hex: "#000000" } })
    ).json as { id: string };
    const { raw_key: bearer } = (await create({}, base.replace("production", "tmp"))).json as { raw_key: string };
    expect((await server.call("GET", "/api/secrets", { bearer })).status).toBe(200);
    await server.call("DELETE", `${environments}/${id}`, { cookie: owner.cookie });
    expect((await server.call("GET", "/api/secrets", { bearer })).status).toBe(401);
  });
});

test("only members.manage's neighbours with api_keys.manage may see or make keys", async () => {
  for (const role of ["developer", "viewer"]) {
    const { cookie } = await joinAs(server, owner.cookie, { email: `${role}@example.com`, role });
    expect(await server.call("GET", base, { cookie })).toMatchObject({
      status: 403,
      json: { error: "api_keys.manage permission is required" },
    });
    expect((await server.call("POST", base, { cookie, body })).status).toBe(403);
  }
});
