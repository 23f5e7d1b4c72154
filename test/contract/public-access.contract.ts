/** Public access tokens and CORS over HTTP (http §5.3, §5.4). */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instant, openSessionPlane, type SessionPlane, unknownId, uuid } from "./session-plane.ts";

const origin = "https://app.example.com";
let plane: SessionPlane;
let login: string;
beforeAll(async () => {
  plane = await openSessionPlane({ config: { corsOrigins: [origin] } });
  const answer = await fetch(plane.plane.install.loginUrl.replace(/^https?:\/\/[^/]+/, plane.plane.url), { redirect: "manual" });
  login = /helmr_session_dev=([^;]+)/.exec(answer.headers.get("set-cookie") ?? "")?.[1] ?? "";
  expect(login).not.toBe("");
});
afterAll(async () => {
  expect(plane.plane.faults).toEqual([]);
  await plane.close();
});

const send = { type: "session.input.send", stream: "approvals" };
const read = { type: "session.output.read", stream: "progress" };
const by = (id: string) => ({ session: { type: "id", id } });
const create = (scope: object, over: object = {}, bearer?: string) => plane.post("/api/public-access-tokens", { scope, ...over }, bearer);
async function token(scope: object, over: object = {}): Promise<string> {
  const answer = await create(scope, over);
  expect(answer.status, answer.text).toBe(201);
  return answer.json.public_access_token;
}
const input = (id: string, bearer: string, body: object = {}, name = "approvals") =>
  plane.post(`/api/v1/sessions/${id}/inputs/${name}`, body, bearer);
const output = (id: string, bearer: string, query = "", name = "progress") =>
  plane.plane.api.call("GET", `/api/v1/sessions/${id}/outputs/${name}/read${query}`, { bearer });
const denied = { json: { code: "token_scope_denied" } };

describe("POST /api/public-access-tokens", () => {
  test("201; the session is normalised to its id; thirty days by default", async () => {
    const { session } = await plane.start({ external_id: "pat" });
    const answer = await create({ ...send, correlation_id: "c", session: { type: "external_id", external_id: "pat" } }, { max_uses: 5 });
    expect(answer.status).toBe(201);
    expect(answer.json).toEqual({
      id: expect.stringMatching(uuid) as string,
      public_access_token: expect.stringMatching(/^hlmr_pat_/) as string,
      scope: { ...send, correlation_id: "c", session: { type: "id", id: session.id } },
      expires_at: expect.stringMatching(instant) as string,
      max_uses: 5,
      created_at: expect.stringMatching(instant) as string,
    });
    expect(Math.abs(Date.parse(answer.json.expires_at) - Date.now() - 30 * 86_400_000)).toBeLessThan(10_000);
    const other = await create({ ...read, ...by(session.id) }, { expires_at: "2099-01-01T00:00:00+02:00" });
    expect(other.json).toMatchObject({ expires_at: "2098-12-31T22:00:00Z", scope: { ...read, session: { type: "id", id: session.id } } });
    expect(other.json).not.toHaveProperty("max_uses");
    expect(other.json.scope).not.toHaveProperty("correlation_id");
  });

  test("refuses what the table says", async () => {
    const { session } = await plane.start();
    const scope = { ...send, ...by(session.id) };
    expect(await create(scope, { expires_at: "2020-01-01T00:00:00Z" })).toMatchObject({ status: 410, json: { code: "token_expired" } });
    for (const max_uses of [0, -1, 1.5, "1"]) expect((await create(scope, { max_uses })).status).toBe(400);
    const missing = { status: 404, json: { code: "stream_not_found" } };
    expect(await create({ ...scope, ...by(unknownId) })).toMatchObject(missing);
    expect(await create({ ...send, session: { type: "external_id", external_id: "nobody" } })).toMatchObject(missing);
    expect(await create({ ...scope, stream: "progress" })).toMatchObject(missing);
    expect(await create({ ...scope, type: "session.output.read", stream: "unused" })).toMatchObject(missing);
    for (const bad of [
      { ...scope, type: "other" },
      { ...scope, stream: " " },
      { ...send, session: { type: "id" } },
      { ...send },
      { ...scope, extra: 1 },
    ])
      expect((await create(bad)).status).toBe(400);
    expect(await create(scope, { project_id: plane.plane.install.projectId })).toMatchObject({
      status: 400,
      json: { error: "project_id and environment_id are not accepted with API keys" },
    });
    expect((await create(scope, {}, "hlmr_sk_wrong")).status).toBe(401);
  });

  test("the permission follows from the type", async () => {
    const { session } = await plane.start();
    const { projectId, environmentId } = plane.plane.install;
    const key = async (scopes: string[]) => {
      const path = `/api/projects/${projectId}/environments/${environmentId}/api-keys`;
      const answer = await plane.post(path, { name: scopes[0], expires_in_days: 30, permissions: [{ scopes }] }, login);
      expect(answer.status, answer.text).toBe(201);
      return answer.json.raw_key as string;
    };
    const [sender, reader, nobody] = [await key(["session-input:send"]), await key(["session-streams:read"]), await key(["runs:read"])];
    expect((await create({ ...send, ...by(session.id) }, {}, sender)).status).toBe(201);
    expect((await create({ ...read, ...by(session.id) }, {}, reader)).status).toBe(201);
    expect(await create({ ...read, ...by(session.id) }, {}, sender)).toMatchObject({
      status: 403,
      json: { error: "session.streams.read permission is required" },
    });
    expect(await create({ ...send, ...by(session.id) }, {}, reader)).toMatchObject({
      status: 403,
      json: { error: "session.input.send permission is required" },
    });
    expect((await create({ ...send, ...by(session.id) }, {}, nobody)).status).toBe(403);
  });

  test("a user session names project and environment, both, by id or slug", async () => {
    const { session } = await plane.start();
    const { projectId, environmentId } = plane.plane.install;
    const scope = { ...send, ...by(session.id) };
    expect((await create(scope, { project_id: projectId, environment_id: environmentId }, login)).status).toBe(201);
    expect((await create(scope, { project_id: "default", environment_id: "production" }, login)).status).toBe(201);
    for (const over of [
      {},
      { project_id: projectId },
      { environment_id: environmentId },
      { project_id: " ", environment_id: environmentId },
    ])
      expect((await create(scope, over, login)).status).toBe(400);
    expect((await create(scope, { project_id: projectId, environment_id: unknownId }, login)).status).toBe(404);
    expect(await create(scope, { project_id: "default", environment_id: "staging" }, login)).toMatchObject({
      status: 404,
      json: { code: "stream_not_found" },
    });
  });
});

