import { beforeEach, expect, test, vi } from "vitest";
import { AuthError, HelmrApiError, TimeoutError } from "../errors.ts";
import { type Answer, type WireServer, eventStream, frame, json, raw, silence, wireServer } from "../node/testing/wire-server.ts";
import { runSnapshotExpected, time, wireRun } from "../node/testing/wire-examples.ts";
import { HelmrClient } from "./helmr-client.ts";
import type { RunEvent, RunsApi } from "./run-shapes.ts";

vi.spyOn(console, "warn").mockImplementation(() => undefined);

let server: WireServer;
let runs: RunsApi;
beforeEach(async () => {
  server = await wireServer();
  ({ runs } = new HelmrClient({ url: server.url, apiKey: "hlmr_sk_x" }));
});

const { exit_code: _e, output: _o, ...liveRun } = wireRun;
const running = json({ ...liveRun, status: "running", exit_code: null });
const succeeded = json(wireRun);
const event = (id: number, message: string, attributes: unknown = {}): Record<string, unknown> => ({
  id: String(id),
  run_id: "run-1",
  kind: message,
  message,
  at: time,
  occurred_at: time,
  category: "run",
  severity: "info",
  source: "control_plane",
  trace: { trace_id: "t" },
  redaction_class: "none",
  attributes,
});
const runFrame = (id: number, message: string, attributes: unknown = {}): string => frame(id, "run_event", event(id, message, attributes));
const completed = runFrame(9, "run.completed", { exit_code: 0 });
const completedEvent: RunEvent = { type: "task_result", run_id: "run-1", exit_code: 0, at: time };

async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const one of events) all.push(one);
  return all;
}

test.each([
  ["queued", { isQueued: true }],
  ["running", { isRunning: true }],
  ["waiting", { isWaiting: true }],
  ["succeeded", { isTerminal: true, isSuccess: true }],
  ["failed", { isTerminal: true, isFailed: true }],
  ["cancelled", { isTerminal: true, isCancelled: true }],
  ["expired", { isTerminal: true }],
])("a %s run and its flags", async (status, flags) => {
  server.expect(json({ ...wireRun, status }));
  const none = {
    isQueued: false,
    isRunning: false,
    isWaiting: false,
    isTerminal: false,
    isSuccess: false,
    isFailed: false,
    isCancelled: false,
  };
  expect(await runs.retrieve({ id: "run-1", taskId: "hello" })).toEqual({ ...runSnapshotExpected, status, ...none, ...flags });
});

test("an unknown status throws, and missing members have their defaults", async () => {
  server.expect(json({ ...wireRun, status: "paused" }));
  await expect(runs.retrieve("run-1")).rejects.toThrow('Run run-1 has the unknown status "paused"; update @helmr/sdk');
  server.expect(json({ id: "r", task_id: "t", status: "queued", deployment_version: "v" }));
  const bare = await runs.retrieve("r");
  expect(bare).toMatchObject({
    metadata: {},
    exitCode: null,
    createdAt: null,
    updatedAt: null,
    attemptNumber: null,
    version: "v",
    deploymentVersion: "v",
  });
  for (const absent of ["output", "apiVersion", "sdkVersion", "cliVersion"]) expect(bare).not.toHaveProperty(absent);
});

test("cancel sends only what is given, and gives the run", async () => {
  const answer = json({
    run: { ...wireRun, status: "cancelled" },
    operation: { id: "o", run_id: "run-1", kind: "cancel", status: "applied", created_at: time },
  });
  server.expect(answer, answer);
  expect((await runs.cancel("run-1")).isCancelled).toBe(true);
  expect(server.lastBody()).toEqual({});
  await runs.cancel("run-1", { reason: "no", force: true, idempotencyKey: "k", projectId: "p", environmentId: "e" });
  expect(server.lastBody()).toEqual({ reason: "no", force: true, idempotency_key: "k" });
  expect(server.lines()).toEqual(["POST /api/runs/run-1/cancel", "POST /api/projects/p/environments/e/runs/run-1/cancel"]);
});

