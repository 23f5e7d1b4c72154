/** Projects and environments over HTTP (http §15.3). */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccountServer, type Founded, foundOrganization, joinAs, logIn, startAccountServer } from "../account-server.fixture.ts";

let server: AccountServer;
let owner: Founded;
let viewer: string;
let developer: string;
beforeAll(async () => {
  server = await startAccountServer();
  owner = await foundOrganization(server);
  viewer = (await joinAs(server, owner.cookie, { email: "v@example.com", role: "viewer" })).cookie;
  developer = (await joinAs(server, owner.cookie, { email: "d@example.com", role: "developer" })).cookie;
});
afterAll(() => server.close());

const call = (method: string, path: string, body?: unknown, cookie = owner.cookie) =>
  server.call(method, `/api/projects${path}`, { cookie, body });
const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/);
let count = 0;
const project = async () => (await call("POST", "", { slug: `p-${(count += 1)}`, name: "P" })).json as { id: string; slug: string };

describe("projects", () => {
  test("list and get give whole projects to any member", async () => {
    const environment = {
      id: expect.any(String),
      project_id: owner.projectId,
      color_hex: expect.stringMatching(/^#[0-9A-F]{6}$/),
      created_at: instant,
      updated_at: instant,
    };
    const shop = {
      id: owner.projectId,
      slug: "shop",
      name: "Shop",
      is_default: true,
      created_at: instant,
      updated_at: instant,
      environments: [
        { ...environment, slug: "production", name: "Production", is_default: true },
        { ...environment, slug: "staging", name: "Staging", is_default: false },
      ],
    };
    for (const cookie of [owner.cookie, viewer]) {
      expect((await call("GET", "", undefined, cookie)).json).toEqual({ projects: [shop] });
      expect((await call("GET", `/${owner.projectId}`, undefined, cookie)).json).toEqual(shop);
    }
  });

  test("create 201, update 200, delete 204; slug conflicts 400", async () => {
    const created = await call("POST", "", { slug: "tools", name: "  Tools  " });
    expect(created).toMatchObject({ status: 201, json: { slug: "tools", name: "Tools", is_default: false, environments: [{}, {}] } });
    const path = `/${created.json.id as string}`;
    expect(await call("POST", "", { slug: "tools", name: "Tools" })).toMatchObject({
      status: 400,
      json: { error: 'slug "tools" is already in use' },
    });
    expect(await call("PATCH", path, { slug: "shop", name: "Tools" })).toMatchObject({ status: 400 });
    expect(await call("PATCH", path, { slug: "tooling", name: "Tooling" })).toMatchObject({
      status: 200,
      json: { slug: "tooling", name: "Tooling" },
    });
    expect(await call("DELETE", path)).toMatchObject({ status: 204, text: "" });
    expect((await call("GET", path)).status).toBe(404);
    expect((await call("DELETE", path)).status).toBe(404);
  });

  test.each([
    ["no name", { slug: "x" }],
    ["no slug", { name: "x" }],
    ["a blank name", { slug: "x", name: "  " }],
    ["81 characters", { slug: "x", name: "x".repeat(81) }],
    ["NUL", { slug: "x", name: "a\0b" }],
    ["an upper-case slug", { slug: "X", name: "x" }],
    ["a slug of 64", { slug: "x".repeat(64), name: "x" }],
    ["an unknown field", { slug: "x", name: "x", other: 1 }],
    ["an array", []],
    ["text after the value", '{"slug":"x","name":"x"} {}'],
    ["nothing", undefined],
  ])("%s is 400 for create and update", async (_case, body) => {
    const { id } = await project();
    expect((await call("POST", "", body)).status).toBe(400);
    expect((await call("PATCH", `/${id}`, body)).status).toBe(400);
  });

  test("management needs a UUID", async () => {
    for (const method of ["GET", "DELETE"])
      expect(await call(method, "/shop")).toMatchObject({ status: 400, json: { error: "invalid project id" } });
  });

  test("changes need projects.manage", async () => {
    for (const cookie of [viewer, developer]) {
      for (const [method, path, body] of [
        ["POST", "", { slug: "x", name: "x" }],
        ["PATCH", `/${owner.projectId}`, { slug: "x", name: "x" }],
        ["DELETE", `/${owner.projectId}`, undefined],
        ["POST", `/${owner.projectId}/environments`, { slug: "x", name: "x", color_hex: "#000000" }],
      ] as const) {
        expect(await call(method, path, body, cookie)).toMatchObject({
          status: 403,
          json: { error: "projects.manage permission is required" },
        });
      }
    }
  });
});

describe("environments", () => {
  const base = () => `/${owner.projectId}/environments`;
  const preview = { slug: "preview", name: "Preview", color_hex: "#1f6feb" };

  test("create 201 with an upper-case colour, get 200 for any member, update 200, delete 204", async () => {
    const created = await call("POST", base(), preview);
    expect(created).toMatchObject({
      status: 201,
      json: { ...preview, color_hex: "#1F6FEB", project_id: owner.projectId, is_default: false },
    });
    const path = `${base()}/${created.json.id as string}`;
    expect((await call("GET", path, undefined, viewer)).json).toEqual(created.json);
    expect(await call("POST", base(), preview)).toMatchObject({ status: 400 });
    expect(await call("PATCH", path, { slug: "pre", name: "Pre", color_hex: "#abcdef" })).toMatchObject({
      status: 200,
      json: { slug: "pre", color_hex: "#ABCDEF" },
    });
    expect(await call("DELETE", path)).toMatchObject({ status: 204, text: "" });
    expect((await call("GET", path)).status).toBe(404);
  });

  test("production and staging stay", async () => {
    for (const id of [owner.environmentId, owner.stagingId]) {
      expect(await call("DELETE", `${base()}/${id}`)).toMatchObject({
        status: 400,
        json: { error: expect.stringContaining("cannot be deleted") },
      });
      expect(await call("PATCH", `${base()}/${id}`, preview)).toMatchObject({
        status: 400,
        json: { error: expect.stringContaining("cannot be renamed") },
      });
    }
  });

  test.each([
    ["no colour", { slug: "x", name: "x" }],
    ["a colour name", { slug: "x", name: "x", color_hex: "red" }],
    ["a short colour", { slug: "x", name: "x", color_hex: "#123" }],
    ["no name", { slug: "x", color_hex: "#123456" }],
  ])("%s is 400", async (_case, body) => {
    expect((await call("POST", base(), body)).status).toBe(400);
    expect((await call("PATCH", `${base()}/${owner.stagingId}`, body)).status).toBe(400);
  });

  test("management needs UUIDs; an environment of another project is 404", async () => {
    const other = await project();
    expect((await call("GET", `/shop/environments/${owner.stagingId}`)).status).toBe(400);
    expect(await call("GET", `${base()}/staging`)).toMatchObject({ status: 400, json: { error: "invalid environment id" } });
    expect((await call("GET", `/${other.id}/environments/${owner.stagingId}`)).status).toBe(404);
  });
});

test("somebody without an organization sees nothing", async () => {
  await server.sql("insert into users (id, email) values (gen_random_uuid(), 'alone@example.com')");
  const cookie = await logIn(server, "alone@example.com");
  expect(await call("GET", "", undefined, cookie)).toMatchObject({ status: 403, json: { error: "organization membership is required" } });
  expect((await call("POST", "", { slug: "x", name: "x" }, cookie)).status).toBe(403);
  expect((await server.call("GET", "/api/projects/shop/environments/staging/secrets", { cookie })).status).toBe(404);
});