describe("public routes", () => {
  test("an append: body and answer as with a key, by id and by external id", async () => {
    const program = await plane.program({ external_id: "public-1" });
    const bearer = await token({ ...send, ...by(program.sessionId) });
    const first = await input(program.sessionId, bearer, { data: 1, idempotency_key: "k" });
    expect(first).toMatchObject({
      status: 201,
      json: { record: { sequence: 1, data: 1 }, idempotency_status: "created", continuation_status: "accepted_run_pending" },
    });
    const again = await plane.post(
      "/api/v1/sessions/by-external-id/inputs/approvals?external_id=public-1",
      { data: 1, idempotency_key: "k" },
      bearer,
    );
    expect(again).toMatchObject({ status: 201, json: { idempotency_status: "duplicate", continuation_status: "duplicate" } });
    expect(await input(program.sessionId, bearer, { data: 2, idempotency_key: "k" })).toMatchObject({
      status: 409,
      json: { code: "idempotency_fingerprint_mismatch" },
    });
    expect(await input(program.sessionId, bearer, { surplus: 1 })).toMatchObject({ status: 400 });
    await program.succeed();
  });

  test("uses: a refused append costs none, a duplicate and every read do; then 403", async () => {
    const { session } = await plane.start({ external_id: "public-2" });
    const bearer = await token({ ...send, ...by(session.id) }, { max_uses: 2 });
    expect((await input(session.id, bearer, { surplus: 1 })).status).toBe(400);
    expect((await input(session.id, bearer, { data: 1, idempotency_key: "k" })).status).toBe(201);
    expect((await input(session.id, bearer, { data: 2, idempotency_key: "k" })).status).toBe(409);
    expect((await input(session.id, bearer, { data: 1, idempotency_key: "k" })).status).toBe(201);
    expect(await input(session.id, bearer, { data: 1 })).toMatchObject({ status: 403, ...denied });
    const reader = await token({ ...read, ...by(session.id) }, { max_uses: 3 });
    expect(await output(session.id, reader)).toMatchObject({ status: 200, json: { record: null } });
    await plane.post(`/api/sessions/${session.id}/outputs/progress`, { data: "half", correlation_id: "a" });
    expect((await output(session.id, reader, "?cursor=0")).json.record).toMatchObject({ sequence: 1, data: "half" });
    const named = `/api/v1/sessions/by-external-id/outputs/progress/read?external_id=public-2&after_sequence=1`;
    expect(await plane.plane.api.call("GET", named, { bearer: reader })).toMatchObject({ status: 200, json: { record: null } });
    expect(await output(session.id, reader)).toMatchObject({ status: 403, ...denied });
  });

  test("401 without a token of ours, 403 outside of its scope, 410 when it expired", async () => {
    const [one, two] = [await plane.start(), await plane.start()];
    const bearer = await token({ ...send, ...by(one.session.id) });
    for (const noise of ["", "x", plane.plane.install.apiKey, `${bearer}x`, bearer.slice(0, -1)])
      expect(await input(one.session.id, noise)).toMatchObject({ status: 401, ...denied });
    expect(await input(two.session.id, bearer)).toMatchObject({ status: 403, ...denied });
    expect(await input(unknownId, bearer)).toMatchObject({ status: 403, ...denied });
    expect(await input(one.session.id, bearer, {}, "unused")).toMatchObject({ status: 403, ...denied });
    expect(await output(one.session.id, bearer)).toMatchObject({ status: 403, ...denied });
    const correlated = await token({ ...send, ...by(one.session.id), correlation_id: "c" });
    expect(await input(one.session.id, correlated, { correlation_id: "d" })).toMatchObject({ status: 403, ...denied });
    expect(await input(one.session.id, correlated, { correlation_id: "c" })).toMatchObject({ status: 201 });
    const soon = await token({ ...send, ...by(one.session.id) }, { expires_at: new Date(Date.now() + 300).toISOString() });
    await expect
      .poll(async () => (await input(one.session.id, soon, { surplus: 1 })).status === 400 && (await input(one.session.id, soon)).status, {
        timeout: 5_000,
      })
      .toBe(410);
    expect(await input(one.session.id, soon)).toMatchObject({ status: 410, json: { code: "token_expired" } });
  });

  test("a session that ended answers as it does everybody", async () => {
    const { session } = await plane.start();
    const [sender, reader] = [await token({ ...send, ...by(session.id) }, { max_uses: 1 }), await token({ ...read, ...by(session.id) })];
    await plane.post(`/api/sessions/${session.id}/cancel`);
    for (let times = 0; times < 2; times += 1)
      expect(await input(session.id, sender)).toMatchObject({ status: 409, json: { code: "session_terminal" } });
    expect((await output(session.id, reader)).status).toBe(200);
    const expired = await plane.start({ expires_at: "2020-01-01T00:00:00Z" });
    expect(await input(expired.session.id, await token({ ...send, ...by(expired.session.id) }))).toMatchObject({
      status: 410,
      json: { code: "session_expired" },
    });
  });

  test("a public token opens nothing else", async () => {
    const { session } = await plane.start();
    const bearer = await token({ ...send, ...by(session.id) });
    expect((await plane.post(`/api/sessions/${session.id}/inputs/approvals`, {}, bearer)).status).toBe(401);
    expect((await plane.plane.api.call("GET", "/api/runs", { bearer })).status).toBe(401);
  });
});

