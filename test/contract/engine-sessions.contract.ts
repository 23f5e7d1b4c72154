/** http §4 row by row, over HTTP. */
import { taskDeclaration } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, openApi } from "./api-fixture.ts";

let api: Api;
beforeAll(async () => {
  api = await openApi({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("limited", { queue: "one" }),
      taskDeclaration("keyed", { secrets: [{ name: "token", env: "TOKEN" }] }),
    ],
    queues: [{ id: "one", concurrencyLimit: 1 }],
  });
});
afterAll(() => api.close());

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const nowhere = "01980a00-0000-7000-8000-000000000001";
const finish = async (runId: string) => {
  const worker = await api.worker();
  const run = await api.take(worker, runId);
  await run.started();
  await run.complete({ status: "succeeded", exit_code: 0 });
};

describe("POST sessions", () => {
  test("201 with session and run; every documented member", async () => {
    const answer = await api.post("/api/sessions", {
      task_id: "hello",
      payload: { a: 1 },
      metadata: { m: null },
      tags: [" b ", "a", "b"],
      external_id: " order ",
      ignored: true,
    });
    expect(answer.status).toBe(201);
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.headers["helmr-api-version"]).toBe("2026-06-06");
    expect(answer.text.endsWith("}\n")).toBe(true);
    const { session, run, ...rest } = answer.json;
    expect(rest).toEqual({});
    expect(session).toEqual({
      id: expect.stringMatching(uuid),
      project_id: api.plane.install.projectId,
      environment_id: api.plane.install.environmentId,
      task_id: "hello",
      initial_deployment_id: api.deploymentId,
      active_deployment_id: api.deploymentId,
      external_id: "order",
      status: "open",
      activity: "queued",
      can_close: false,
      current_run_id: run.id,
      workspace_id: expect.stringMatching(uuid),
      metadata: { m: null },
      tags: ["a", "b"],
      created_at: expect.stringMatching(instant),
      updated_at: expect.stringMatching(instant),
    });
    expect(run).toEqual({
      id: expect.stringMatching(uuid),
      project_id: session.project_id,
      environment_id: session.environment_id,
      deployment_id: api.deploymentId,
      deployment_task_id: expect.stringMatching(uuid),
      session_id: session.id,
      version: expect.stringMatching(/^\d{8}\.1$/),
      deployment_version: run.version,
      api_version: "2026-06-06",
      task_id: "hello",
      status: "queued",
      metadata: { m: null },
      exit_code: null,
      created_at: expect.stringMatching(instant),
      updated_at: expect.stringMatching(instant),
    });
  });

  test.each([
    [{}, /task_id/],
    [{ task_id: "bad id" }, /task_id/],
    [{ task_id: "hello", priority: 1.5 }, /priority/],
    [{ task_id: "hello", priority: 2_147_483_648 }, /priority/],
    [{ task_id: "hello", max_duration_seconds: 4 }, /max_duration_seconds/],
    [{ task_id: "hello", max_duration_seconds: 86_401 }, /max_duration_seconds/],
    [{ task_id: "hello", ttl: "0s" }, /ttl/],
    [{ task_id: "hello", ttl: "soon" }, /ttl/],
    [{ task_id: "hello", metadata: [] }, /metadata/],
    [{ task_id: "hello", tags: Array.from({ length: 11 }, (_, index) => `t${index}`) }, /tags/],
    [{ task_id: "hello", tags: ["x".repeat(129)] }, /tags/],
    [{ task_id: "hello", external_id: "a\0b" }, /external_id/],
    [{ task_id: "hello", external_id: "x".repeat(513) }, /external_id/],
    [{ task_id: "hello", concurrency_key: "x".repeat(513) }, /concurrency_key/],
    [{ task_id: "hello", retry: { maxAttempts: 11 } }, /maxAttempts/],
    [{ task_id: "hello", retry: {} }, /maxAttempts/],
    [{ task_id: "hello", expires_at: "tomorrow" }, /expires_at/],
    [{ task_id: "hello", workspace_id: "x" }, /workspace_id/],
    [{ task_id: "hello", idempotency_key_ttl: "-1s" }, /idempotency_key_ttl/],
    [{ task_id: "hello", queue: { name: "no such/queue" } }, /queue/],
    [{ task_id: "hello", queue: { name: "undeclared" } }, /not declared/],
    [{ task_id: "hello", payload: "\ud800" }, /payload|surrogate/],
    [{ task_id: "hello", project_id: "x" }, /project_id and environment_id are not accepted with API keys/],
    [{ task_id: "hello", options: {} }, /options is not accepted for session start/],
    [{ task_id: "hello", bundle: 1 }, /bundle is not accepted for session start/],
    [{ task_id: "hello", source: 1 }, /source is not accepted for session start/],
    [{ task_id: "hello", deployment_id: nowhere }, /deployment_id is not accepted for session start/],
    [{ task_id: "hello", version: "1" }, /version is not accepted for session start/],
    [{ task_id: "keyed" }, /secret "token" is unavailable: .*not found/],
    [[], /./],
    ["text", /./],
    [null, /./],
  ])("400 for %j", async (body, message) => {
    const answer = await api.post("/api/sessions", body);
    expect([answer.status, answer.json?.error]).toEqual([400, expect.stringMatching(message)]);
  });

  test("400 for what is no JSON, or more than one value, or nothing", async () => {
    for (const body of ["", "{", "{} {}", "{}x", Buffer.from([0x7b, 0xff, 0x7d])])
      expect((await api.post("/api/sessions", body)).status).toBe(400);
    expect((await api.send("POST", "/api/sessions")).status).toBe(400);
  });

  test("blank scope fields are not refused; scope, method and version rules", async () => {
    expect((await api.post("/api/sessions", { task_id: "hello", project_id: "" })).status).toBe(201);
    const other = await api.send("DELETE", "/api/sessions");
    expect([other.status, other.text]).toEqual([405, ""]);
    expect((await api.get("/api/sessions", { "helmr-api-version": "2020-01-01" })).json).toEqual({
      error: 'unsupported Helmr-API-Version "2020-01-01"; current version is 2026-06-06',
    });
    expect((await api.get("/api/nothing")).json).toEqual({ error: "not found" });
  });

  test("409 for a task that is not deployed", async () => {
    expect(await api.post("/api/sessions", { task_id: "unknown" })).toMatchObject({ status: 409, json: { code: "task_not_deployed" } });
  });

  test("headers of the client's software are kept", async () => {
    const answer = await api.plane.api.call("POST", "/api/sessions", {
      body: { task_id: "hello" },
      headers: { "helmr-sdk-version": "9.1.0", "helmr-client-version": "my/2" },
    });
    expect(answer.json.run).toMatchObject({ sdk_version: "9.1.0", cli_version: "my/2" });
  });

  test("idempotent repeat: 200, is_cached, the same run with its present status", async () => {
    const body = { task_id: "hello", idempotency_key: "once", payload: { a: 1, b: 2 } };
    const first = await api.post("/api/sessions", body);
    await finish(first.json.run.id);
    const again = await api.post("/api/sessions", { ...body, payload: { b: 2, a: 1 }, metadata: { other: true } });
    expect(again).toMatchObject({
      status: 200,
      json: { is_cached: true, session: { id: first.json.session.id }, run: { id: first.json.run.id, status: "succeeded" } },
    });
    expect(await api.post("/api/sessions", { ...body, payload: 1 })).toMatchObject({
      status: 409,
      json: { code: "idempotency_fingerprint_mismatch" },
    });
    expect(await api.post("/api/sessions", { ...body, external_id: "else" })).toMatchObject({
      status: 409,
      json: { code: "idempotency_external_id_mismatch" },
    });
  });

  test("external id: cached while open, 409 for other parameters, 409 for ever after the end", async () => {
    const body = { task_id: "hello", external_id: "order-7" };
    const first = await api.post("/api/sessions", body);
    expect(await api.post("/api/sessions", body)).toMatchObject({
      status: 200,
      json: { is_cached: true, session: { id: first.json.session.id } },
    });
    expect(await api.post("/api/sessions", { ...body, priority: 3 })).toMatchObject({
      status: 409,
      json: { code: "session_fingerprint_mismatch" },
    });
    await api.post(`/api/sessions/${first.json.session.id}/cancel`, {});
    expect(await api.post("/api/sessions", body)).toMatchObject({ status: 409, json: { code: "session_terminal" } });
  });

  test("workspace_id binds a workspace, if there is one", async () => {
    const { session } = await api.start();
    expect((await api.start({ workspace_id: session.workspace_id })).session.workspace_id).toBe(session.workspace_id);
    expect((await api.post("/api/sessions", { task_id: "hello", workspace_id: nowhere })).status).toBe(404);
  });
});