test("list, logs and log records", async () => {
  const record = { id: "3", at: time, stream: "logger", level: "info", message: "hi", fields: { a: 1 } };
  server.expect(
    json({ runs: [wireRun] }),
    json({ runs: [] }),
    json({
      stdout_base64: Buffer.from("grüße\n").toString("base64"),
      stderr_base64: "",
      cursor: "7",
      stdout_bytes: 8,
      stderr_bytes: 0,
      truncated: true,
    }),
    json({ records: [record], cursor: 2, next_cursor: 3 }),
    json({ records: [], cursor: 0 }),
  );
  expect(await runs.list({ status: "all", limit: 3 })).toEqual([runSnapshotExpected]);
  await runs.list();
  expect(await runs.logs.retrieve("run-1")).toEqual({ stdout: "grüße\n", stderr: "", cursor: "7", truncated: true });
  expect(await runs.logs.records("run-1", { cursor: 2, limit: 1 })).toEqual({ records: [record], nextCursor: 3 });
  expect(await runs.logs.records("run-1")).toEqual({ records: [], nextCursor: null });
  expect(server.lines()).toEqual([
    "GET /api/runs?status=all&limit=3",
    "GET /api/runs",
    "GET /api/runs/run-1/logs",
    "GET /api/runs/run-1/logs?format=records&cursor=2&limit=1",
    "GET /api/runs/run-1/logs?format=records",
  ]);
});

const wait = { run_wait_id: "w1", kind: "stream", params: { stream: "a" }, metadata: { m: 1 }, tags: ["x"], timeout: 30 };
const mapped: [string, unknown, object | undefined][] = [
  ["log.stdout", { redacted: true }, { type: "log", stream: "stdout", bytes: 0, observed_seq: 0 }],
  ["log.stderr", { bytes: 5, observed_seq: 2 }, { type: "log", stream: "stderr", bytes: 5, observed_seq: 2 }],
  [
    "run_wait.created",
    wait,
    { type: "stream_wait", wait_id: "w1", kind: "stream", params: { stream: "a" }, metadata: { m: 1 }, tags: ["x"], timeout: 30 },
  ],
  [
    "run_wait.created",
    { run_wait_id: "w1", kind: "timer" },
    { type: "timer_wait", wait_id: "w1", kind: "timer", params: {}, metadata: {}, tags: [] },
  ],
  [
    "run_wait.completed",
    { ...wait, kind: "token", payload: 5 },
    { type: "token_wait_completed", wait_id: "w1", kind: "token", payload: 5 },
  ],
  ["run_wait.timed_out", wait, { type: "stream_wait_timed_out", wait_id: "w1", kind: "stream" }],
  ["run.completed", { exit_code: 0 }, { type: "task_result", exit_code: 0 }],
  [
    "run.failed",
    { failure_kind: "task_failed", detail: { exit_code: 1 } },
    { type: "run_failed", failure_kind: "task_failed", detail: { exit_code: 1 } },
  ],
  ["run.dead_lettered", { message: "no" }, { type: "run_failed", failure_kind: "dead_lettered", detail: { message: "no" } }],
  ["run.cancelled", { reason: "r", force: true }, { type: "run_cancelled", reason: "r" }],
  ["run.cancelled", {}, { type: "run_cancelled" }],
  ["run.expired", { ttl: "10m", message: "m" }, { type: "run_expired", ttl: "10m", message: "m" }],
  ["run.created", {}, undefined],
  ["log", {}, undefined],
  ["run.retry_scheduled", {}, undefined],
  ["run_wait.created", { run_wait_id: "w1", kind: "moon" }, undefined],
  ["something.new", {}, undefined],
];

test.each(mapped)("event %s with %j", async (message, attributes, expected) => {
  server.expect(json({ events: [event(1, message, attributes)], cursor: 0 }));
  expect(await runs.events.list("run-1")).toEqual(expected === undefined ? [] : [{ ...expected, run_id: "run-1", at: time }]);
});

test("events.list follows next_cursor to the end", async () => {
  const page = (id: number, next?: number) =>
    json({ events: [event(id, "log.stdout")], cursor: id - 1, ...(next === undefined ? {} : { next_cursor: next }) });
  server.expect(page(5, 5), page(6, 6), page(7));
  expect((await runs.events.list("run-1", { cursor: 4, pageSize: 1 })).length).toBe(3);
  expect(server.lines()).toEqual([
    "GET /api/runs/run-1/events?cursor=4&limit=1",
    "GET /api/runs/run-1/events?cursor=5&limit=1",
    "GET /api/runs/run-1/events?cursor=6&limit=1",
  ]);
});

