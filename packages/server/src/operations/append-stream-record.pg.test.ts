import { streamAppendBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { appendOutput } from "./append-stream-record.ts";
import { cancelSession } from "./cancel-session.ts";
import { closeSession } from "./close-session.ts";
import { eachStep } from "./engine.fixture.ts";
import { openSessions, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
beforeAll(async () => {
  sessions = await openSessions();
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;
const output = (sessionId: string, body: object = {}, stream = "answers") =>
  appendOutput(sessions.context, { environmentId: environmentId(), key: { id: sessionId }, stream, body: streamAppendBody.parse(body) });
const continuations = (sessionId: string) =>
  sessions.sql<{ state: string; sequence: number }>("select state, sequence from continuations where session_id = $1 order by position", [
    sessionId,
  ]);
const currentRun = (sessionId: string) =>
  sessions.one<{ id: string; turn_index: number; state: string }>(
    "select r.id, r.turn_index, r.state from sessions s join runs r on r.id = s.current_run_id where s.id = $1",
    [sessionId],
  );

describe("appendInput()", () => {
  test("numbers records per stream from 1, whichever way they are named", async () => {
    const { session } = await sessions.start({ external_id: "order-1" });
    const first = await sessions.append(session.id, { data: { n: 1 }, correlation_id: "c", content_type: "text/plain" });
    expect(first.record).toMatchObject({ sequence: 1, data: { n: 1 }, correlation_id: "c", content_type: "text/plain" });
    expect((await sessions.append(session.id)).record).toMatchObject({ sequence: 2, data: null, correlation_id: null });
    expect((await sessions.append(session.id, {}, "orders")).record).toMatchObject({ sequence: 1 });
    expect(first.record.stream_id).not.toBe((await sessions.append(session.id, {}, "orders")).record.stream_id);
  });

  test("an unknown name and a wrong direction do not exist", async () => {
    const { session } = await sessions.start();
    expect(await sessions.tryAppend(session.id, {}, "nowhere")).toMatchObject({ status: 404, code: "stream_not_found" });
    expect(await output(session.id, {}, "orders")).toMatchObject({ status: 404, code: "stream_not_found" });
    expect(await sessions.tryAppend("01980a00-0000-7000-8000-00000000ffff")).toMatchObject({ status: 404, message: "session not found" });
  });

  test("a session that ended takes none", async () => {
    const closed = await sessions.program();
    await sessions.complete(closed.held);
    await closeSession(sessions.context, { environmentId: environmentId(), key: { id: closed.sessionId }, reason: undefined });
    expect(await sessions.tryAppend(closed.sessionId)).toMatchObject({ status: 409, code: "session_terminal" });
    const cancelled = await sessions.start();
    await cancelSession(sessions.context, { environmentId: environmentId(), key: { id: cancelled.session.id }, reason: undefined });
    expect(await sessions.tryAppend(cancelled.session.id)).toMatchObject({ status: 409, code: "session_terminal" });
  });

  test("a session past its expiry takes none, and expires when nothing is live", async () => {
    const live = await sessions.start({ expires_at: "2020-01-01T00:00:00Z" });
    expect(await sessions.tryAppend(live.session.id)).toMatchObject({ status: 410, code: "session_expired" });
    expect(await sessions.one("select state from sessions where id = $1", [live.session.id])).toEqual({ state: "open" });
    const over = await sessions.program();
    await sessions.complete(over.held);
    await sessions.sql("update sessions set expires_at = now() - interval '1 second' where id = $1", [over.sessionId]);
    expect(await sessions.tryAppend(over.sessionId)).toMatchObject({ status: 410, code: "session_expired" });
    expect(await sessions.one("select state from sessions where id = $1", [over.sessionId])).toEqual({ state: "expired" });
    expect(await sessions.tryAppend(over.sessionId)).toMatchObject({ status: 410, code: "session_expired" });
    // Output works in any state.
    expect(await output(over.sessionId)).toMatchObject({ created: true, record: { sequence: 1 } });
  });

  test("a key makes a repeat harmless, and another request with it a conflict", async () => {
    const { session } = await sessions.start();
    const body = { data: { b: 1, a: [null] }, idempotency_key: "k1" };
    const first = await sessions.append(session.id, body);
    expect(first).toMatchObject({ created: true, continuation: "accepted_run_pending" });
    const repeat = await sessions.append(session.id, { data: { a: [null], b: 1 }, idempotency_key: "k1" });
    expect(repeat).toMatchObject({ created: false, continuation: "duplicate", record: { id: first.record.id, sequence: 1 } });
    for (const other of [{ data: 2 }, { correlation_id: "x" }, { content_type: "text/plain" }])
      expect(await sessions.tryAppend(session.id, { ...body, ...other })).toMatchObject({
        status: 409,
        code: "idempotency_fingerprint_mismatch",
      });
    // A key belongs to its stream.
    expect(await sessions.append(session.id, { data: 2, idempotency_key: "k1" }, "orders")).toMatchObject({ created: true });
    expect((await sessions.append(session.id)).record.sequence).toBe(2);
  });
});

describe("continuations", () => {
  test("while a run is live the record waits; when it ends the next run starts, record by record", async () => {
    const program = await sessions.program({ payload: { name: "Ada" }, priority: 7, queue: { name: "task/hello" } });
    const one = await sessions.append(program.sessionId, { data: 1 });
    const two = await sessions.append(program.sessionId, { data: 2 }, "orders");
    expect([one.continuation, two.continuation]).toEqual(["accepted_run_pending", "accepted_run_pending"]);
    await sessions.complete(program.held);

    const second = await sessions.programOf(program.sessionId);
    const run = await sessions.one("select * from runs where id = $1", [second.runId]);
    expect(run).toMatchObject({ turn_index: 1, previous_run_id: program.runId, payload: { name: "Ada" }, priority: 0, state: "executing" });
    const [created] = await sessions.timeline(second.runId);
    expect(created).toMatchObject({
      kind: "run.created",
      attributes: {
        reason: "input",
        cause: { kind: "stream_record", record_id: one.record.id, stream_id: one.record.stream_id, sequence: 1 },
        task_id: "hello",
      },
    });
    expect(await continuations(program.sessionId)).toMatchObject([{ state: "started" }, { state: "pending" }]);
    await sessions.complete(second.held);
    const third = await sessions.programOf(program.sessionId);
    expect((await sessions.timeline(third.runId))[0]).toMatchObject({ attributes: { cause: { record_id: two.record.id } } });
    await sessions.complete(third.held);
    expect(await currentRun(program.sessionId)).toMatchObject({ id: third.runId, turn_index: 2, state: "finished" });
  });

  test("when nothing is live a run starts at once; a repeat says so", async () => {
    const program = await sessions.program();
    await sessions.complete(program.held);
    const appended = await sessions.append(program.sessionId, { data: 1, idempotency_key: "idle" });
    expect(appended.continuation).toBe("created");
    expect(await currentRun(program.sessionId)).toMatchObject({ turn_index: 1, state: "queued" });
    expect(sessions.hinted).toContain(`session:${program.sessionId}`);
    expect((await sessions.append(program.sessionId, { data: 1, idempotency_key: "idle" })).continuation).toBe("duplicate");
    expect((await sessions.append(program.sessionId, { data: 2 })).continuation).toBe("accepted_run_pending");
  });

  test("the next run has what the session and its task say now, not what the start said", async () => {
    const program = await sessions.program({
      metadata: { a: 1 },
      tags: ["x"],
      ttl: "5m",
      max_duration_seconds: 60,
      retry: { maxAttempts: 3 },
      concurrency_key: "k",
    });
    await sessions.sql(`update sessions set metadata = '{"b": 2}', tags = '{y}' where id = $1`, [program.sessionId]);
    await sessions.append(program.sessionId);
    await sessions.complete(program.held);
    const { id } = await currentRun(program.sessionId);
    expect(await sessions.one("select * from runs where id = $1", [id])).toMatchObject({
      metadata: { b: 2 },
      tags: ["y"],
      ttl_text: null,
      max_duration_seconds: 900,
      retry: { enabled: false },
      concurrency_key: null,
      queue_name: "task/hello",
    });
  });

  test("a session that ends skips what it has not started", async () => {
    const program = await sessions.program();
    await sessions.append(program.sessionId);
    await cancelSession(sessions.context, { environmentId: environmentId(), key: { id: program.sessionId }, reason: undefined });
    await sessions.complete(program.held, { status: "cancelled", forced: false });
    expect(await continuations(program.sessionId)).toMatchObject([{ state: "skipped" }]);
    expect(await currentRun(program.sessionId)).toMatchObject({ turn_index: 0 });
  });

  test("a session past its expiry starts nothing more", async () => {
    const program = await sessions.program();
    await sessions.append(program.sessionId);
    await sessions.sql("update sessions set expires_at = now() - interval '1 second' where id = $1", [program.sessionId]);
    await sessions.complete(program.held);
    expect(await continuations(program.sessionId)).toMatchObject([{ state: "skipped" }]);
    expect(await currentRun(program.sessionId)).toMatchObject({ turn_index: 0, state: "finished" });
  });
});

describe("appendOutput()", () => {
  test("appends beside the input stream of the same name, with keys of its own", async () => {
    const { session } = await sessions.start();
    await sessions.append(session.id, { data: "in" });
    expect(await output(session.id, { data: "out", idempotency_key: "o" })).toMatchObject({
      created: true,
      record: { sequence: 1, data: "out" },
    });
    expect(await output(session.id, { data: "out", idempotency_key: "o" })).toMatchObject({ created: false, record: { sequence: 1 } });
    expect(await output(session.id, { data: "other", idempotency_key: "o" })).toMatchObject({ code: "idempotency_fingerprint_mismatch" });
    expect(await output(session.id)).not.toHaveProperty("continuation");
  });

  test("many at once get one sequence each", async () => {
    const { session } = await sessions.start();
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => output(session.id, { data: index })));
    const sequences = all.map((appended) => ("record" in appended ? appended.record.sequence : 0)).sort((left, right) => left - right);
    expect(sequences).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });
});

test("every step of an append to an idle session may fail and be repeated: one record, one run", async () => {
  let count = 0;
  const failures = await eachStep(sessions, {
    setup: async () => {
      const program = await sessions.program();
      await sessions.complete(program.held);
      return { sessionId: program.sessionId, key: `each-${(count += 1)}` };
    },
    act: ({ sessionId, key }) => sessions.append(sessionId, { data: 1, idempotency_key: key }),
    check: async ({ sessionId }) => {
      expect(
        await sessions.sql("select r.sequence from stream_records r join session_streams t on t.id = r.stream_id where t.session_id = $1", [
          sessionId,
        ]),
      ).toEqual([{ sequence: "1" }]);
      expect(await currentRun(sessionId)).toMatchObject({ turn_index: 1 });
      expect(await continuations(sessionId)).toMatchObject([{ state: "started" }]);
    },
  });
  expect(failures).toBeGreaterThan(15);
}, 60_000);
