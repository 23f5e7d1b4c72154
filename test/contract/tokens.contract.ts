/** Tokens over HTTP (http §6): every route, status and code; and the token flow of §17, with a program that waits. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instant, openSessionPlane, type SessionPlane, unknownId, uuid } from "./session-plane.ts";

let plane: SessionPlane;
beforeAll(async () => {
  plane = await openSessionPlane();
});
afterAll(async () => {
  expect(plane.plane.faults).toEqual([]);
  await plane.close();
});

const create = (body: object = {}) => plane.post("/api/tokens", body);
const created = async (body: object = {}) => (await create(body)).json as { id: string; callback_url: string; public_access_token: string };
const complete = (id: string, body: unknown = {}) => plane.post(`/api/tokens/${id}/complete`, body);
const publicly = (id: string, bearer: string, body: unknown = {}) => plane.post(`/api/v1/tokens/${id}/complete`, body, bearer);
const back = (url: string, body: unknown = {}) =>
  plane.plane.api.call("POST", new URL(url).pathname, { body, headers: { authorization: "" } });
const until = async (id: string) => Date.parse((await plane.get(`/api/tokens/${id}`)).json.timeout_at) - Date.now();

describe("POST tokens", () => {
  test("201 with both secrets, only here; seven days by default", async () => {
    const answer = await create();
    expect(answer.status).toBe(201);
    const { id, callback_url: callback, public_access_token: token } = answer.json;
    expect(answer.json).toEqual({
      id: expect.stringMatching(uuid) as string,
      status: "pending",
      callback_url: expect.any(String) as string,
      public_access_token: expect.stringMatching(/^hlmr_public_access_[A-Za-z0-9_-]{40,}$/) as string,
      timeout_at: expect.stringMatching(instant) as string,
      tags: [],
      metadata: {},
    });
    expect(callback).toMatch(new RegExp(`^${plane.plane.config.publicUrl}/api/v1/tokens/${id}/callback/hlmr_callback_[A-Za-z0-9_-]{43}$`));
    expect(token).not.toContain(callback.split("/").at(-1));
    expect(Math.abs((await until(id)) - 7 * 86_400_000)).toBeLessThan(10_000);
    expect((await plane.get(`/api/tokens/${id}`)).json).toEqual({
      id,
      status: "pending",
      timeout_at: answer.json.timeout_at,
      tags: [],
      metadata: {},
    });
  });

  test.each([
    [1_500, 1_500],
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    [{ minutes: 1, seconds: 30 }, 90_000],
    [{ hours: 1, duration: "30m", milliseconds: 500 }, 5_400_500],
  ])("timeout %j is %i ms", async (timeout, ms) => {
    const { id } = await created({ timeout });
    expect(Math.abs((await until(id)) - ms)).toBeLessThan(1_400);
  });

  test.each([
    [{ timeout: 0 }, "timeout must be greater than zero"],
    [{ timeout: -1 }, "timeout must be greater than zero"],
    [{ timeout: "soon" }, "timeout must be a duration greater than zero, such as 90s, 1h30m or 7d"],
    [{ timeout: { days: 1 } }, 'unknown field "timeout.days"'],
    [{ timeout: {} }, "timeout must be greater than zero"],
    [{ tags: Array.from({ length: 33 }, (_, index) => `t${index}`) }, "tags must have at most 32 entries"],
    [{ tags: [""] }, "tags[0] must have 1 to 128 bytes"],
    [{ metadata: [] }, "metadata must be a JSON object"],
    [{ surplus: 1 }, 'unknown field "surplus"'],
    [{ project_id: "p" }, "project_id and environment_id are not accepted with API keys"],
  ])("%j is 400", async (body, error) => {
    expect(await create(body)).toMatchObject({ status: 400, json: { error } });
  });

  test("a repeat with the same key is 200 with the same secrets; another request with it 409", async () => {
    const body = { idempotency_key: "order-1", tags: ["b", " a ", "b"], metadata: { n: null }, timeout: "1h" };
    const first = await create(body);
    expect(first).toMatchObject({ status: 201, json: { tags: ["a", "b"], metadata: { n: null } } });
    const again = await create({ ...body, tags: ["a", "b"], timeout: { minutes: 60 } });
    expect(again.status).toBe(200);
    expect(again.json).toEqual(first.json);
    await complete(first.json.id, { data: 1 });
    expect((await create(body)).json).toEqual({ ...first.json, status: "completed", data: 1 });
    expect(await create({ ...body, timeout: "2h" })).toMatchObject({ status: 409, json: { code: "idempotency_fingerprint_mismatch" } });
  });
});

describe("GET tokens", () => {
  test("pages oldest first, filters by status or state", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) ids.push((await created({ tags: ["page"] })).id);
    await complete(ids[1] as string, { data: 1 });
    await plane.post(`/api/tokens/${ids[2]}/cancel`);
    const all: string[] = [];
    for (let cursor = ""; ;) {
      const page = await plane.get(`/api/tokens?limit=2${cursor}`);
      expect(page.status).toBe(200);
      expect(page.json.tokens.length).toBeLessThanOrEqual(2);
      for (const token of page.json.tokens) {
        expect(token).not.toHaveProperty("callback_url");
        expect(token).not.toHaveProperty("public_access_token");
        all.push(token.id);
      }
      if (page.json.next_cursor === undefined) break;
      expect(page.json.next_cursor).toBe(page.json.tokens.at(-1).id);
      cursor = `&cursor=${page.json.next_cursor}`;
    }
    expect(all.slice(-5)).toEqual(ids);
    expect(new Set(all).size).toBe(all.length);
    const of = async (query: string) => {
      const { tokens } = (await plane.get(`/api/tokens?limit=500&${query}`)).json as { tokens: { id: string; status: string }[] };
      return tokens.filter((token) => ids.includes(token.id)).map((token) => ids.indexOf(token.id));
    };
    expect(await of("status=completed")).toEqual([1]);
    expect(await of("state=cancelled")).toEqual([2]);
    expect(await of("status=pending&state=pending")).toEqual([0, 3, 4]);
    expect(await of("status=expired")).toEqual([]);
  });

  test.each(["limit=0", "limit=501", "status=open", "status=pending&state=expired", "cursor=x", `cursor=${unknownId}`])(
    "%s is 400",
    async (query) => {
      expect((await plane.get(`/api/tokens?${query}`)).status).toBe(400);
    },
  );

  test("one: 404 token_not_found, 400 for an id that is none", async () => {
    expect(await plane.get(`/api/tokens/${unknownId}`)).toMatchObject({ status: 404, json: { code: "token_not_found" } });
    expect(await plane.get("/api/tokens/x")).toMatchObject({ status: 400, json: { error: "invalid token id" } });
  });
});

describe("complete and cancel", () => {
  test("completed, already_completed, conflict; then cancel is token_completed", async () => {
    const { id } = await created();
    expect(await complete(id, { data: { b: [1], a: "x" } })).toMatchObject({
      status: 200,
      json: { status: "completed", token: { id, status: "completed", data: { a: "x", b: [1] } } },
    });
    expect(await complete(id, { data: { a: "x", b: [1] } })).toMatchObject({
      status: 200,
      json: { status: "already_completed", token: { status: "completed" } },
    });
    expect(await complete(id, { data: 1 })).toMatchObject({ status: 409, json: { code: "token_completion_conflict" } });
    expect(await plane.post(`/api/tokens/${id}/cancel`)).toMatchObject({ status: 409, json: { code: "token_completed" } });
  });

  test("missing data is null; the body is strict and needed", async () => {
    const { id } = await created();
    expect(await complete(id, { surplus: 1 })).toMatchObject({ status: 400, json: { error: 'unknown field "surplus"' } });
    expect((await plane.plane.api.call("POST", `/api/tokens/${id}/complete`)).status).toBe(400);
    expect((await complete(id)).json.token).toMatchObject({ status: "completed", data: null });
    expect((await complete(id, { data: null })).json.status).toBe("already_completed");
  });

  test("cancel ignores its body, is not repeatable, and stops completion", async () => {
    const { id } = await created();
    const cancelled = await plane.plane.api.call("POST", `/api/tokens/${id}/cancel`);
    expect(cancelled).toMatchObject({ status: 200, json: { id, status: "cancelled" } });
    expect(cancelled.json).not.toHaveProperty("data");
    expect(await plane.post(`/api/tokens/${id}/cancel`, { anything: 1 })).toMatchObject({ status: 409, json: { code: "token_cancelled" } });
    expect(await complete(id)).toMatchObject({ status: 409, json: { code: "token_cancelled" } });
  });

  test("after the timeout 410 token_expired, and the token reads as expired", async () => {
    const { id } = await created({ timeout: 1 });
    expect(await complete(id)).toMatchObject({ status: 410, json: { code: "token_expired" } });
    expect(await plane.post(`/api/tokens/${id}/cancel`)).toMatchObject({ status: 410, json: { code: "token_expired" } });
    expect((await plane.get(`/api/tokens/${id}`)).json).toMatchObject({ status: "expired" });
  });

  test("an unknown token is 404 token_not_found", async () => {
    for (const act of ["complete", "cancel"])
      expect(await plane.post(`/api/tokens/${unknownId}/${act}`)).toMatchObject({ status: 404, json: { code: "token_not_found" } });
  });
});

describe("the public ways", () => {
  test("a public access token completes its token, once", async () => {
    const { id, public_access_token: token } = await created();
    expect(await publicly(id, token, { data: "ok" })).toMatchObject({ status: 200, json: { status: "completed", token: { data: "ok" } } });
    expect(await publicly(id, token, { data: "ok" })).toMatchObject({ status: 200, json: { status: "already_completed" } });
    expect(await publicly(id, token, { data: "no" })).toMatchObject({ status: 409, json: { code: "token_completion_conflict" } });
  });

  test("401 for a secret that is none, 403 for one of another token, 400 before any of it for a bad request", async () => {
    const [one, two] = [await created(), await created()];
    for (const bearer of [
      "",
      "x",
      plane.plane.install.apiKey,
      `${one.public_access_token}x`,
      one.public_access_token.replace("public_access", "pat"),
    ])
      expect(await publicly(one.id, bearer)).toMatchObject({ status: 401, json: { code: "token_scope_denied" } });
    expect(await publicly(one.id, two.public_access_token)).toMatchObject({ status: 403, json: { code: "token_scope_denied" } });
    expect(await publicly(unknownId, one.public_access_token)).toMatchObject({ status: 403, json: { code: "token_scope_denied" } });
    expect(await publicly(one.id, one.public_access_token, { other: 1 })).toMatchObject({ status: 400 });
    expect(await publicly("x", one.public_access_token)).toMatchObject({ status: 400, json: { error: "invalid token id" } });
    expect((await plane.get(`/api/tokens/${one.id}`)).json.status).toBe("pending");
  });

  test("the callback URL completes without a header; a foreign body is 400, a bad secret 401", async () => {
    const { id, callback_url: url } = await created();
    expect(await back(url, { event: "push", repository: {} })).toMatchObject({ status: 400 });
    expect(await back(url.slice(0, -1), { data: 1 })).toMatchObject({ status: 401, json: { code: "token_scope_denied" } });
    expect(await back(url.replace(id, unknownId), { data: 1 })).toMatchObject({ status: 401, json: { code: "token_scope_denied" } });
    expect(await back(url, { data: { n: 1 } })).toMatchObject({
      status: 200,
      json: { status: "completed", token: { id, data: { n: 1 } } },
    });
    expect(await back(url, { data: { n: 1 } })).toMatchObject({ status: 200, json: { status: "already_completed" } });
    expect(await back(url, {})).toMatchObject({ status: 409, json: { code: "token_completion_conflict" } });
  });

  test("cancelled and expired tokens say so", async () => {
    const [cancelled, expired] = [await created(), await created({ timeout: 1 })];
    await plane.post(`/api/tokens/${cancelled.id}/cancel`);
    expect(await back(cancelled.callback_url)).toMatchObject({ status: 409, json: { code: "token_cancelled" } });
    expect(await publicly(cancelled.id, cancelled.public_access_token)).toMatchObject({ status: 409, json: { code: "token_cancelled" } });
    expect(await back(expired.callback_url)).toMatchObject({ status: 410, json: { code: "token_expired" } });
    expect(await publicly(expired.id, expired.public_access_token)).toMatchObject({ status: 410, json: { code: "token_expired" } });
  });
});

describe("a program", () => {
  test("creates a token, waits, and gets what the outside world says", async () => {
    const program = await plane.program();
    const answer = await program.call({ kind: "token.create", timeout_ms: 3_600_000, tags: ["approval"], metadata: { pr: 7 } });
    expect(answer).toMatchObject({
      state: "answered",
      value: {
        status: "pending",
        callback_url: expect.stringMatching(/\/callback\/hlmr_callback_/) as string,
        public_access_token: expect.stringMatching(/^hlmr_public_access_/) as string,
        tags: ["approval"],
        metadata: { pr: 7 },
      },
    });
    const token = (answer.state === "answered" ? answer.value : undefined) as { id: string; callback_url: string };
    const opened = await program.call({ kind: "wait", on: { kind: "token", token_id: token.id }, parkable: true });
    expect(opened).toMatchObject({ state: "waiting", live_ms: 120_000 });
    expect((await plane.get(`/api/runs/${program.runId}`)).json.pending_wait).toMatchObject({
      kind: "token",
      status: "live",
      params: { token_id: token.id },
    });
    expect((await plane.get(`/api/sessions/${program.sessionId}`)).json).toMatchObject({
      activity: "waiting",
      blocked: { code: "wait_token" },
    });
    await back(token.callback_url, { data: { approved: true } });
    expect(await program.resolved()).toEqual({ kind: "token", status: "completed", data: { approved: true } });
    const { events } = (await plane.get(`/api/runs/${program.runId}/events`)).json;
    expect(events.at(-1)).toMatchObject({ kind: "run_wait.completed", attributes: { kind: "token", payload: { approved: true } } });
    await program.succeed();
  });

  test("hears of a cancelled token, without an event, and of one that timed out, with one", async () => {
    const program = await plane.program();
    const { id } = await created();
    await program.call({ kind: "wait", on: { kind: "token", token_id: id }, parkable: true });
    await plane.post(`/api/tokens/${id}/cancel`);
    expect(await program.resolved()).toEqual({ kind: "token", status: "cancelled" });
    const short = await created({ timeout: 200 });
    await program.call({ kind: "wait", on: { kind: "token", token_id: short.id }, parkable: true });
    // Nobody asks for it: the loop expires the token on time, and pushes.
    expect(await program.resolved()).toEqual({ kind: "token", status: "timed_out" });
    expect((await plane.get(`/api/tokens/${short.id}`)).json.status).toBe("expired");
    expect(await plane.kinds(program.runId)).toEqual(["run.created", "run_wait.created", "run_wait.created", "run_wait.timed_out"]);
    await program.succeed();
  });

  test("gets timers and timeouts on time, by push", async () => {
    const program = await plane.program();
    const begun = performance.now();
    expect(await program.call({ kind: "wait", on: { kind: "timer", delay_ms: 300 }, parkable: true })).not.toHaveProperty("live_ms");
    expect(await program.resolved()).toEqual({ kind: "timer", status: "completed" });
    expect(performance.now() - begun).toBeGreaterThan(299);
    expect(performance.now() - begun).toBeLessThan(1_500);
    await program.call({ kind: "wait", on: { kind: "stream", stream: "approvals" }, parkable: true, timeout_seconds: 1 });
    expect(await program.resolved()).toEqual({ kind: "stream", status: "timed_out" });
    expect((await plane.kinds(program.runId)).slice(-2)).toEqual(["run_wait.created", "run_wait.timed_out"]);
    await program.succeed();
  });

  test("that returns while a wait is open succeeds, and its tokens do not hold it back", async () => {
    const program = await plane.program();
    const { id } = await created();
    await program.call({ kind: "wait", on: { kind: "token", token_id: id }, parkable: true });
    await program.succeed();
    expect((await plane.get(`/api/runs/${program.runId}`)).json).toMatchObject({ status: "succeeded" });
    expect((await plane.get(`/api/sessions/${program.sessionId}`)).json).toMatchObject({ activity: "idle", can_close: true });
    expect((await complete(id, { data: 1 })).json.status).toBe("completed");
    expect(await plane.kinds(program.runId)).toEqual(["run.created", "run_wait.created", "run.completed"]);
  });
});
