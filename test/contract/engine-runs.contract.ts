/** http §7 row by row, over HTTP. */
import { taskDeclaration } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, collect, type Json, openApi } from "./api-fixture.ts";

let api: Api;
beforeAll(async () => {
  api = await openApi({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 1, maxMs: 1, jitter: "none" } } }),
      taskDeclaration("short", { ttl: "50ms" }),
    ],
  });
});
afterAll(() => api.close());

const nowhere = "01980a00-0000-7000-8000-000000000001";
const failure = { status: "failed" as const, exit_code: 1, failure_kind: "task_failed" as const, reason: "threw", message: "it threw" };
const running = async (body: object = {}) => {
  const started = await api.start(body);
  const worker = await api.worker();
  const run = await api.take(worker, started.run.id);
  await run.started();
  return { ...started, worker, held: run };
};
const kinds = (events: Json[]) => events.map((event) => event.kind);

describe("GET runs", () => {
  test("live by default; every status; one session", async () => {
    const done = await running();
    await done.held.complete({ status: "succeeded", exit_code: 0 });
    const live = await running();
    const queued = await api.start();
    const ids = async (query = "") => (await api.get(`/api/runs${query}`)).json.runs.map((run: Json) => run.id);
    expect(await ids()).toEqual([queued.run.id, live.run.id]);
    expect(await ids("?status=running")).toEqual([live.run.id]);
    expect(await ids("?status=queued")).toEqual([queued.run.id]);
    expect(await ids("?status=succeeded")).toContain(done.run.id);
    expect(await ids(`?status=all&session_id=${done.session.id}`)).toEqual([done.run.id]);
    expect(await ids(`?session_id=${done.session.id}`)).toEqual([]);
    expect(await ids("?status=all&limit=1")).toEqual([queued.run.id]);
    const counts = (await api.get("/api/runs/counts")).json;
    expect(counts).toMatchObject({ queued: 1, running: 1, waiting: 0, succeeded: 1, failed: 0, cancelled: 0, expired: 0 });
    await live.held.complete({ status: "succeeded", exit_code: 0 });
    await api.post(`/api/runs/${queued.run.id}/cancel`, {});
  });

  test.each(["status=done", "limit=0", "limit=201", "session_id=x"])("400 for %s", async (query) => {
    expect((await api.get(`/api/runs?${query}`)).status).toBe(400);
  });

  test("one run: 404, 400, and why it does not run", async () => {
    expect((await api.get(`/api/runs/${nowhere}`)).status).toBe(404);
    expect(await api.get("/api/runs/x")).toMatchObject({ status: 400, json: { error: "invalid run id" } });
    for (const path of ["events", "logs", "cancel"])
      expect(
        (await api.send(path === "cancel" ? "POST" : "GET", `/api/runs/${nowhere}/${path}`, path === "cancel" ? {} : undefined)).status,
      ).toBe(404);
  });
});

describe("cancel", () => {
  test("queued: finished at once", async () => {
    const { run } = await api.start();
    const answer = await api.post(`/api/runs/${run.id}/cancel`, { reason: "no" });
    expect(answer).toMatchObject({
      status: 200,
      json: {
        run: { status: "cancelled", exit_code: null },
        operation: { run_id: run.id, kind: "cancel", status: "applied", reason: "no" },
      },
    });
    expect(await api.events(run.id)).toMatchObject([{ kind: "run.created" }, { kind: "run.cancelled", attributes: { reason: "no" } }]);
  });

  test("executing: cancelled at once in status, the worker is told by push, the event follows", async () => {
    const { run, worker, held, session } = await running();
    await worker.openChannel();
    const followed = collect(api, `/api/runs/${run.id}/events?follow=1`);
    expect((await api.post(`/api/runs/${run.id}/cancel`, { reason: "stop" })).json).toMatchObject({
      run: { status: "cancelled" },
      operation: { status: "applied" },
    });
    expect((await api.get(`/api/sessions/${session.id}/runs`)).json.runs[0]).toMatchObject({
      status: "cancelled",
      execution_status: "pending_cancel",
    });
    await until("the cancel is pushed", () => held.signal.aborted);
    expect(worker.directives).toContainEqual({ type: "cancel", lease_id: held.lease.lease_id, force: false, reason: "stop" });
    await held.complete({ status: "cancelled", forced: false });
    const { events, ended } = await followed;
    expect([kinds(events.map((event) => event.data)), ended]).toEqual([["run.created", "run.cancel_requested", "run.cancelled"], true]);
    expect(events.at(-1)?.data.attributes).toEqual({ reason: "stop", origin: "cancel_operation" });
  });

  test("force while pending; rejected when terminal; keys", async () => {
    const { run, worker, held } = await running();
    await worker.openChannel();
    await api.post(`/api/runs/${run.id}/cancel`, {});
    const forced = await api.post(`/api/runs/${run.id}/cancel`, { force: true, idempotency_key: "k" });
    expect(forced.json.operation.status).toBe("applied");
    await until("the holder is fenced", () =>
      worker.directives.some((directive) => directive.type === "fenced" && directive.lease_id === held.lease.lease_id),
    );
    expect((await api.post(`/api/runs/${run.id}/cancel`, { force: true, idempotency_key: "k" })).json.operation.id).toBe(
      forced.json.operation.id,
    );
    expect(await api.post(`/api/runs/${run.id}/cancel`, { idempotency_key: "k" })).toMatchObject({
      status: 409,
      json: { code: "idempotency_fingerprint_mismatch" },
    });
    expect((await api.post(`/api/runs/${run.id}/cancel`, {})).json).toMatchObject({
      run: { status: "cancelled" },
      operation: { status: "rejected" },
    });
    expect((await api.post(`/api/runs/${run.id}/cancel`, { force: "yes" })).status).toBe(400);
    expect((await api.post(`/api/runs/${run.id}/cancel`, { other: 1 })).status).toBe(400);
  });
});

