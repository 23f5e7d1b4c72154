import { limits } from "@helmr/protocol/shared";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { cancelToken, completeToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { answerProgramCall, type CallAnswer } from "./answer-program-call.ts";
import { eachStep, failed, taskDeclaration } from "./engine.fixture.ts";
import { lookAtWait } from "./resolve-wait.ts";
import { type Call, controlClock, type Clock, openSessions, type Program, type Sessions } from "./sessions.fixture.ts";
import { readPush } from "./worker-directives.ts";
import { renewLeases } from "./renew-leases.ts";
import { isRefusal } from "../outcome.ts";

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  const retried = taskDeclaration("retried", {
    retry: { enabled: true, maxAttempts: 3, backoff: { minMs: 1, maxMs: 1, factor: 1, jitter: "none" } },
  });
  sessions = await openSessions({ tasks: [taskDeclaration("hello"), retried] });
  clock = await controlClock(sessions);
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;
const wait = (on: Extract<Call, { kind: "wait" }>["on"], over: Partial<Extract<Call, { kind: "wait" }>> = {}): Call => ({
  kind: "wait",
  on,
  parkable: true,
  ...over,
});
const onStream = (over: object = {}) => ({ kind: "stream" as const, stream: "answers", ...over });
const onToken = (id: string) => ({ kind: "token" as const, token_id: id });
const onTimer = (delayMs: number) => ({ kind: "timer" as const, delay_ms: delayMs });

async function newToken(timeoutMs = 60_000): Promise<string> {
  const created = await createToken(sessions.context, {
    environmentId: environmentId(),
    timeoutMs,
    tags: [],
    metadata: {},
    idempotencyKey: undefined,
  });
  if (isRefusal(created)) throw new TypeError(created.message);
  return created.token.id;
}
const complete = (id: string, data: unknown) =>
  completeToken(sessions.context, { environmentId: environmentId(), tokenId: id, data, byPublicToken: false });
const kinds = async (program: Program) => (await sessions.timeline(program.runId)).map((event) => event.kind).slice(1);
/** What the holder is told of this call, by push. */
async function pushed(program: Program, callId = program.lastCallId()) {
  const { directives } = await readPush(sessions.context, sessions.worker1);
  return directives.filter(
    (directive) => directive.type === "wait.resolved" && directive.lease_id === program.held.leaseId && directive.call_id === callId,
  );
}
const waitId = (answer: CallAnswer) => (answer.state === "waiting" ? answer.waitId : "");

describe("a wait on a stream", () => {
  test("opens, shows in the timeline and on the run, and takes the next record that fits", async () => {
    const program = await sessions.program();
    const answer = await program.call(
      wait(onStream({ after_sequence: 0, correlation_id: "c" }), {
        timeout_seconds: 300,
        metadata: { why: "approval" },
        tags: [" b ", "a", "b"],
      }),
    );
    expect(answer).toEqual({ state: "waiting", waitId: expect.any(String) as string, liveMs: 120_000 });
    expect((await sessions.timeline(program.runId)).at(-1)).toEqual({
      kind: "run_wait.created",
      attributes: {
        run_wait_id: waitId(answer),
        kind: "stream",
        params: { stream: "answers", correlation_id: "c" },
        metadata: { why: "approval" },
        tags: ["a", "b"],
        timeout: 300,
      },
    });
    expect(await sessions.waitOf(answer)).toMatchObject({ condition: "open", suspension: "live", parkable: true, timeout_seconds: 300 });
    // Another correlation does not fit: it asks for a run of its own.
    expect(await sessions.append(program.sessionId, { correlation_id: "other" })).toMatchObject({ continuation: "accepted_run_pending" });
    expect(await kinds(program)).toEqual(["run_wait.created"]);
    const taken = await sessions.append(program.sessionId, { data: { yes: true }, correlation_id: "c" });
    expect(taken).not.toHaveProperty("continuation");
    expect((await sessions.timeline(program.runId)).at(-1)).toEqual({
      kind: "run_wait.completed",
      attributes: { run_wait_id: waitId(answer), kind: "stream", payload: { yes: true } },
    });
    expect(await pushed(program)).toMatchObject([
      {
        wait_id: waitId(answer),
        outcome: {
          kind: "stream",
          status: "completed",
          record: { id: taken.record.id, sequence: 2, data: { yes: true }, correlation_id: "c" },
        },
      },
    ]);
    expect(sessions.hinted).toContain(`worker:${sessions.worker1.workerId}`);
    // A repeat of the call has the outcome.
    expect(await program.call(wait(onStream()), 1)).toMatchObject({
      state: "answered",
      value: { status: "completed", record: { sequence: 2 } },
    });
  });

  test("is answered at once when a record is there, and withdraws its continuation", async () => {
    const program = await sessions.program();
    const { record } = await sessions.append(program.sessionId, { data: "early" });
    expect(await program.call(wait(onStream()))).toMatchObject({
      state: "answered",
      value: { kind: "stream", status: "completed", record: { id: record.id } },
    });
    expect(await kinds(program)).toEqual(["run_wait.created", "run_wait.completed"]);
    expect(await sessions.sql("select state from continuations where record_id = $1", [record.id])).toEqual([{ state: "read" }]);
    expect(await program.call(wait(onStream({ after_sequence: 1 })))).toMatchObject({ state: "waiting" });
    await sessions.complete(program.held);
    expect(await sessions.one("select turn_count from sessions where id = $1", [program.sessionId])).toEqual({ turn_count: 1 });
  });

  test("once() that finds its record leaves no trace; one that waits does, and never parks", async () => {
    const program = await sessions.program();
    await sessions.append(program.sessionId, { data: 1 });
    const once = wait(onStream(), { parkable: false });
    expect(await program.call(once)).toMatchObject({ state: "answered", value: { record: { sequence: 1 } } });
    expect(await program.call(once)).toMatchObject({ state: "answered", value: { record: { sequence: 1 } } });
    expect(await kinds(program)).toEqual([]);
    expect(await sessions.sql("select state from continuations where session_id = $1", [program.sessionId])).toEqual([{ state: "read" }]);
    expect(await program.call(wait(onStream({ after_sequence: 1 }), { parkable: false }))).toEqual({
      state: "waiting",
      waitId: expect.any(String) as string,
      liveMs: undefined,
    });
    expect(await kinds(program)).toEqual(["run_wait.created"]);
  });

  test("times out, once", async () => {
    const program = await sessions.program();
    const answer = await program.call(wait(onStream(), { timeout_seconds: 30 }));
    expect(await lookAtWait(sessions.context, waitId(answer))).toBe(false);
    await clock.advance(31_000);
    expect(await lookAtWait(sessions.context, waitId(answer))).toBe(true);
    expect(await lookAtWait(sessions.context, waitId(answer))).toBe(false);
    expect(await kinds(program)).toEqual(["run_wait.created", "run_wait.timed_out"]);
    expect(await program.call(wait(onStream()), 1)).toEqual({ state: "answered", value: { kind: "stream", status: "timed_out" } });
    expect(await sessions.append(program.sessionId)).toMatchObject({ continuation: "accepted_run_pending" });
  });

  test("a stream that is not declared is refused, and so is an output stream", async () => {
    const program = await sessions.program();
    for (const stream of ["nowhere", "a\0b"])
      expect(await program.call(wait({ kind: "stream", stream }))).toMatchObject({ state: "refused", code: "stream_not_found" });
  });

  test("a run has a bounded number of open waits", async () => {
    const program = await sessions.program();
    for (let index = 0; index < 32; index += 1) await program.call(wait(onTimer(1_000_000)));
    expect(await program.call(wait(onTimer(1_000_000)))).toMatchObject({
      state: "refused",
      message: "a run can have at most 32 open waits",
    });
  });
});

describe("a wait on a token", () => {
  test("ends with the data the token is completed with", async () => {
    const program = await sessions.program();
    const id = await newToken();
    const answer = await program.call(wait(onToken(id.toUpperCase())));
    expect(await complete(id, { ok: 1 })).toMatchObject({ status: "completed" });
    expect((await sessions.timeline(program.runId)).slice(-2)).toEqual([
      {
        kind: "run_wait.created",
        attributes: { run_wait_id: waitId(answer), kind: "token", params: { token_id: id }, metadata: {}, tags: [] },
      },
      { kind: "run_wait.completed", attributes: { run_wait_id: waitId(answer), kind: "token", payload: { ok: 1 } } },
    ]);
    expect(await pushed(program)).toMatchObject([{ outcome: { kind: "token", status: "completed", data: { ok: 1 } } }]);
  });

  test("several runs may wait for one token", async () => {
    const programs = [await sessions.program(), await sessions.program(), await sessions.program()];
    const id = await newToken();
    for (const program of programs) await program.call(wait(onToken(id)));
    await complete(id, null);
    for (const program of programs) expect(await pushed(program)).toMatchObject([{ outcome: { status: "completed", data: null } }]);
  });

  test("a token that is decided already answers at once", async () => {
    const program = await sessions.program();
    const [completed, cancelled, expired] = [await newToken(), await newToken(), await newToken(1_000)];
    await complete(completed, "done");
    await cancelToken(sessions.context, { environmentId: environmentId(), tokenId: cancelled });
    await clock.advance(2_000);
    expect(await program.call(wait(onToken(completed)))).toEqual({
      state: "answered",
      value: { kind: "token", status: "completed", data: "done" },
    });
    expect(await program.call(wait(onToken(cancelled)))).toEqual({ state: "answered", value: { kind: "token", status: "cancelled" } });
    expect(await program.call(wait(onToken(expired)))).toEqual({ state: "answered", value: { kind: "token", status: "timed_out" } });
    expect(await kinds(program)).toEqual([
      "run_wait.created",
      "run_wait.completed",
      "run_wait.created",
      "run_wait.created",
      "run_wait.timed_out",
    ]);
  });

  test("a token that was cancelled ends the wait without a word in the timeline", async () => {
    const program = await sessions.program();
    const id = await newToken();
    await program.call(wait(onToken(id)));
    await cancelToken(sessions.context, { environmentId: environmentId(), tokenId: id });
    expect(await pushed(program)).toMatchObject([{ outcome: { kind: "token", status: "cancelled" } }]);
    expect(await kinds(program)).toEqual(["run_wait.created"]);
  });

  test("an unknown one, and one of another environment, are refused", async () => {
    const program = await sessions.program();
    const foreign = await newToken();
    const { id } = await sessions.one<{ id: string }>("select id from environments where id <> $1 limit 1", [environmentId()]);
    await sessions.sql("update tokens set environment_id = $1 where id = $2", [id, foreign]);
    for (const token of [foreign, "no-uuid", "01980a00-0000-7000-8000-00000000ffff"])
      expect(await program.call(wait(onToken(token)))).toMatchObject({ state: "refused", code: "token_not_found" });
  });
});

describe("a timer", () => {
  test("comes when its time has come", async () => {
    const program = await sessions.program();
    expect(await program.call(wait(onTimer(5_000)))).toMatchObject({ state: "waiting", liveMs: undefined });
    const long = await program.call(wait(onTimer(60_000), { timeout_seconds: 1 }));
    expect(long).toMatchObject({ state: "waiting", liveMs: 5_000 });
    expect((await sessions.timeline(program.runId)).at(-1)?.attributes).toEqual({
      run_wait_id: waitId(long),
      kind: "timer",
      params: { delay_ms: 60_000 },
      metadata: {},
      tags: [],
    });
    await clock.advance(59_000);
    expect(await lookAtWait(sessions.context, waitId(long))).toBe(false);
    await clock.advance(2_000);
    expect(await lookAtWait(sessions.context, waitId(long))).toBe(true);
    expect((await sessions.timeline(program.runId)).at(-1)?.attributes).toEqual({
      run_wait_id: waitId(long),
      kind: "timer",
      payload: null,
    });
    expect(await pushed(program)).toMatchObject([{ outcome: { kind: "timer", status: "completed" } }]);
  });
});

describe("giving a wait up", () => {
  test("cancels it, and its own answer says so", async () => {
    const program = await sessions.program();
    await program.call(wait(onStream()));
    expect(await program.call({ kind: "wait.cancel", wait_call_id: 1 })).toEqual({ state: "answered", value: null });
    expect(await program.call({ kind: "wait.cancel", wait_call_id: 1 })).toEqual({ state: "answered", value: null });
    expect(await pushed(program, 1)).toMatchObject([{ outcome: { kind: "stream", status: "cancelled" } }]);
    expect(await kinds(program)).toEqual(["run_wait.created"]);
    expect(await sessions.append(program.sessionId)).toMatchObject({ continuation: "accepted_run_pending" });
  });

  test("a wait that comes after it was given up is cancelled from the start", async () => {
    const program = await sessions.program();
    await program.call({ kind: "wait.cancel", wait_call_id: 9 });
    await program.call({ kind: "wait.cancel", wait_call_id: 9 });
    expect(await program.call(wait(onTimer(1_000)), 9)).toEqual({ state: "answered", value: { kind: "timer", status: "cancelled" } });
    expect(await kinds(program)).toEqual([]);
    expect(await pushed(program, 9)).toEqual([]);
  });

  test("what is decided already stays as it was", async () => {
    const program = await sessions.program();
    await sessions.append(program.sessionId, { data: 1 });
    await program.call(wait(onStream()));
    await program.call({ kind: "wait.cancel", wait_call_id: 1 });
    expect(await program.call(wait(onStream()), 1)).toMatchObject({ state: "answered", value: { status: "completed" } });
  });
});

describe("peeking and appending", () => {
  test("peek gives the first record or null, and withdraws its continuation", async () => {
    const program = await sessions.program();
    const peek = (over: object = {}) => program.call({ kind: "stream.peek", stream: "answers", ...over });
    expect(await peek()).toEqual({ state: "answered", value: null });
    const { record } = await sessions.append(program.sessionId, { data: 1, correlation_id: "c" });
    expect(await peek({ correlation_id: "other" })).toEqual({ state: "answered", value: null });
    expect(await sessions.sql("select state from continuations where record_id = $1", [record.id])).toEqual([{ state: "pending" }]);
    expect(await peek()).toMatchObject({ state: "answered", value: { id: record.id, data: 1, correlation_id: "c" } });
    expect(await peek({ after_sequence: 1 })).toEqual({ state: "answered", value: null });
    expect(await sessions.sql("select state from continuations where record_id = $1", [record.id])).toEqual([{ state: "read" }]);
    expect(await peek({ stream: "nowhere" })).toMatchObject({ state: "refused", code: "stream_not_found" });
  });

  test("an append is stored once per call", async () => {
    const program = await sessions.program();
    const append = (callId: number | undefined, over: object = {}) =>
      program.call({ kind: "stream.append", stream: "answers", data: { n: 1 }, ...over }, callId);
    const first = await append(100);
    expect(first).toMatchObject({ state: "answered", value: { sequence: 1, data: { n: 1 }, content_type: "application/json" } });
    expect(await append(100)).toEqual(first);
    expect(await append(101, { content_type: "text/plain", data: "a\0b" })).toMatchObject({
      value: { sequence: 2, content_type: "text/plain", data: "a\ufffdb" },
    });
    expect(await append(102, { stream: "orders" })).toMatchObject({ state: "refused", code: "stream_not_found" });
    expect(await append(103, { data: "x".repeat(limits.jsonValueBytesMax) })).toMatchObject({ state: "refused", code: "refused" });
  });
});

describe("creating a token", () => {
  const create = (program: Program, over: object = {}, callId?: number) => program.call({ kind: "token.create", ...over }, callId);

  test("is done once per call", async () => {
    const program = await sessions.program();
    const first = await create(program, { timeout_ms: 1_000, tags: ["b", "a"], metadata: { m: 1 } }, 50);
    expect(first).toMatchObject({ state: "token", token: { state: "pending", tags: ["a", "b"], metadata: { m: 1 } } });
    expect(await create(program, { timeout_ms: 1_000, tags: ["b", "a"], metadata: { m: 1 } }, 50)).toEqual(first);
    const second = await create(program, {}, 51);
    expect(second.state === "token" && first.state === "token" && second.token.id !== first.token.id).toBe(true);
  });

  test("with a key a retry attempt gets the same token, another run another one", async () => {
    const program = await sessions.program({ task_id: "retried" });
    const first = await create(program, { idempotency_key: " approve " });
    await sessions.complete(program.held, failed);
    await clock.advance(1_000);
    await sessions.sql("update run_queue set gate = 'open' where run_id = $1", [program.runId]);
    const again = await sessions.programOf(program.sessionId);
    expect(again.runId).toBe(program.runId);
    const second = await create(again, { idempotency_key: "approve" });
    expect(second).toMatchObject({ state: "token" });
    expect(first.state === "token" && second.state === "token" && first.token.id === second.token.id).toBe(true);
    expect(await create(again, { idempotency_key: "approve", timeout_ms: 1 })).toMatchObject({
      state: "refused",
      code: "idempotency_fingerprint_mismatch",
    });
    const other = await create(await sessions.program(), { idempotency_key: "approve" });
    expect(other.state === "token" && first.state === "token" && other.token.id !== first.token.id).toBe(true);
  });

  test("bounds what it carries", async () => {
    const program = await sessions.program();
    expect(await create(program, { tags: Array.from({ length: 33 }, (_, index) => `t${index}`) })).toMatchObject({ state: "refused" });
    expect(await create(program, { metadata: { text: "x".repeat(limits.waitMetadataBytesMax) } })).toMatchObject({ state: "refused" });
    expect(await program.call(wait(onTimer(1), { metadata: { text: "x".repeat(limits.waitMetadataBytesMax) } }))).toMatchObject({
      state: "refused",
    });
  });
});

describe("the fence", () => {
  test("a call of another lease, fence or attempt is stale and changes nothing", async () => {
    const program = await sessions.program();
    const call = wait(onStream());
    for (const over of [
      { fence: 99 },
      { attemptId: "01980a00-0000-7000-8000-00000000ffff" },
      { leaseId: "01980a00-0000-7000-8000-00000000ffff" },
    ])
      expect(await answerProgramCall(sessions.context, { ...program.held, ...over }, { callId: 1, call })).toEqual({ stale: true });
    expect(await kinds(program)).toEqual([]);
  });

  test("an attempt that has not started calls nothing; one that is being cancelled still may", async () => {
    const { run } = await sessions.start();
    const [lease] = await sessions.lease(sessions.worker1, [run.id]);
    const held = sessions.call(sessions.worker1, lease!);
    expect(await answerProgramCall(sessions.context, held, { callId: 1, call: wait(onStream()) })).toMatchObject({ state: "refused" });
    const program = await sessions.program();
    await program.call(wait(onStream()));
    await cancelRun(sessions.context, { environmentId: environmentId(), runId: program.runId, body: {} });
    expect(await program.call({ kind: "stream.append", stream: "answers", data: "bye" })).toMatchObject({ state: "answered" });
    await sessions.complete(program.held, { status: "cancelled", forced: false });
    expect(await sessions.sql("select condition from run_waits where run_id = $1", [program.runId])).toEqual([{ condition: "cancelled" }]);
    expect(await kinds(program)).toEqual(["run_wait.created", "run.cancel_requested", "run.cancelled"]);
  });
});

describe("what a holder is told", () => {
  test("a renewal answers for the calls it names, however long ago they were resolved", async () => {
    const program = await sessions.program();
    await program.call(wait(onStream()));
    await sessions.append(program.sessionId, { data: "late" });
    await sessions.sql("update run_waits set resolved_at = now() - interval '1 hour' where run_id = $1", [program.runId]);
    const renew = async (openCalls: number[]) => {
      const lease = { leaseId: program.held.leaseId, fence: program.held.fence, activeMs: null, openCalls };
      const renewed = await renewLeases(sessions.context, sessions.worker1, { epoch: sessions.worker1.epoch, leases: [lease] });
      return "held" in renewed ? renewed.held[0]?.directives : renewed;
    };
    expect(await renew([1])).toMatchObject([
      { type: "wait.resolved", call_id: 1, outcome: { status: "completed", record: { data: "late" } } },
    ]);
    expect(await renew([])).toEqual([]);
    expect(await renew([77])).toEqual([]);
    expect(await pushed(program, 1)).toEqual([]);
  });
});

test("every step of opening a wait may fail and be repeated: one wait, one event", async () => {
  const failures = await eachStep(sessions, {
    setup: () => sessions.program(),
    act: (program) => program.call(wait(onStream(), { timeout_seconds: 60 }), 1),
    check: async (program) => {
      expect(await sessions.sql("select condition from run_waits where run_id = $1", [program.runId])).toEqual([{ condition: "open" }]);
      expect(await kinds(program)).toEqual(["run_wait.created"]);
    },
  });
  expect(failures).toBeGreaterThan(8);
}, 60_000);

test("every step of resolving a wait may fail and be repeated: one outcome", async () => {
  const failures = await eachStep(sessions, {
    setup: async () => {
      const program = await sessions.program();
      const answer = await program.call(wait(onTimer(1)), 1);
      await clock.advance(5);
      return { program, id: waitId(answer) };
    },
    act: ({ id }) => lookAtWait(sessions.context, id),
    check: async ({ program }) => expect(await kinds(program)).toEqual(["run_wait.created", "run_wait.completed"]),
  });
  expect(failures).toBeGreaterThan(5);
}, 60_000);