test("subscribe reads frames however they are cut, and stops at the terminal one", async () => {
  const whole = `: hello\n\n${runFrame(7, "log.stdout")}${runFrame(8, "run.created")}`.replaceAll("\n", "\r\n") + completed;
  const bytes = new TextEncoder().encode(whole);
  server.expect(
    eventStream(
      Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1)),
      { ending: "stay" },
    ),
  );
  expect(await collect(runs.events.subscribe("run-1", { cursor: 6 }))).toEqual([
    { type: "log", run_id: "run-1", stream: "stdout", bytes: 0, observed_seq: 0, at: time },
    completedEvent,
  ]);
  expect(server.lines()).toEqual(["GET /api/runs/run-1/events?follow=1&cursor=6"]);
  expect(server.requests[0]?.headers).toMatchObject({ accept: "text/event-stream", authorization: "Bearer hlmr_sk_x" });
});

test("a last frame counts without its blank line", async () => {
  server.expect(eventStream([completed.trimEnd()]));
  expect(await collect(runs.events.subscribe("run-1"))).toEqual([completedEvent]);
});

test("subscribe reconnects after a second from the last cursor, whatever ended the connection", async () => {
  server.expect(
    eventStream([runFrame(3, "run.created")], { ending: "cut" }),
    raw("busy", 503),
    eventStream([runFrame(4, "run.created")]),
    running,
    raw("slow down", 429),
    eventStream([completed]),
  );
  const from = Date.now();
  expect(await collect(runs.events.subscribe("run-1"))).toEqual([completedEvent]);
  expect(Date.now() - from).toBeGreaterThanOrEqual(3_900);
  expect(server.lines()).toEqual([
    "GET /api/runs/run-1/events?follow=1&cursor=0",
    "GET /api/runs/run-1/events?follow=1&cursor=3",
    "GET /api/runs/run-1/events?follow=1&cursor=3",
    "GET /api/runs/run-1",
    "GET /api/runs/run-1/events?follow=1&cursor=4",
    "GET /api/runs/run-1/events?follow=1&cursor=4",
  ]);
}, 15_000);

test("after a clean end with a terminal run the rest is listed", async () => {
  server.expect(
    eventStream([runFrame(3, "log.stdout")]),
    succeeded,
    json({ events: [event(4, "log.stderr")], cursor: 3, next_cursor: 4 }),
    json({ events: [event(9, "run.completed", { exit_code: 0 })], cursor: 4 }),
  );
  expect((await collect(runs.events.subscribe("run-1"))).map(({ type }) => type)).toEqual(["log", "log", "task_result"]);
  expect(server.lines().slice(1)).toEqual([
    "GET /api/runs/run-1",
    "GET /api/runs/run-1/events?cursor=3",
    "GET /api/runs/run-1/events?cursor=4",
  ]);
});

test("a malformed frame with an id is skipped for good, one without throws", async () => {
  const large = frame(5, "run_event", JSON.stringify({ ...event(5, "log.stdout"), pad: "x".repeat(1_100_000) }));
  const skipped = [
    frame(2, "run_event", "{"),
    frame(3, "run_event", "5"),
    frame(4, "run_event", { kind: "x", message: "log.stdout" }),
    large,
  ];
  server.expect(eventStream([...skipped, completed]));
  expect(await collect(runs.events.subscribe("run-1"))).toEqual([completedEvent]);
  for (const bad of [
    frame("x", "run_event", event(1, "log.stdout")),
    `event: run_event\ndata: ${JSON.stringify(event(1, "log.stdout"))}\n\n`,
  ]) {
    server.expect(eventStream([bad]));
    await expect(collect(runs.events.subscribe("run-1"))).rejects.toThrow("has an event frame without a readable id");
  }
});

test.each<[string, Answer, new (...values: never[]) => Error]>([
  ["401", json({}, 401), AuthError],
  ["404", json({}, 404), HelmrApiError],
  ["410", json({}, 410), HelmrApiError],
])("subscribe and wait end with a %s", async (_status, answer, error) => {
  server.expect(answer, answer);
  await expect(collect(runs.events.subscribe("run-1"))).rejects.toBeInstanceOf(error);
  await expect(runs.wait("run-1")).rejects.toBeInstanceOf(error);
  server.expect(running, answer);
  await expect(runs.wait("run-1")).rejects.toBeInstanceOf(error);
});

