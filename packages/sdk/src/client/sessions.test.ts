import { beforeEach, expect, test, vi } from "vitest";
import { sandbox } from "../authoring/sandbox.ts";
import { queue } from "../authoring/queue.ts";
import { task } from "../authoring/task.ts";
import { HelmrApiError, PayloadSchemaValidationError, UnsupportedTransportError } from "../errors.ts";
import { idempotencyKeys } from "../idempotency-keys.ts";
import { type WireServer, json, raw, wireServer } from "../node/testing/wire-server.ts";
import {
  recordExpected,
  runSnapshotExpected,
  sessionExpected,
  time,
  wireRecord,
  wireRun,
  wireSession,
} from "../node/testing/wire-examples.ts";
import { streams } from "../running/streams.ts";
import { countSchema } from "../testing/count-schema.ts";
import { HelmrClient } from "./helmr-client.ts";
import { retryAfterMs } from "./pending-retry.ts";
import type { SessionsApi } from "./session-shapes.ts";

vi.spyOn(console, "warn").mockImplementation(() => undefined);

let server: WireServer;
let sessions: SessionsApi;
beforeEach(async () => {
  server = await wireServer();
  ({ sessions } = new HelmrClient({ url: server.url, apiKey: "hlmr_sk_x" }));
});

const box = sandbox("box");
const plain = task({ id: "plain", sandbox: box, run: () => 1 });
const counting = task({
  id: "counting",
  sandbox: box,
  maxDuration: 60,
  queue: "own",
  payload: countSchema({ isAsync: true }),
  run: ({ count }) => count,
});
const started = { session: wireSession, run: wireRun };

test("start by task sends the raw input, and max_duration_seconds only when the task has one", async () => {
  server.expect(json(started, 201), json({ ...started, is_cached: true }));
  expect(await sessions.start(counting, { count: "5" }, {})).toEqual({
    session: sessionExpected,
    run: { id: "run-1", taskId: "hello" },
    isCached: false,
  });
  expect(server.lines()).toEqual(["POST /api/sessions"]);
  expect(server.lastBody()).toEqual({ task_id: "counting", payload: { count: "5" }, max_duration_seconds: 60 });
  expect(server.requests[0]?.headers["content-type"]).toBe("application/json");
  expect((await sessions.start(plain, {})).isCached).toBe(true);
  expect(server.lastBody()).toEqual({ task_id: "plain" });
});

test("start sends every option", async () => {
  server.expect(json(started, 201));
  await sessions.start(
    "hello",
    { at: new Date(0) },
    {
      externalId: "order-1",
      workspaceId: "workspace-1",
      expiresAt: new Date("2026-12-31T00:00:00Z"),
      queue: "slow",
      concurrencyKey: "k",
      priority: -3,
      ttl: "10m",
      retry: { maxAttempts: 3, backoff: { minMs: 5 } },
      metadata: { a: 1 },
      tags: ["x"],
      idempotencyKey: ["order", "1"],
      idempotencyKeyTTL: "7d",
      projectId: "p",
      environmentId: "e",
    },
  );
  expect(server.lines()).toEqual(["POST /api/projects/p/environments/e/sessions"]);
  expect(server.lastBody()).toEqual({
    task_id: "hello",
    payload: { at: "1970-01-01T00:00:00.000Z" },
    external_id: "order-1",
    workspace_id: "workspace-1",
    expires_at: "2026-12-31T00:00:00.000Z",
    queue: { name: "slow" },
    concurrency_key: "k",
    priority: -3,
    ttl: "10m",
    retry: { maxAttempts: 3, backoff: { minMs: 5 } },
    metadata: { a: 1 },
    tags: ["x"],
    idempotency_key: idempotencyKeys.create(["order", "1"]).value,
    idempotency_key_ttl: "7d",
  });
});

test("queue and idempotency key take their other forms, and instants stay text", async () => {
  server.expect(json(started), json(started));
  await sessions.start("hello", {
    queue: queue({ id: "q" }),
    idempotencyKey: idempotencyKeys.create("x"),
    expiresAt: "2026-12-31T00:00:00Z",
  });
  expect(server.lastBody()).toEqual({
    task_id: "hello",
    queue: { name: "q" },
    idempotency_key: idempotencyKeys.create("x").value,
    expires_at: "2026-12-31T00:00:00Z",
  });
  await sessions.start("hello", { queue: { name: "q2" } });
  expect(server.lastBody()).toEqual({ task_id: "hello", queue: { name: "q2" } });
});