describe("CORS", () => {
  interface Raw {
    status: number;
    headers: Record<string, string | string[] | undefined>;
    text: string;
  }
  /** `fetch` sets and hides some of these headers. */
  const raw = (method: string, path: string, headers: Record<string, string>) =>
    new Promise<Raw>((resolve, reject) => {
      const sent = request(plane.plane.url + path, { method, headers }, (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
      });
      sent.on("error", reject);
      sent.end();
    });
  const paths = [
    [`/api/v1/sessions/${unknownId}/inputs/x`, "POST"],
    ["/api/v1/sessions/by-external-id/inputs/x?external_id=a", "POST"],
    [`/api/v1/sessions/${unknownId}/outputs/x/read`, "GET"],
    ["/api/v1/sessions/by-external-id/outputs/x/read?external_id=a", "GET"],
    [`/api/v1/tokens/${unknownId}/complete`, "POST"],
  ] as const;

  test.each(paths)("the preflight of %s", async (path, method) => {
    const answer = await raw("OPTIONS", path, { origin, "access-control-request-method": method });
    expect(answer).toMatchObject({
      status: 204,
      text: "",
      headers: {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": method,
        "access-control-allow-headers": "authorization, content-type, Helmr-API-Version",
        "access-control-max-age": "600",
        vary: "Origin",
      },
    });
    expect(answer.headers).not.toHaveProperty("access-control-allow-credentials");
  });

  test.each(paths)("the answer of %s, refusals too", async (path, method) => {
    const answer = await raw(method, path, { origin, authorization: "Bearer nothing", "content-length": "0" });
    expect([400, 401]).toContain(answer.status);
    expect(answer.headers).toMatchObject({ "access-control-allow-origin": origin, vary: "Origin" });
  });

  test("another origin, and another route, get no headers", async () => {
    for (const [path, method] of paths) {
      const preflight = await raw("OPTIONS", path, { origin: "https://evil.example", "access-control-request-method": method });
      expect(Object.keys(preflight.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
    const own = await raw("GET", "/api/tokens", { origin });
    expect(own.headers).not.toHaveProperty("access-control-allow-origin");
    const callback = await raw("OPTIONS", `/api/v1/tokens/${unknownId}/callback/x`, { origin, "access-control-request-method": "POST" });
    expect(callback.headers).not.toHaveProperty("access-control-allow-origin");
  });
});