describe("events", () => {
  test("members, pages and cursors", async () => {
    const { run, held } = await running({ payload: { p: 1 }, metadata: { m: 1 }, tags: ["t"] });
    await held.log("stdout", "x\n");
    await held.complete(failure);
    const page = (await api.get(`/api/runs/${run.id}/events?limit=2`)).json;
    expect(page).toMatchObject({ cursor: 0, next_cursor: 2 });
    expect(page.events[0]).toEqual({
      id: "1",
      run_id: run.id,
      trace: { trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) },
      category: "run",
      severity: "info",
      source: "control_plane",
      kind: "run.created",
      message: "run.created",
      at: expect.any(String),
      occurred_at: expect.any(String),
      redaction_class: "none",
      attributes: {
        cause: { kind: "session_start" },
        max_duration_seconds: 900,
        metadata: { m: 1 },
        payload: { p: 1 },
        reason: "start",
        retry_policy: { enabled: false },
        secret_names: [],
        tags: ["t"],
        task_id: "hello",
      },
    });
    expect(page.events[1]).toMatchObject({
      kind: "log.stdout",
      redaction_class: "sensitive",
      attributes: { redacted: true },
      attempt_number: 1,
      run_lease_id: held.lease.lease_id,
      attempt_id: held.lease.run.attempt_id,
    });
    const rest = (await api.get(`/api/runs/${run.id}/events?cursor=2`)).json;
    expect(rest).toMatchObject({
      cursor: 2,
      events: [{ id: "3", kind: "run.failed", severity: "error", attributes: { failure_kind: "task_failed", detail: { exit_code: 1 } } }],
    });
    expect(rest.next_cursor).toBeUndefined();
    for (const query of ["cursor=-1", "cursor=x", "limit=0", "limit=201"])
      expect((await api.get(`/api/runs/${run.id}/events?${query}`)).status, query).toBe(400);
  });

  test("a retried attempt writes run.retry_scheduled only; a follower stays until the end", async () => {
    const { run, worker, held } = await running({ task_id: "again" });
    const followed = collect(api, `/api/runs/${run.id}/events`);
    expect(await held.complete(failure)).toBe("retrying");
    const second = await api.take(worker, run.id);
    await second.started();
    expect((await api.run(run.id)).attempt_number).toBe(2);
    await second.complete(failure);
    const { events, headers } = await followed;
    expect(headers).toMatchObject({ "content-type": "text/event-stream", "cache-control": "no-cache" });
    expect(events.map((event) => [event.id, event.event, event.data.kind])).toEqual([
      ["1", "run_event", "run.created"],
      ["2", "run_event", "run.retry_scheduled"],
      ["3", "run_event", "run.failed"],
    ]);
    expect(events[1]?.data.attributes).toMatchObject({
      reason: "non_zero_exit",
      previous_attempt_number: 1,
      next_attempt_number: 2,
      delay_ms: 1,
    });
  });

  test("Last-Event-ID wins over the cursor; behind the end the stream ends", async () => {
    const { run } = await api.start();
    await api.post(`/api/runs/${run.id}/cancel`, {});
    const ids = async (path: string, headers: Record<string, string> = {}) =>
      (await collect(api, `/api/runs/${run.id}/events${path}`, { headers })).events.map((event) => event.id);
    expect(await ids("?cursor=1")).toEqual(["2"]);
    expect(await ids("?cursor=0", { "last-event-id": "1" })).toEqual(["2"]);
    expect(await ids("", { "last-event-id": "2" })).toEqual([]);
    expect((await api.get(`/api/runs/${run.id}/events`, { accept: "text/event-stream", "last-event-id": "x" })).status).toBe(400);
  });
});