test("what cannot be started is refused before any request", async () => {
  const { start } = sessions as unknown as { start: (...values: unknown[]) => Promise<unknown> };
  await expect(start(counting, {})).rejects.toThrow('task "counting" needs a payload');
  await expect(start(plain, { a: 1 }, {})).rejects.toThrow('task "plain" takes no payload');
  await expect(start(plain)).rejects.toThrow("sessions.start needs options as its last argument");
  await expect(start("id", { payload: 1 }, undefined)).rejects.toThrow("sessions.start needs options");
  await expect(start({ id: "not-a-task" }, {})).rejects.toThrow("sessions.start needs a task or its id");
  await expect(start(counting, { count: 5 }, {})).rejects.toThrow(PayloadSchemaValidationError);
  await expect(start(counting, { count: 5 }, {})).rejects.toThrow(
    'payload of task "counting" failed validation: payload.count: must be digits',
  );
  await expect(start("id", { n: Number.NaN }, {})).rejects.toThrow("must be finite");
  await expect(start("id", { expiresAt: new Date(Number.NaN) })).rejects.toThrow("expiresAt must be a valid date");
  expect(server.requests).toEqual([]);
});

test("startAndWait gives the run as a snapshot", async () => {
  server.expect(json({ ...started, timed_out: true }), json({ ...started, is_cached: true }));
  expect(await sessions.startAndWait("hello", { a: 1 }, { timeoutSeconds: 5 })).toEqual({
    session: sessionExpected,
    run: runSnapshotExpected,
    isCached: false,
    timedOut: true,
  });
  expect(server.lines()).toEqual(["POST /api/sessions/start-and-wait"]);
  expect(server.lastBody()).toEqual({ task_id: "hello", payload: { a: 1 }, timeout_seconds: 5 });
  expect(await sessions.startAndWait(plain, {})).toMatchObject({ isCached: true, timedOut: false });
  expect(server.lastBody()).toEqual({ task_id: "plain" });
});

const pending = (retryAfter?: string) =>
  json({ error: "session_start_pending", code: "idempotency_pending" }, 202, retryAfter === undefined ? {} : { "retry-after": retryAfter });

test("a pending start is asked again after Retry-After, the same bytes each time", async () => {
  const soon = new Date(Date.now() + 1_000).toUTCString();
  server.expect(pending(), pending("0.01"), pending("Thu, 01 Jan 1970 00:00:00 GMT"), pending(soon), json(started));
  const from = Date.now();
  await sessions.start("hello", { n: 1 }, { idempotencyKey: "k" });
  // 250 ms when it is missing or past.
  expect(Date.now() - from).toBeGreaterThanOrEqual(500);
  expect(server.requests.length).toBe(5);
  expect(new Set(server.requests.map(({ body }) => body)).size).toBe(1);
});

test("a start stays pending for ten seconds at most", async () => {
  server.expect(pending("11"));
  const error: unknown = await sessions.start("hello", {}).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(HelmrApiError);
  expect(error).toMatchObject({ status: 202, message: expect.stringContaining("idempotency_pending") });
  expect(server.requests.length).toBe(1);
});

test("another 202 is an error at once, and an abort ends the waiting", async () => {
  server.expect(json({ code: "something_else" }, 202), raw("not json", 202), pending("5"));
  await expect(sessions.start("hello", {})).rejects.toMatchObject({ status: 202 });
  await expect(sessions.start("hello", {})).rejects.toMatchObject({ status: 202 });
  const abort = new AbortController();
  const waiting = sessions.start("hello", { signal: abort.signal });
  await vi.waitFor(() => expect(server.requests.length).toBe(3));
  setTimeout(() => abort.abort(new RangeError("enough")), 20);
  await expect(waiting).rejects.toThrow("enough");
});

test("retrieve and list", async () => {
  server.expect(json(wireSession), json(wireSession), json({ sessions: [wireSession] }), json({ sessions: [] }));
  expect(await sessions.retrieve("session-1")).toEqual(sessionExpected);
  await sessions.retrieve({ externalId: "a/b c" });
  expect(await sessions.list({ status: "open", taskId: "hello", externalId: "e&1", limit: 5 })).toEqual([sessionExpected]);
  await sessions.list({ status: "all" });
  expect(server.lines()).toEqual([
    "GET /api/sessions/session-1",
    "GET /api/sessions/by-external-id?external_id=a%2Fb%20c",
    "GET /api/sessions?status=open&task_id=hello&external_id=e%261&limit=5",
    "GET /api/sessions?status=all",
  ]);
});

