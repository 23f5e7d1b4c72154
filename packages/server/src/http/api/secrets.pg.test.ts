/** Secrets over HTTP (http §10), on both route families. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccountServer, type Founded, foundOrganization, joinAs, startAccountServer } from "../account-server.fixture.ts";

let server: AccountServer;
let owner: Founded;
let key: string;
const prefixed = "/api/projects/shop/environments/production/secrets";
beforeAll(async () => {
  server = await startAccountServer();
  owner = await foundOrganization(server);
  const body = { name: "k", expires_in_days: null, permissions: [{ scopes: ["secrets:write"] }] };
  key = (await server.call("POST", prefixed.replace("secrets", "api-keys"), { cookie: owner.cookie, body })).json.raw_key as string;
});
afterAll(() => server.close());

const byKey = (method: string, path = "", body?: unknown) => server.call(method, `/api/secrets${path}`, { bearer: key, body });
const bySession = (method: string, path = "", body?: unknown) => server.call(method, `${prefixed}${path}`, { cookie: owner.cookie, body });

describe.each([
  ["an API key", byKey],
  ["a user session", bySession],
])("with %s", (who, call) => {
  const name = who === "an API key" ? "BY_KEY" : "BY_SESSION";
  const view = () => ({
    project_id: owner.projectId,
    environment_id: owner.environmentId,
    name,
    created_at: expect.any(String),
    updated_at: expect.any(String),
  });

  test("PUT 200, GET 200, list, DELETE 204, then 404; no value in any answer", async () => {
    const value = "value-that-never-comes-back";
    const answers = [await call("PUT", `/${name}`, { value }), await call("GET", `/${name}`), await call("GET")];
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
    expect(answers[0]?.json).toEqual(view());
    expect(answers[1]?.json).toEqual(view());
    expect(answers[2]?.json.secrets).toContainEqual(view());
    for (const answer of answers) expect(answer.text).not.toContain(value);
    expect(await call("DELETE", `/${name}`)).toMatchObject({ status: 204, text: "" });
    expect(await call("GET", `/${name}`)).toMatchObject({ status: 404, json: { error: "secret not found" } });
    expect(await call("DELETE", `/${name}`)).toMatchObject({ status: 404 });
  });

  test("bad names are 400 to write and 404 to read", async () => {
    for (const bad of ["a%20b", "-a", "%C3%BC", "x".repeat(129)]) {
      expect((await call("PUT", `/${bad}`, { value: "x" })).status).toBe(400);
      expect((await call("GET", `/${bad}`)).status).toBe(404);
      expect((await call("DELETE", `/${bad}`)).status).toBe(404);
    }
    expect((await call("PUT", `/${"x".repeat(128)}`, { value: "x" })).status).toBe(200);
  });

  test.each([[undefined], [{}], [{ value: 1 }], [{ value: null }], [{ value: "x", other: 1 }], ['{"value":"\\ud800"}'], ["[]"], ["{"]])(
    "body %j is 400",
    async (body) => {
      expect((await call("PUT", "/BAD", body)).status).toBe(400);
    },
  );

  test("any text is a value: empty, NUL, a megabyte", async () => {
    for (const value of ["", "a\0b", "x".repeat(1024 * 1024)]) expect((await call("PUT", "/ODD", { value })).status).toBe(200);
  });
});

test("scope in query or body is refused", async () => {
  const text = "project_id and environment_id are not accepted with API keys";
  for (const query of ["?project_id=x", "?environment_id=x"])
    expect(await byKey("GET", query)).toMatchObject({ status: 400, json: { error: text } });
  expect(await byKey("PUT", "/A", { value: "x", environment_id: owner.stagingId })).toMatchObject({ status: 400, json: { error: text } });
  expect(await bySession("PUT", "/A", { value: "x", project_id: owner.projectId })).toMatchObject({
    status: 400,
    json: { error: expect.stringContaining("not accepted") },
  });
  expect((await byKey("GET", "?project_id=")).status).toBe(200);
});

test("environments are apart", async () => {
  await bySession("PUT", "/ONLY_PRODUCTION", { value: "x" });
  const staging = await server.call("GET", prefixed.replace("production", owner.stagingId), { cookie: owner.cookie });
  expect(staging).toMatchObject({ status: 200, json: { secrets: [] } });
});

test("needs secrets.write, which developers and viewers do not have", async () => {
  for (const role of ["developer", "viewer"]) {
    const { cookie } = await joinAs(server, owner.cookie, { email: `${role}@example.com`, role });
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["GET", "/A", undefined],
      ["PUT", "/A", { value: "x" }],
      ["DELETE", "/A", undefined],
    ] as const) {
      expect(await server.call(method, `${prefixed}${path}`, { cookie, body })).toMatchObject({
        status: 403,
        json: { error: "secrets.write permission is required" },
      });
    }
  }
});

test("a session on the un-prefixed route is 400, a key on the prefixed one 401, nobody 401, another method 405", async () => {
  expect(await server.call("GET", "/api/secrets", { cookie: owner.cookie })).toMatchObject({
    status: 400,
    json: { error: "session environment scoped requests must use the project environment path" },
  });
  expect(await server.call("GET", prefixed, { bearer: key })).toMatchObject({
    status: 401,
    json: { error: "session authentication is required" },
  });
  expect((await server.call("GET", "/api/secrets")).status).toBe(401);
  expect(await server.call("POST", "/api/secrets/A", { bearer: key, body: {} })).toMatchObject({ status: 405, text: "" });
  expect(
    await server.call("PUT", `${prefixed}/A`, { cookie: owner.cookie, body: { value: "x" }, headers: { origin: "https://evil.example" } }),
  ).toMatchObject({ status: 403 });
});