describe("logs", () => {
  test("snapshot, chunks and records agree", async () => {
    const { run, held } = await running();
    expect((await api.get(`/api/runs/${run.id}/logs`)).json).toEqual({
      stdout_base64: "",
      stderr_base64: "",
      cursor: "0",
      stdout_bytes: 0,
      stderr_bytes: 0,
      truncated: false,
    });
    await held.log("stdout", "one\ntwo");
    const chunks = collect(api, `/api/runs/${run.id}/logs?follow=1`);
    const records = collect(api, `/api/runs/${run.id}/logs?follow=1&format=records&cursor=1`);
    await held.log("stderr", "err\n");
    await held.log("logger", `${JSON.stringify({ level: "warn", message: "careful", fields: { a: 1 } })}\n`);
    const snapshot = (await api.get(`/api/runs/${run.id}/logs`)).json;
    expect(Buffer.from(snapshot.stdout_base64, "base64").toString()).toBe("one\ntwo");
    expect(snapshot).toMatchObject({ cursor: "2", stdout_bytes: 7, stderr_bytes: 4 });
    await held.complete({ status: "succeeded", exit_code: 0 });
    const bytes = await chunks;
    expect(bytes.ended).toBe(true);
    expect(
      bytes.events.map((event) => [
        event.id,
        event.event,
        event.data.stream,
        Buffer.from(event.data.content_base64, "base64").toString(),
        event.data.bytes,
      ]),
    ).toEqual([
      ["1", "run_log", "stdout", "one\ntwo", 7],
      ["2", "run_log", "stderr", "err\n", 4],
    ]);
    expect(bytes.events[0]?.data).toMatchObject({ run_id: run.id, run_lease_id: held.lease.lease_id, attempt_number: 1, observed_seq: 1 });
    expect((await records).events.map((event) => [event.id, event.event, event.data])).toEqual([
      ["2", "run_log_record", { id: "2", at: expect.any(String), stream: "stderr", message: "err" }],
      ["3", "run_log_record", { id: "3", at: expect.any(String), stream: "logger", level: "warn", message: "careful", fields: { a: 1 } }],
      ["4", "run_log_record", { id: "4", at: expect.any(String), stream: "stdout", message: "two" }],
    ]);
    const page = (await api.get(`/api/runs/${run.id}/logs?format=records&limit=3`)).json;
    expect([page.records.map((record: Json) => record.id), page.cursor, page.next_cursor]).toEqual([["1", "2", "3"], 0, 3]);
    expect((await api.get(`/api/runs/${run.id}/logs?format=records&cursor=3`)).json).toMatchObject({ cursor: 3, records: [{ id: "4" }] });
    expect((await api.get(`/api/runs/${run.id}/logs?format=text`)).status).toBe(400);
  });

  test("the snapshot holds the last MiB of a stream", async () => {
    const { run, held } = await running();
    const line = `${"y".repeat(1_023)}\n`;
    for (let part = 0; part < 5; part += 1) await held.log("stdout", line.repeat(300));
    await held.log("stdout", "end");
    const snapshot = (await api.get(`/api/runs/${run.id}/logs`)).json;
    const bytes = Buffer.from(snapshot.stdout_base64, "base64");
    expect(snapshot).toMatchObject({ truncated: true, stdout_bytes: 1_536_003 });
    expect([bytes.length, bytes.subarray(-3).toString()]).toEqual([1_048_576, "end"]);
    await held.complete({ status: "succeeded", exit_code: 0 });
  });
});

test("a run that is queued for longer than its ttl expires", async () => {
  const { run } = await api.start({ task_id: "short" });
  await api.reaches(run.id, "expired");
  expect((await api.events(run.id)).at(-1)).toMatchObject({ kind: "run.expired", attributes: { ttl: "50ms" } });
});

test("a failed run leaves its session open and idle", async () => {
  const { run, session, held } = await running();
  await held.complete(failure);
  expect(await api.run(run.id)).toMatchObject({ status: "failed", exit_code: 1 });
  expect((await api.get(`/api/sessions/${session.id}`)).json).toMatchObject({ status: "open", activity: "idle", can_close: true });
});