test("optional members of a session are absent or null as the contract says", async () => {
  const {
    external_id: _e,
    current_run_id: _c,
    workspace_id: _w,
    metadata: _m,
    tags: _t,
    error: _r,
    terminal_reason: _n,
    expires_at: _x,
    expired_at: _d,
    ...bare
  } = wireSession;
  server.expect(json({ ...bare, status: "open", result: { ok: 1 } }));
  const { externalId: _1, error: _2, terminalReason: _3, ...expected } = sessionExpected;
  expect(await sessions.retrieve("s")).toEqual({
    ...expected,
    status: "open",
    currentRunId: null,
    workspaceId: null,
    metadata: {},
    tags: [],
    result: { ok: 1 },
    expiresAt: null,
    expiredAt: null,
  });
});

test("an open session addresses by id or by external id", async () => {
  const run = {
    id: "sr-1",
    run_id: "run-1",
    deployment_id: "d",
    previous_run_id: "run-0",
    turn_index: 1,
    status: "succeeded",
    execution_status: "finished",
    terminal_outcome: "succeeded",
    created_at: time,
    ended_at: time,
  };
  server.expect(
    json(wireSession),
    json(wireSession),
    json(wireSession),
    json({ runs: [run] }),
    json(wireSession),
    json(wireSession),
    json({ runs: [] }),
  );
  const byId = sessions.open({ id: "s/1" });
  expect(byId.id).toBe("s/1");
  expect(await byId.retrieve()).toEqual(sessionExpected);
  await byId.close({ reason: "done" });
  expect(server.lastBody()).toEqual({ reason: "done" });
  await byId.cancel();
  expect(server.lastBody()).toEqual({});
  expect(await byId.runs()).toEqual([
    {
      id: "sr-1",
      runId: "run-1",
      deploymentId: "d",
      previousRunId: "run-0",
      turnIndex: 1,
      status: "succeeded",
      executionStatus: "finished",
      terminalOutcome: "succeeded",
      createdAt: time,
      endedAt: time,
    },
  ]);
  const byExternalId = sessions.open({ externalId: "order 1" });
  expect(byExternalId.externalId).toBe("order 1");
  expect("id" in byExternalId).toBe(false);
  await byExternalId.close();
  await byExternalId.cancel({ reason: "x", projectId: "p", environmentId: "e" });
  await byExternalId.runs();
  expect(server.lines()).toEqual([
    "GET /api/sessions/s%2F1",
    "POST /api/sessions/s%2F1/close",
    "POST /api/sessions/s%2F1/cancel",
    "GET /api/sessions/s%2F1/runs",
    "POST /api/sessions/by-external-id/close?external_id=order%201",
    "POST /api/projects/p/environments/e/sessions/by-external-id/cancel?external_id=order%201",
    "GET /api/sessions/by-external-id/runs?external_id=order%201",
  ]);
});

test("a snapshot with both ids is addressed by its id", async () => {
  server.expect(json(wireSession), json(wireSession));
  const snapshot = await sessions.retrieve("session-1");
  await sessions.open(snapshot).retrieve();
  await expect(sessions.retrieve(sessions.open(snapshot))).rejects.toThrow("599");
  expect(new Set(server.lines())).toEqual(new Set(["GET /api/sessions/session-1"]));
});

