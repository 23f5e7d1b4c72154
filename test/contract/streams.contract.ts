/** Session streams over HTTP (http §5.1, §5.2): every route, status, code and order; and the flows of §17 that send input. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instant, openSessionPlane, type SessionPlane, unknownId, uuid, type WireProgram } from "./session-plane.ts";

let plane: SessionPlane;
beforeAll(async () => {
  plane = await openSessionPlane();
});
afterAll(async () => {
  expect(plane.plane.faults).toEqual([]);
  await plane.close();
});

const streamsOf = (id: string) => `/api/sessions/${id}`;
const input = (id: string, body: object = {}, name = "approvals") => plane.post(`${streamsOf(id)}/inputs/${name}`, body);
const output = (id: string, body: object = {}, name = "approvals") => plane.post(`${streamsOf(id)}/outputs/${name}`, body);
const notFound = { status: 404, json: { code: "stream_not_found" } };

describe("GET sessions/{id}/streams", () => {
  test("lists every stream of the pinned deployment, unused ones too", async () => {
    const { session } = await plane.start();
    const before = await plane.get(`${streamsOf(session.id)}/streams`);
    expect(before).toMatchObject({ status: 200 });
    expect(before.json.streams.map((stream: { direction: string; name: string }) => `${stream.direction} ${stream.name}`)).toEqual([
      "input approvals",
      "input unused",
      "output approvals",
      "output progress",
    ]);
    for (const stream of before.json.streams)
      expect(stream).toEqual({
        id: expect.stringMatching(uuid) as string,
        session_id: session.id,
        name: expect.any(String) as string,
        direction: expect.stringMatching(/^(input|output)$/) as string,
        sequence: 0,
        created_at: expect.stringMatching(instant) as string,
      });
    const { record } = (await input(session.id)).json;
    await input(session.id);
    const after = await plane.get(`${streamsOf(session.id)}/streams`);
    expect(after.json.streams[0]).toMatchObject({ id: record.stream_id, sequence: 2, created_at: before.json.streams[0].created_at });
    expect(after.json.streams.map((stream: { id: string }) => stream.id)).toEqual(
      before.json.streams.map((stream: { id: string }) => stream.id),
    );
    expect((await plane.get(`/api/sessions/${unknownId}/streams`)).status).toBe(404);
    expect(await plane.get("/api/sessions/nope/streams")).toMatchObject({ status: 400, json: { error: "invalid session id" } });
  });
});

describe("POST inputs and outputs", () => {
  test("answer 201 with the record; missing data is null, the default content type is application/json", async () => {
    const { session } = await plane.start();
    expect(await output(session.id, { data: { a: [1, "ü", null] }, content_type: "text/x", correlation_id: "c" })).toMatchObject({
      status: 201,
    });
    const answer = await output(session.id);
    expect(answer.status).toBe(201);
    expect(answer.json).toEqual({
      record: {
        id: expect.stringMatching(uuid) as string,
        stream_id: expect.stringMatching(uuid) as string,
        sequence: 2,
        data: null,
        content_type: "application/json",
        created_at: expect.stringMatching(instant) as string,
      },
      idempotency_status: "created",
    });
    expect((await input(session.id)).json).toMatchObject({ record: { sequence: 1, data: null }, idempotency_status: "created" });
  });

  test("names that the deployment does not declare for the direction are 404 stream_not_found", async () => {
    const { session } = await plane.start();
    for (const answer of [
      await input(session.id, {}, "nowhere"),
      await input(session.id, {}, "progress"),
      await input(session.id, {}, "%20"),
      await output(session.id, {}, "unused"),
      await plane.get(`${streamsOf(session.id)}/inputs/progress`),
      await plane.get(`${streamsOf(session.id)}/outputs/unused`),
      await plane.get(`${streamsOf(session.id)}/outputs/unused/read`),
    ])
      expect(answer).toMatchObject(notFound);
  });

  test("are repeated by key: 201 and the same record, or 409 when anything differs", async () => {
    const { session } = await plane.start();
    const body = { data: { x: 1, y: 2 }, correlation_id: "c", idempotency_key: "k" };
    const first = await input(session.id, body);
    expect(first.json).toMatchObject({ idempotency_status: "created", continuation_status: "accepted_run_pending" });
    const repeat = await input(session.id, { ...body, data: { y: 2, x: 1 } });
    expect(repeat).toMatchObject({
      status: 201,
      json: { record: first.json.record, idempotency_status: "duplicate", continuation_status: "duplicate" },
    });
    for (const other of [{ data: 1 }, { correlation_id: "d" }, { content_type: "text/plain" }])
      expect(await input(session.id, { ...body, ...other })).toMatchObject({
        status: 409,
        json: { code: "idempotency_fingerprint_mismatch" },
      });
    expect((await output(session.id, body)).json).toEqual({ record: expect.any(Object) as object, idempotency_status: "created" });
    expect((await output(session.id, body)).json).toMatchObject({ idempotency_status: "duplicate" });
  });

  test.each([
    [{ data: 1, extra: 2 }, 'unknown field "extra"'],
    [{ content_type: " " }, "content_type must not be blank"],
    [{ correlation_id: 1 }, "correlation_id must be a string"],
    [{ idempotency_key: "x".repeat(513) }, "idempotency_key must be at most 512 bytes"],
    [{ data: "a\0" }, "data must not contain NUL characters"],
  ])("%j is 400", async (body, error) => {
    const { session } = await plane.start();
    expect(await input(session.id, body)).toMatchObject({ status: 400, json: { error } });
    expect((await plane.get(`${streamsOf(session.id)}/inputs/approvals`)).json).toEqual({ records: [] });
  });

  test("an empty body is 400, a session of another address 404", async () => {
    const { session } = await plane.start();
    expect((await plane.plane.api.call("POST", `${streamsOf(session.id)}/inputs/approvals`)).status).toBe(400);
    expect((await input(unknownId)).status).toBe(404);
    expect((await output(unknownId)).status).toBe(404);
  });
});

describe("GET inputs, outputs and outputs/read", () => {
  test("list ascending after a sequence, by correlation, a page at a time", async () => {
    const { session } = await plane.start();
    for (let index = 1; index <= 7; index += 1) await output(session.id, { data: index, correlation_id: index % 2 === 0 ? "even" : "odd" });
    const list = async (query = "") => {
      const answer = await plane.get(`${streamsOf(session.id)}/outputs/approvals${query}`);
      expect(answer.status, answer.text).toBe(200);
      return answer.json.records.map((record: { sequence: number }) => record.sequence);
    };
    expect(await list()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await list("?after_sequence=5")).toEqual([6, 7]);
    expect(await list("?cursor=5")).toEqual([6, 7]);
    expect(await list("?cursor=5&after_sequence=5")).toEqual([6, 7]);
    expect(await list("?cursor=2&limit=3")).toEqual([3, 4, 5]);
    expect(await list("?correlation_id=even&limit=2")).toEqual([2, 4]);
    expect(await list("?correlation_id=even&after_sequence=4")).toEqual([6]);
    expect(await list("?correlation_id=none")).toEqual([]);
    expect(await list("?cursor=99")).toEqual([]);
    const { records } = (await plane.get(`${streamsOf(session.id)}/outputs/approvals?limit=1`)).json;
    expect(records[0]).toEqual((await plane.get(`${streamsOf(session.id)}/outputs/approvals/read`)).json.record);
    const read = async (query: string) =>
      (await plane.get(`${streamsOf(session.id)}/outputs/approvals/read${query}`)).json.record?.sequence ?? null;
    expect([await read(""), await read("?cursor=3"), await read("?after_sequence=3&correlation_id=odd"), await read("?cursor=7")]).toEqual([
      1,
      4,
      5,
      null,
    ]);
    expect(await plane.get(`${streamsOf(session.id)}/outputs/progress/read`)).toMatchObject({ status: 200, json: { record: null } });
  });

  test.each(["limit=0", "limit=501", "limit=x", "cursor=-1", "cursor=1.5", "after_sequence=x", "cursor=1&after_sequence=2"])(
    "%s is 400",
    async (query) => {
      const { session } = await plane.start();
      expect((await plane.get(`${streamsOf(session.id)}/outputs/approvals?${query}`)).status).toBe(400);
    },
  );

  test("500 is the most", async () => {
    const { session } = await plane.start();
    expect((await plane.get(`${streamsOf(session.id)}/outputs/approvals?limit=500`)).status).toBe(200);
  });
});

describe("by-external-id", () => {
  test("every route has the form", async () => {
    const { session } = await plane.start({ external_id: "order 4711/ü" });
    const query = `external_id=${encodeURIComponent("order 4711/ü")}`;
    const base = "/api/sessions/by-external-id";
    expect((await plane.get(`${base}/streams?${query}`)).json.streams[0]).toMatchObject({ session_id: session.id });
    expect((await plane.post(`${base}/inputs/approvals?${query}`, { data: 1 })).json).toMatchObject({ record: { sequence: 1 } });
    expect((await plane.get(`${base}/inputs/approvals?${query}&limit=1`)).json.records).toHaveLength(1);
    expect((await plane.post(`${base}/outputs/progress?${query}`, { data: 2 })).json).toMatchObject({ record: { sequence: 1 } });
    expect((await plane.get(`${base}/outputs/progress?${query}`)).json.records).toHaveLength(1);
    expect((await plane.get(`${base}/outputs/progress/read?${query}`)).json.record).toMatchObject({ data: 2 });
    expect(await plane.get(`${base}/streams?external_id=nobody`)).toMatchObject({ status: 404 });
    expect(await plane.get(`${base}/streams?external_id=%20`)).toMatchObject({ status: 400 });
    expect(await plane.get(`${base}/streams`)).toMatchObject({ status: 400 });
  });
});

describe("sessions that ended", () => {
  test("take no input, and keep their records readable", async () => {
    const { session } = await plane.start();
    await input(session.id, { data: "before" });
    await output(session.id, { data: "out" });
    const cancelled = await plane.post(`/api/sessions/${session.id}/cancel`);
    expect(cancelled.json).toMatchObject({ status: "cancelled", error: { name: "TaskCancelled" } });
    expect(await input(session.id)).toMatchObject({ status: 409, json: { code: "session_terminal" } });
    expect((await plane.get(`${streamsOf(session.id)}/inputs/approvals`)).json.records).toHaveLength(1);
    expect((await plane.get(`${streamsOf(session.id)}/outputs/approvals`)).json.records).toHaveLength(1);
    expect((await output(session.id, { data: "late" })).json).toMatchObject({ record: { sequence: 2 } });
  });

  test("an expired one answers 410 session_expired, whether a run is live or not", async () => {
    const { session } = await plane.start({ expires_at: "2020-01-01T00:00:00Z" });
    expect(await input(session.id)).toMatchObject({ status: 410, json: { code: "session_expired" } });
    const over = await plane.program({ expires_at: "2020-01-01T00:00:00Z" });
    await over.succeed();
    expect(await input(over.sessionId)).toMatchObject({ status: 410, json: { code: "session_expired" } });
    expect((await plane.get(`/api/sessions/${over.sessionId}`)).json).toMatchObject({ status: "expired" });
    expect((await output(over.sessionId)).status).toBe(201);
  });
});

describe("flows (http §17)", () => {
  const session = async (id: string) => (await plane.get(`/api/sessions/${id}`)).json;
  const run = async (id: string) => (await plane.get(`/api/runs/${id}`)).json;

  test("wait and input", async () => {
    const program = await plane.program();
    const opened = await program.call({
      kind: "wait",
      on: { kind: "stream", stream: "approvals", correlation_id: "c1" },
      parkable: true,
      timeout_seconds: 600,
      metadata: { question: "deploy?" },
      tags: ["ops"],
    });
    expect(opened).toEqual({ state: "waiting", wait_id: expect.stringMatching(uuid) as string, live_ms: 120_000 });
    const waitId = opened.state === "waiting" ? opened.wait_id : "";
    expect(await session(program.sessionId)).toMatchObject({ activity: "waiting", can_close: false });
    expect(await run(program.runId)).toMatchObject({
      status: "running",
      pending_wait: {
        id: waitId,
        kind: "stream",
        status: "live",
        params: { stream: "approvals", correlation_id: "c1" },
        metadata: { question: "deploy?" },
        tags: ["ops"],
        timeout: 600,
        created_at: expect.stringMatching(instant) as string,
      },
    });
    expect((await session(program.sessionId)).blocked).toMatchObject({
      code: "wait_stream",
      details: { stream: "approvals", correlation_id: "c1" },
    });
    const sent = await input(program.sessionId, { data: { yes: true }, correlation_id: "c1" });
    expect(sent.status).toBe(201);
    expect(sent.json).not.toHaveProperty("continuation_status");
    expect(await program.resolved()).toEqual({ kind: "stream", status: "completed", record: sent.json.record });
    expect(await run(program.runId)).not.toHaveProperty("pending_wait");
    expect(await session(program.sessionId)).toMatchObject({ activity: "running" });
    const { events } = (await plane.get(`/api/runs/${program.runId}/events`)).json;
    expect(events.slice(1)).toMatchObject([
      {
        kind: "run_wait.created",
        message: "run_wait.created",
        attributes: { run_wait_id: waitId, kind: "stream", metadata: { question: "deploy?" }, tags: ["ops"], timeout: 600 },
      },
      { kind: "run_wait.completed", attributes: { run_wait_id: waitId, kind: "stream", payload: { yes: true } } },
    ]);
    await program.succeed();
    expect(await session(program.sessionId)).toMatchObject({ activity: "idle", can_close: true });
  });

  async function readBy(program: WireProgram, how: "wait" | "once" | "peek"): Promise<void> {
    const answer =
      how === "peek"
        ? await program.call({ kind: "stream.peek", stream: "approvals" })
        : await program.call({ kind: "wait", on: { kind: "stream", stream: "approvals" }, parkable: how === "wait" });
    expect(answer.state).toBe("answered");
  }

  test.each(["wait", "once", "peek"] as const)("input while running, not waiting, that the run reads by %s afterwards", async (how) => {
    const program = await plane.program();
    expect((await input(program.sessionId, { data: 1 })).json).toMatchObject({ continuation_status: "accepted_run_pending" });
    expect(await session(program.sessionId)).toMatchObject({ activity: "queued" });
    await readBy(program, how);
    expect(await session(program.sessionId)).toMatchObject({ activity: "running" });
    await program.succeed();
    expect(await session(program.sessionId)).toMatchObject({ activity: "idle", current_run_id: program.runId });
  });

  test("input while running that nobody reads: a new run after the present one ends, for each record, in order", async () => {
    const program = await plane.program({ payload: { p: 1 }, metadata: { m: 1 }, tags: ["t"] });
    const one = (await input(program.sessionId, { data: 1 })).json.record;
    const two = (await input(program.sessionId, { data: 2 }, "unused")).json.record;
    await program.succeed();
    const second = await plane.program({ id: program.sessionId });
    const created = (await plane.get(`/api/runs/${second.runId}/events`)).json.events[0];
    expect(created).toMatchObject({
      kind: "run.created",
      attributes: {
        reason: "input",
        cause: { kind: "stream_record", record_id: one.id, stream_id: one.stream_id, sequence: 1 },
        payload: { p: 1 },
        metadata: { m: 1 },
        tags: ["t"],
        task_id: "hello",
        secret_names: [],
        max_duration_seconds: 900,
        retry_policy: { enabled: false },
      },
    });
    await second.succeed();
    const third = await plane.program({ id: program.sessionId });
    expect((await plane.get(`/api/runs/${third.runId}/events`)).json.events[0].attributes.cause).toMatchObject({ record_id: two.id });
    await third.succeed();
    const { runs } = (await plane.get(`/api/sessions/${program.sessionId}/runs`)).json;
    expect(runs.map((row: Record<string, unknown>) => [row["run_id"], row["turn_index"], row["previous_run_id"], row["status"]])).toEqual([
      [program.runId, 0, undefined, "succeeded"],
      [second.runId, 1, program.runId, "succeeded"],
      [third.runId, 2, second.runId, "succeeded"],
    ]);
    expect((await plane.get(`/api/runs?session_id=${program.sessionId}&status=all`)).json.runs).toHaveLength(3);
  });

  test("input while idle: a run with the next turn, at once", async () => {
    const program = await plane.program();
    await program.succeed();
    const sent = await input(program.sessionId, { data: 1 });
    expect(sent.json).toMatchObject({ idempotency_status: "created", continuation_status: "created" });
    const after = await session(program.sessionId);
    expect(after).toMatchObject({ activity: "queued", can_close: false });
    expect(after.current_run_id).not.toBe(program.runId);
    expect(await plane.post(`/api/sessions/${program.sessionId}/close`)).toMatchObject({ status: 409, json: { code: "close_run_active" } });
    const next = await plane.program({ id: program.sessionId });
    await next.succeed();
    expect((await plane.post(`/api/sessions/${program.sessionId}/close`)).json).toMatchObject({ status: "closed" });
    expect(await input(program.sessionId)).toMatchObject({ status: 409, json: { code: "session_terminal" } });
  });

  test("a failed run is continued like any other, a cancelled session is not", async () => {
    const program = await plane.program();
    await input(program.sessionId);
    await program.run.complete({ status: "failed", exit_code: 1, failure_kind: "task_failed", reason: "threw", message: "no" });
    const second = await plane.program({ id: program.sessionId });
    expect((await plane.get(`/api/runs/${program.runId}`)).json).toMatchObject({ status: "failed" });
    await input(program.sessionId);
    await plane.post(`/api/sessions/${program.sessionId}/cancel`);
    await second.run.complete({ status: "cancelled", forced: false });
    expect((await plane.get(`/api/sessions/${program.sessionId}/runs`)).json.runs).toHaveLength(2);
  });
});