describe("POST sessions/start-and-wait", () => {
  test("200 with the terminal run, by push", async () => {
    const worker = await api.worker();
    const waiting = api.post("/api/sessions/start-and-wait", { task_id: "hello", payload: "and-wait", timeout_seconds: 20 });
    const lease = await until("the run is leased", async () =>
      (await worker.claim({ kinds: ["run"], wait_ms: 500 })).find((item) => item.kind === "run" && item.run.payload === "and-wait"),
    );
    if (lease.kind !== "run") throw new TypeError("no run");
    const run = worker.take(lease);
    await run.started();
    const ended = performance.now();
    await run.complete({ status: "succeeded", exit_code: 0, output: { value: 7 } });
    const answer = await waiting;
    expect(performance.now() - ended).toBeLessThan(1_000);
    expect(answer).toMatchObject({
      status: 200,
      json: { session: { activity: "idle", can_close: true }, run: { status: "succeeded", output: 7 } },
    });
    expect(answer.json.timed_out).toBeUndefined();
  });

  test("after its time 200 with the live run and timed_out", async () => {
    const answer = await api.post("/api/sessions/start-and-wait", { task_id: "hello", timeout_seconds: 1 });
    expect(answer).toMatchObject({ status: 200, json: { timed_out: true, run: { status: "queued" } } });
  });

  test.each([-1, 1.5, "5"])("400 for timeout_seconds %j", async (timeout_seconds) => {
    expect((await api.post("/api/sessions/start-and-wait", { task_id: "hello", timeout_seconds })).status).toBe(400);
  });
});