test("input: send and list", async () => {
  const appended = { record: wireRecord, idempotency_status: "created", continuation_status: "created" };
  server.expect(
    json(appended, 201),
    json({ ...appended, idempotency_status: "duplicate" }, 201),
    json({ records: [wireRecord] }),
    json({ records: [] }),
  );
  const input = sessions.open({ externalId: "o1" }).input("my.in-1");
  expect(await input.send({ a: 1 }, { correlationId: "c", idempotencyKey: "as typed" })).toEqual({
    ...recordExpected,
    idempotencyStatus: "created",
  });
  expect(server.lastBody()).toEqual({ data: { a: 1 }, correlation_id: "c", idempotency_key: "as typed" });
  expect(await input.send(null)).toMatchObject({ idempotencyStatus: "duplicate" });
  expect(server.lastBody()).toEqual({ data: null });
  expect(await input.list({ cursor: 4, limit: 10, correlationId: "c d" })).toEqual([recordExpected]);
  await sessions
    .open("s")
    .input(streams.input("typed", { schema: countSchema() }))
    .list();
  expect(server.lines()).toEqual([
    "POST /api/sessions/by-external-id/inputs/my.in-1?external_id=o1",
    "POST /api/sessions/by-external-id/inputs/my.in-1?external_id=o1",
    "GET /api/sessions/by-external-id/inputs/my.in-1?external_id=o1&after_sequence=4&limit=10&correlation_id=c%20d",
    "GET /api/sessions/s/inputs/typed",
  ]);
});

test("output: append, pipe, writer, read and list", async () => {
  const appended = json({ record: wireRecord, idempotency_status: "created" }, 201);
  server.expect(
    appended,
    appended,
    appended,
    appended,
    json({ record: wireRecord }),
    json({ record: null }),
    json({ records: [wireRecord] }),
  );
  const output = sessions.open("s").output("out");
  expect(await output.append({ a: 1 }, { contentType: "text/x", correlationId: "c", idempotencyKey: "k" })).toMatchObject({ sequence: 3 });
  expect(server.lastBody()).toEqual({ data: { a: 1 }, content_type: "text/x", correlation_id: "c", idempotency_key: "k" });
  await output.pipe([1, 2]);
  const writer = output.writer({ correlationId: "w" });
  void writer.write("x");
  await writer.close();
  expect(server.lastBody()).toEqual({ data: "x", correlation_id: "w" });
  expect(await output.read({ cursor: 2, correlationId: "c" })).toEqual(recordExpected);
  expect(await output.read()).toBeNull();
  expect(await output.list({ cursor: 0, limit: 1 })).toEqual([recordExpected]);
  expect(server.lines().slice(4)).toEqual([
    "GET /api/sessions/s/outputs/out/read?after_sequence=2&correlation_id=c",
    "GET /api/sessions/s/outputs/out/read",
    "GET /api/sessions/s/outputs/out?after_sequence=0&limit=1",
  ]);
});

test("a public access token selects the v1 routes with its own bearer, and no scope", async () => {
  server.expect(json({ record: wireRecord, idempotency_status: "created" }, 201), json({ record: null }));
  await sessions.open({ externalId: "o" }).input("in").send(1, { publicAccessToken: "hlmr_pat_a" });
  await sessions.open("s").output("out").read({ publicAccessToken: "hlmr_pat_b" });
  expect(server.lines()).toEqual([
    "POST /api/v1/sessions/by-external-id/inputs/in?external_id=o",
    "GET /api/v1/sessions/s/outputs/out/read",
  ]);
  expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer hlmr_pat_a", "Bearer hlmr_pat_b"]);
  const both = { publicAccessToken: "x", projectId: "p", environmentId: "e" };
  await expect(sessions.open("s").input("in").send(1, both)).rejects.toThrow(
    "publicAccessToken cannot be combined with projectId and environmentId",
  );
  await expect(sessions.open("s").output("out").read(both)).rejects.toThrow("publicAccessToken cannot be combined");
  expect(server.requests.length).toBe(2);
});

test("wait, once, on and peek belong to tasks", () => {
  const input = sessions.open("s").input("in");
  for (const call of [() => input.wait(), () => input.once(), () => input.on(() => undefined), () => input.peek()]) {
    expect(call).toThrow(UnsupportedTransportError);
    expect(call).toThrow(/of input stream "in" works inside a task only/);
  }
});

test("a definition is checked for its direction, a name for its form", () => {
  const session = sessions.open("s");
  expect(() => session.input(streams.output("x") as never)).toThrow('Stream "x" is an output stream and is used as an input stream');
  expect(() => session.output(streams.input("x") as never)).toThrow('Stream "x" is an input stream and is used as an output stream');
  expect(() => session.input("a/b")).toThrow("the name of an input stream must match");
});

test.each([
  [null, 250],
  ["", 250],
  ["2", 2000],
  ["0.5", 500],
  ["0", 250],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 250],
  ["soon", 250],
])("Retry-After %j means %d ms", (header, ms) => {
  expect(retryAfterMs(header)).toBe(ms);
});