test("leaving the loop closes the connection", async () => {
  let closed = false;
  server.expect(async (response, request) => {
    response.on("close", () => {
      closed = true;
    });
    await eventStream([runFrame(1, "log.stdout")], { ending: "stay" })(response, request);
  });
  for await (const seen of runs.events.subscribe("run-1")) {
    expect(seen.type).toBe("log");
    break;
  }
  await vi.waitFor(() => expect(closed).toBe(true), { timeout: 2_000 });
});

test("subscribe can be aborted while it reads and while it waits for its next try", async () => {
  const abort = new AbortController();
  server.expect(eventStream([runFrame(1, "log.stdout")], { ending: "stay" }));
  const reading = (async () => {
    for await (const _seen of runs.events.subscribe("run-1", { signal: abort.signal })) abort.abort(new RangeError("enough"));
  })();
  await expect(reading).rejects.toThrow("enough");

  const second = new AbortController();
  server.expect(raw("busy", 503));
  const waiting = collect(runs.events.subscribe("run-1", { signal: second.signal }));
  await vi.waitFor(() => expect(server.requests.length).toBe(2));
  setTimeout(() => second.abort(new RangeError("enough")), 30);
  await expect(waiting).rejects.toThrow("enough");
});

test("wait returns at once when the run is terminal", async () => {
  server.expect(succeeded);
  expect(await runs.wait({ id: "run-1", taskId: "hello" })).toEqual(runSnapshotExpected);
  expect(server.lines()).toEqual(["GET /api/runs/run-1"]);
});

test("wait follows events past retries and malformed frames, then reads until the snapshot is terminal", async () => {
  const retry = runFrame(3, "run.retry_scheduled", { reason: "non_zero_exit" });
  server.expect(
    running,
    eventStream([frame(2, "run_event", "{"), "event: run_event\ndata: {}\n\n", retry, completed], { ending: "stay" }),
    running,
    running,
    running,
    succeeded,
  );
  const from = Date.now();
  expect((await runs.wait("run-1")).isSuccess).toBe(true);
  // 100 + 200 + 400 ms between the four reads.
  expect(Date.now() - from).toBeGreaterThanOrEqual(690);
  expect(server.lines()).toEqual([
    "GET /api/runs/run-1",
    "GET /api/runs/run-1/events?follow=1&cursor=0",
    ...Array.from({ length: 4 }, () => "GET /api/runs/run-1"),
  ]);
});

test("wait goes on after lost connections and server errors, from its last cursor", async () => {
  server.expect(
    raw("", 500),
    running,
    eventStream([runFrame(4, "log.stdout")], { ending: "cut" }),
    running,
    eventStream([runFrame(5, "log.stdout")]),
    succeeded,
  );
  expect((await runs.wait("run-1", { projectId: "p", environmentId: "e" })).isSuccess).toBe(true);
  expect(server.lines().map((line) => line.replace("/api/projects/p/environments/e", ""))).toEqual([
    "GET /runs/run-1",
    "GET /runs/run-1",
    "GET /runs/run-1/events?follow=1&cursor=0",
    "GET /runs/run-1",
    "GET /runs/run-1/events?follow=1&cursor=4",
    "GET /runs/run-1",
  ]);
}, 15_000);

test("wait ends with TimeoutError, or with the reason of the caller's signal", async () => {
  server.expect(running, eventStream([], { ending: "stay" }), silence, silence);
  const late = runs.wait("run-1", { timeoutMs: 80 });
  await expect(late).rejects.toThrow(TimeoutError);
  await expect(late).rejects.toThrow("Run run-1 did not end within 80 ms");
  await expect(runs.wait("run-1", { timeoutMs: 50 })).rejects.toThrow(TimeoutError);
  const abort = new AbortController();
  setTimeout(() => abort.abort(new RangeError("enough")), 30);
  await expect(runs.wait("run-1", { timeoutMs: 60_000, signal: abort.signal })).rejects.toThrow("enough");
});
