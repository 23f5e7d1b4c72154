/** Members and invitations over HTTP (http §15.5). */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccountServer, type Founded, foundOrganization, joinAs, startAccountServer } from "../account-server.fixture.ts";

let server: AccountServer;
let owner: Founded;
beforeAll(async () => {
  server = await startAccountServer();
  owner = await foundOrganization(server);
});
afterAll(() => server.close());

const call = (method: string, path: string, body?: unknown, cookie = owner.cookie) => server.call(method, `/api${path}`, { cookie, body });
let count = 0;
const member = (role: string) => joinAs(server, owner.cookie, { email: `m${(count += 1)}@example.com`, role });
const ownerId = async () => (await call("GET", "/me")).json.user_id as string;

describe("members", () => {
  test("GET lists everybody", async () => {
    const { userId } = await member("developer");
    const { members } = (await call("GET", "/members")).json as { members: { user_id: string }[] };
    expect(members).toContainEqual({
      user_id: userId,
      display_name: "",
      email: `m${count}@example.com`,
      role: "developer",
      status: "active",
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
  });

  test("PATCH changes the expected role; otherwise 409; bad bodies 400; unknown 404; malformed id 400", async () => {
    const { userId } = await member("developer");
    const patch = (body: unknown, id = userId) => call("PATCH", `/members/${id}`, body);
    expect(await patch({ role: "viewer", expected_role: "developer" })).toMatchObject({
      status: 200,
      json: { user_id: userId, role: "viewer" },
    });
    expect(await patch({ role: "admin", expected_role: "developer" })).toMatchObject({
      status: 409,
      json: { error: expect.stringContaining("viewer") },
    });
    for (const body of [
      {},
      { role: "viewer" },
      { role: "king", expected_role: "viewer" },
      { role: "viewer", expected_role: "viewer", other: 1 },
    ])
      expect((await patch(body)).status).toBe(400);
    expect((await patch({ role: "viewer", expected_role: "viewer" }, owner.orgId)).status).toBe(404);
    expect(await patch({ role: "viewer", expected_role: "viewer" }, "nonsense")).toMatchObject({
      status: 400,
      json: { error: "invalid user id" },
    });
  });

  test("a demotion counts for the demoted session at once", async () => {
    const { userId, cookie } = await member("admin");
    expect((await call("GET", "/members", undefined, cookie)).status).toBe(200);
    await call("PATCH", `/members/${userId}`, { role: "viewer", expected_role: "admin" });
    expect(await call("GET", "/members", undefined, cookie)).toMatchObject({
      status: 403,
      json: { error: "members.manage permission is required" },
    });
  });

  test("DELETE 204 ends every session of the member", async () => {
    const { userId, cookie } = await member("admin");
    expect((await call("GET", "/me", undefined, cookie)).status).toBe(200);
    expect(await call("DELETE", `/members/${userId}`)).toMatchObject({ status: 204, text: "" });
    expect((await call("GET", "/me", undefined, cookie)).status).toBe(401);
    const { members } = (await call("GET", "/members")).json as { members: { user_id: string }[] };
    expect(members.find((one) => one.user_id === userId)).toMatchObject({ status: "disabled", disabled_at: expect.any(String) });
    expect((await call("DELETE", `/members/${owner.orgId}`)).status).toBe(404);
  });

  test("the last owner can be neither demoted nor removed", async () => {
    const id = await ownerId();
    expect(await call("PATCH", `/members/${id}`, { role: "admin", expected_role: "owner" })).toMatchObject({ status: 409 });
    expect(await call("DELETE", `/members/${id}`)).toMatchObject({ status: 409 });
  });
});

describe("invitations", () => {
  test("POST 201 with the link; default 7 days; 1..30", async () => {
    const created = await call("POST", "/invitations", { email: "New@Example.com", role: "viewer" });
    expect(created.status).toBe(201);
    const { invite_url: url, ...view } = created.json as { invite_url: string; id: string; created_at: string; expires_at: string };
    expect(url).toMatch(/^http:\/\/localhost:8787\/invite\?token=hlmr_inv_/);
    expect(view).toEqual({
      id: expect.any(String),
      email: "new@example.com",
      role: "viewer",
      status: "pending",
      invited_by_user_id: await ownerId(),
      created_at: expect.any(String),
      expires_at: expect.any(String),
    });
    expect(Date.parse(view.expires_at) - Date.parse(view.created_at)).toBe(7 * 86_400_000);
    expect((await call("GET", "/invitations")).json).toMatchObject({ invitations: expect.arrayContaining([view]), has_more: false });
    for (const days of [1, 30])
      expect((await call("POST", "/invitations", { email: "x@example.com", role: "viewer", expires_in_days: days })).status).toBe(201);
    for (const body of [
      { email: "x@example.com", role: "viewer", expires_in_days: 0 },
      { email: "x@example.com", role: "viewer", expires_in_days: 31 },
      { email: "x@example.com", role: "viewer", expires_in_days: 1.5 },
      { email: "x@example.com", role: "king" },
      { email: "no address", role: "viewer" },
      { email: "two@example.com,three@example.com", role: "viewer" },
      { email: "a@example.com\r\nBcc: b@example.com", role: "viewer" },
      { role: "viewer" },
    ]) {
      expect((await call("POST", "/invitations", body)).status).toBe(400);
    }
  });

  test("a member is 409", async () => {
    await member("viewer");
    expect(await call("POST", "/invitations", { email: `m${count}@example.com`, role: "viewer" })).toMatchObject({ status: 409 });
  });

  test("DELETE 204 revokes; unknown 404; malformed 400", async () => {
    const { id, invite_url: url } = (await call("POST", "/invitations", { email: "r@example.com", role: "viewer" })).json as {
      id: string;
      invite_url: string;
    };
    expect(await call("DELETE", `/invitations/${id}`)).toMatchObject({ status: 204, text: "" });
    const { invitations } = (await call("GET", "/invitations")).json as { invitations: { id: string }[] };
    expect(invitations.find((one) => one.id === id)).toMatchObject({
      status: "revoked",
      revoked_at: expect.any(String),
      revoked_by_user_id: await ownerId(),
    });
    const token = new URL(url).searchParams.get("token");
    expect((await server.call("POST", "/api/auth/magic-link/invite/start", { body: { token } })).status).toBe(401);
    expect((await call("DELETE", `/invitations/${owner.orgId}`)).status).toBe(404);
    expect(await call("DELETE", "/invitations/nonsense")).toMatchObject({ status: 400, json: { error: "invalid invitation id" } });
  });
});

test("every route needs members.manage", async () => {
  const id = await ownerId();
  for (const role of ["developer", "viewer"]) {
    const { cookie } = await member(role);
    for (const [method, path, body] of [
      ["GET", "/members", undefined],
      ["PATCH", `/members/${id}`, { role: "viewer", expected_role: "owner" }],
      ["DELETE", `/members/${id}`, undefined],
      ["GET", "/invitations", undefined],
      ["POST", "/invitations", { email: "x@example.com", role: "owner" }],
      ["DELETE", `/invitations/${id}`, undefined],
    ] as const) {
      expect(await call(method, path, body, cookie)).toMatchObject({
        status: 403,
        json: { error: "members.manage permission is required" },
      });
    }
  }
});