describe("GET sessions", () => {
  test("filters and limits", async () => {
    const { session } = await api.start({ external_id: "listed", task_id: "limited" });
    const ids = async (query: string) => (await api.get(`/api/sessions?${query}`)).json.sessions.map((item: { id: string }) => item.id);
    expect(await ids("external_id=listed")).toEqual([session.id]);
    expect(await ids("task_id=limited&status=open")).toEqual([session.id]);
    expect(await ids("task_id=limited&status=closed")).toEqual([]);
    expect(await ids("status=all&limit=1")).toEqual([session.id]);
    await api.send("PATCH", `/api/sessions/${(await api.start()).session.id}`, { tags: ["newest"] });
    expect((await ids("limit=1"))[0]).not.toBe(session.id);
  });

  test.each(["status=live", "limit=0", "limit=201", "limit=x", "limit=1.5", "limit="])("400 for %s", async (query) => {
    expect((await api.get(`/api/sessions?${query}`)).status).toBe(400);
  });
});

describe("one session", () => {
  test("by id and by external id; 404 elsewhere; 400 for what is no id", async () => {
    const { session } = await api.start({ external_id: "by/name ü" });
    const byId = await api.get(`/api/sessions/${session.id.toUpperCase()}`);
    const byName = await api.get(`/api/sessions/by-external-id?external_id=${encodeURIComponent("by/name ü")}`);
    expect(byId.json).toMatchObject({
      id: session.id,
      activity: "queued",
      blocked: {
        code: expect.stringMatching(/^(no_worker|placement_pending)$/),
        message: expect.any(String),
        details: { worker_group: "default" },
      },
    });
    expect(byName.json.id).toBe(session.id);
    expect((await api.get(`/api/sessions/${nowhere}`)).status).toBe(404);
    expect((await api.get("/api/sessions/by-external-id?external_id=nobody")).status).toBe(404);
    expect((await api.get("/api/sessions/by-external-id?external_id=%20")).status).toBe(400);
    expect(await api.get("/api/sessions/zzz")).toMatchObject({ status: 400, json: { error: "invalid session id" } });
    expect((await api.get(`/api/sessions/by-external-id/runs?external_id=${encodeURIComponent("by/name ü")}`)).json.runs).toHaveLength(1);
  });

  test("PATCH replaces; expires_at only later", async () => {
    const { session } = await api.start({ expires_at: "2900-01-01T00:00:00+01:00", metadata: { a: 1 } });
    expect(session.expires_at).toBe("2899-12-31T23:00:00Z");
    const patch = (body: unknown) => api.send("PATCH", `/api/sessions/${session.id}`, body);
    expect(await patch({ metadata: { b: [1] }, tags: ["t"] })).toMatchObject({ status: 200, json: { metadata: { b: [1] }, tags: ["t"] } });
    expect(await patch({ expires_at: "2901-01-01T00:00:00Z" })).toMatchObject({ json: { expires_at: "2901-01-01T00:00:00Z" } });
    expect(await patch({ expires_at: "2900-01-01T00:00:00Z" })).toMatchObject({
      status: 400,
      json: { code: "session_expires_at_not_extendable" },
    });
    expect(await patch({ unknown: 1 })).toMatchObject({ status: 400, json: { error: 'unknown field "unknown"' } });
    expect(await patch({ metadata: null })).toMatchObject({ status: 400 });
  });

  test("close: only while can_close; twice is unchanged; not after cancel", async () => {
    const { session, run } = await api.start();
    const close = (body: unknown = {}) => api.post(`/api/sessions/${session.id}/close`, body);
    expect(await close()).toMatchObject({ status: 409, json: { code: "close_run_active" } });
    await finish(run.id);
    const first = await close({ reason: "done" });
    expect(first).toMatchObject({
      status: 200,
      json: { status: "closed", can_close: false, activity: "idle", terminal_reason: { reason: "done", origin: "api" } },
    });
    expect(first.json.result).toBeUndefined();
    expect((await close({ reason: "other" })).json).toEqual(first.json);
    expect(await api.post(`/api/sessions/${session.id}/cancel`, {})).toMatchObject({ status: 409, json: { code: "session_terminal" } });
    expect((await api.send("POST", `/api/sessions/${session.id}/close`)).status).toBe(400);
    expect((await close({ why: 1 })).status).toBe(400);
    const other = await api.start();
    await finish(other.run.id);
    expect((await api.post(`/api/sessions/${other.session.id}/close`, {})).json.terminal_reason).toEqual({
      reason: "closed",
      origin: "api",
    });
  });

  test("cancel: TaskCancelled, then unchanged; close refuses", async () => {
    const { session, run } = await api.start();
    const first = await api.post(`/api/sessions/${session.id}/cancel`, { reason: "customer left" });
    expect(first).toMatchObject({
      status: 200,
      json: {
        status: "cancelled",
        error: { name: "TaskCancelled", message: "customer left", details: { origin: "api" } },
        terminal_reason: { reason: "customer left", origin: "api" },
      },
    });
    expect((await api.post(`/api/sessions/${session.id}/cancel`, {})).json).toEqual(first.json);
    expect(await api.post(`/api/sessions/${session.id}/close`, {})).toMatchObject({ status: 409, json: { code: "session_terminal" } });
    expect((await api.run(run.id)).status).toBe("cancelled");
  });

  test("a past expires_at expires it on first access after its run", async () => {
    const { session, run } = await api.start({ expires_at: "2020-01-01T00:00:00Z" });
    expect((await api.get(`/api/sessions/${session.id}`)).json.status).toBe("open");
    await finish(run.id);
    expect((await api.get(`/api/sessions/${session.id}`)).json).toMatchObject({
      status: "expired",
      error: { name: "SessionExpired" },
      expired_at: expect.stringMatching(instant),
      terminal_reason: { reason: "session_expired", origin: "api" },
    });
  });

  test("runs by turn", async () => {
    const { session, run } = await api.start();
    const { runs } = (await api.get(`/api/sessions/${session.id}/runs`)).json;
    expect(runs).toEqual([
      {
        id: run.id,
        run_id: run.id,
        deployment_id: api.deploymentId,
        turn_index: 0,
        status: "queued",
        execution_status: "queued",
        created_at: expect.stringMatching(instant),
      },
    ]);
    await finish(run.id);
    const [done] = (await api.get(`/api/sessions/${session.id}/runs`)).json.runs;
    expect(done).toMatchObject({
      status: "succeeded",
      execution_status: "finished",
      terminal_outcome: "succeeded",
      ended_at: expect.stringMatching(instant),
    });
    expect((await api.get(`/api/sessions/${nowhere}/runs`)).status).toBe(404);
  });
});

test("a queue with a limit, and its concurrency keys", async () => {
  const first = await api.start({ task_id: "limited", concurrency_key: "a" });
  const second = await api.start({ task_id: "limited", concurrency_key: "a" });
  const other = await api.start({ task_id: "limited", concurrency_key: "b" });
  const worker = await api.worker();
  const held = await api.take(worker, first.run.id);
  await api.take(worker, other.run.id);
  expect((await api.run(second.run.id)).blocked).toMatchObject({ code: "concurrency_key_busy", details: { limit: 1, in_use: 1 } });
  await held.started();
  await held.complete({ status: "succeeded", exit_code: 0 });
  await (await api.take(worker, second.run.id)).started();
});
