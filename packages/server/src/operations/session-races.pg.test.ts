/**
 * Two real transactions, one of them stopped at a named statement while the other one runs: whatever the order, a record or a completion is delivered once and
 * never missed, and an unread record gives one run. `interleave` fails when the first never comes to its point, so no case is empty.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import type { EngineContext } from "../engine-context.ts";
import { wakeWaits } from "../reconcilers/wake-waits.ts";
import { isStale } from "../worker-actor.ts";
import { answerProgramCall } from "./answer-program-call.ts";
import { appendInput } from "./append-stream-record.ts";
import { cancelRun } from "./cancel-run.ts";
import { completeAttempt } from "./complete-attempt.ts";
import { cancelToken, completeToken, expireToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { parkRun } from "./park-run.ts";
import { lookAtWait } from "./resolve-wait.ts";
import {
  type Call,
  type Clock,
  controlClock,
  interleave,
  openSessions,
  type Point,
  type Program,
  type Sessions,
} from "./sessions.fixture.ts";

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  sessions = await openSessions();
  clock = await controlClock(sessions);
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;
const onStream: Call = { kind: "wait", on: { kind: "stream", stream: "answers" }, parkable: true };
const onToken = (id: string, over: object = {}): Call => ({ kind: "wait", on: { kind: "token", token_id: id }, parkable: true, ...over });

const append = (sessionId: string) => (context: EngineContext) =>
  appendInput(context, {
    environmentId: environmentId(),
    key: { id: sessionId },
    stream: "answers",
    body: { data: "x", content_type: "application/json" },
  });
const call = (program: Program, request: Call) => (context: EngineContext) =>
  answerProgramCall(context, program.held, { callId: 1, call: request });
const complete = (tokenId: string) => (context: EngineContext) =>
  completeToken(context, { environmentId: environmentId(), tokenId, data: "done", byPublicToken: false });
const look = (waitId: string) => (context: EngineContext) => lookAtWait(context, waitId);
const end = (program: Program) => (context: EngineContext) =>
  completeAttempt(context, program.held, {
    end: { status: "succeeded", exit_code: 0 },
    activeMs: 1,
    reportThrough: 0,
    workspace: { status: "unchanged" },
  });
const cancel = (program: Program, force: boolean) => (context: EngineContext) =>
  cancelRun(context, { environmentId: environmentId(), runId: program.runId, body: { force } });

async function newToken(timeoutMs = 60_000): Promise<string> {
  const created = await createToken(sessions.context, {
    environmentId: environmentId(),
    timeoutMs,
    tags: [],
    metadata: {},
    idempotencyKey: undefined,
  });
  assert(!isRefusal(created), "A token is created");
  return created.token.id;
}

async function opened(program: Program, request: Call): Promise<string> {
  const answer = await program.call(request, 1);
  assert(answer.state === "waiting", "A wait is opened");
  return answer.waitId;
}

/** What became of the program's one wait, and what the timeline says of it. */
async function outcome(program: Program) {
  const waits = await sessions.sql<{ condition: string }>("select condition from run_waits where run_id = $1", [program.runId]);
  const kinds = (await sessions.timeline(program.runId)).map((event) => event.kind).filter((kind) => kind.startsWith("run_wait."));
  return { waits: waits.map((wait) => wait.condition), kinds };
}
const once = { waits: ["satisfied"], kinds: ["run_wait.created", "run_wait.completed"] };
const turns = async (sessionId: string) => (await sessions.sql("select 1 from runs where session_id = $1", [sessionId])).length;

describe("append × open-wait", () => {
  const points: Point[] = ["after session_lock", "after run_lock", "after stream_lock", "after stream_record_insert", "before commit"];
  test.each(points)("the append stops %s", async (point) => {
    const program = await sessions.program();
    await interleave(sessions, point, { first: append(program.sessionId), second: call(program, onStream) });
    expect(await outcome(program)).toEqual(once);
    expect(await sessions.sql("select 1 from continuations where session_id = $1 and state = 'pending'", [program.sessionId])).toEqual([]);
  });

  const others: Point[] = ["after lease_held_run", "after wait_open_count", "after stream_record_list", "after wait_open", "before commit"];
  test.each(others)("the wait stops %s", async (point) => {
    const program = await sessions.program();
    const { secondWaited } = await interleave(sessions, point, { first: call(program, onStream), second: append(program.sessionId) });
    expect(secondWaited).toBe(true);
    expect(await outcome(program)).toEqual(once);
    expect(await sessions.sql("select 1 from continuations where session_id = $1 and state = 'pending'", [program.sessionId])).toEqual([]);
  });
});

describe("complete-token × open-wait", () => {
  const points: Point[] = ["after token_lock", "after token_complete", "before commit"];
  test.each(points)("the completion stops %s", async (point) => {
    const program = await sessions.program();
    const id = await newToken();
    await interleave(sessions, point, { first: complete(id), second: call(program, onToken(id)) });
    expect(await outcome(program)).toEqual(once);
  });

  const others: Point[] = ["after lease_held_run", "after token_hold", "after wait_open", "before commit"];
  test.each(others)("the wait stops %s", async (point) => {
    const program = await sessions.program();
    const id = await newToken();
    await interleave(sessions, point, { first: call(program, onToken(id)), second: complete(id) });
    expect(await outcome(program)).toEqual(once);
  });
});

describe("complete-token × timeout", () => {
  async function timedOut(): Promise<{ program: Program; id: string; waitId: string }> {
    const program = await sessions.program();
    const id = await newToken(3_600_000);
    const waitId = await opened(program, onToken(id, { timeout_seconds: 1 }));
    await clock.advance(1_500);
    return { program, id, waitId };
  }
  const decidedOnce = async (program: Program) => {
    const { waits, kinds } = await outcome(program);
    expect(waits).toHaveLength(1);
    expect(kinds).toEqual(["run_wait.created", waits[0] === "satisfied" ? "run_wait.completed" : "run_wait.timed_out"]);
    return waits[0];
  };

  test.each(["after wait_lock", "after wait_get", "after wait_resolve", "before commit"] satisfies Point[])(
    "the timeout stops %s",
    async (point) => {
      const { program, id, waitId } = await timedOut();
      await interleave(sessions, point, { first: look(waitId), second: complete(id) });
      await decidedOnce(program);
    },
  );

  test.each(["after token_lock", "after token_complete"] satisfies Point[])("the completion stops %s", async (point) => {
    const { program, id, waitId } = await timedOut();
    await interleave(sessions, point, { first: complete(id), second: look(waitId) });
    await decidedOnce(program);
  });

  test("a completion that was first counts, although the timeout has passed when it is looked at", async () => {
    const { program, id } = await timedOut();
    await complete(id)(sessions.context);
    expect(await decidedOnce(program)).toBe("satisfied");
  });

  test("a token's own timeout and its completion: one of them", async () => {
    for (const point of ["after token_lock", "before commit"] satisfies Point[]) {
      const program = await sessions.program();
      const id = await newToken(1_000);
      await opened(program, onToken(id));
      await clock.advance(1_500);
      const { second } = await interleave(sessions, point, { first: (context) => expireToken(context, id), second: complete(id) });
      expect(second).toMatchObject({ status: 410, code: "token_expired" });
      expect(await decidedOnce(program)).toBe("timed_out");
    }
  });

  test("complete × cancel of a token: one of them", async () => {
    const program = await sessions.program();
    const id = await newToken();
    await opened(program, onToken(id));
    const { first, second } = await interleave(sessions, "after token_lock", {
      first: (context) => cancelToken(context, { environmentId: environmentId(), tokenId: id }),
      second: complete(id),
    });
    expect(first).toMatchObject({ state: "cancelled" });
    expect(second).toMatchObject({ code: "token_cancelled" });
    expect(await outcome(program)).toEqual({ waits: ["cancelled"], kinds: ["run_wait.created"] });
  });
});

describe("append × end-of-run: one more run, exactly", () => {
  test.each([
    "after session_lock",
    "after run_lock",
    "after stream_record_insert",
    "after continuation_insert",
    "before commit",
  ] satisfies Point[])("the append stops %s", async (point) => {
    const program = await sessions.program();
    const { first } = await interleave(sessions, point, { first: append(program.sessionId), second: end(program) });
    expect(first).toMatchObject({ continuation: "accepted_run_pending" });
    expect(await turns(program.sessionId)).toBe(2);
  });

  test.each(["after lease_ending_run", "after run_finish", "after continuation_oldest", "before commit"] satisfies Point[])(
    "the end of the run stops %s",
    async (point) => {
      const program = await sessions.program();
      const { second, secondWaited } = await interleave(sessions, point, { first: end(program), second: append(program.sessionId) });
      expect(secondWaited).toBe(true);
      expect(second).toMatchObject({ continuation: "created" });
      expect(await turns(program.sessionId)).toBe(2);
    },
  );

  test("two appends to an idle session: one run now, the other request waits behind it", async () => {
    const program = await sessions.program();
    await end(program)(sessions.context);
    const { first, second } = await interleave(sessions, "after continuation_insert", {
      first: append(program.sessionId),
      second: append(program.sessionId),
    });
    expect([first, second]).toMatchObject([{ continuation: "created" }, { continuation: "accepted_run_pending" }]);
    expect(await turns(program.sessionId)).toBe(2);
  });
});

describe("cancel × resolve", () => {
  test.each(["after run_lock", "after run_finish", "before commit"] satisfies Point[])("a forced cancel stops %s", async (point) => {
    const program = await sessions.program();
    const id = await newToken();
    await opened(program, onToken(id));
    const { second } = await interleave(sessions, point, { first: cancel(program, true), second: complete(id) });
    expect(second).toMatchObject({ status: "completed" });
    expect(await outcome(program)).toEqual({ waits: ["cancelled"], kinds: ["run_wait.created"] });
  });

  test.each(["after wait_lock", "after wait_resolve", "before commit"] satisfies Point[])("the resolution stops %s", async (point) => {
    const program = await sessions.program();
    const waitId = await opened(program, { kind: "wait", on: { kind: "timer", delay_ms: 1 }, parkable: true });
    await clock.advance(10);
    await interleave(sessions, point, { first: look(waitId), second: cancel(program, true) });
    expect(await outcome(program)).toEqual(once);
    expect(await sessions.one("select state, outcome from runs where id = $1", [program.runId])).toEqual({
      state: "finished",
      outcome: "cancelled",
    });
  });

  test.each(["after run_lock", "before commit"] satisfies Point[])(
    "an append to a run that is cancelled by force stops %s",
    async (point) => {
      const program = await sessions.program();
      await opened(program, onStream);
      await interleave(sessions, point, { first: append(program.sessionId), second: cancel(program, true) });
      expect(await outcome(program)).toEqual(once);
      expect(await turns(program.sessionId)).toBe(1);
    },
  );
});

const park = (program: Program, waitId: string) => async (context: EngineContext) => {
  const parked = await parkRun(context, program.held, parkRequest(sessions.scope.orgId, waitId));
  assert(!isStale(parked) && "state" in parked, `The park ended otherwise: ${JSON.stringify(parked)}`);
  return parked.state;
};

describe("suspend × complete-token", () => {
  const inQueue = (runId: string) =>
    sessions.sql("select resume, checkpoint_id is not null as saved from run_queue where run_id = $1", [runId]);

  test.each(["after lease_ending_run", "after wait_lock", "after wait_get", "after wait_park", "before commit"] satisfies Point[])(
    "the park stops %s: the run comes back",
    async (point) => {
      const program = await sessions.program();
      const id = await newToken();
      const waitId = await opened(program, onToken(id));
      const { first } = await interleave(sessions, point, { first: park(program, waitId), second: complete(id) });
      // Parked or called off, the outcome is there: with the holder, or with a run that is queued to resume.
      expect(await outcome(program)).toEqual(once);
      const state = await sessions.one("select state from runs where id = $1", [program.runId]);
      expect(first === "parked" ? { state, queue: await inQueue(program.runId) } : state).toEqual(
        first === "parked" ? { state: { state: "queued" }, queue: [{ resume: true, saved: true }] } : { state: "executing" },
      );
    },
  );

  test.each(["after token_lock", "after token_complete", "before commit"] satisfies Point[])("the completion stops %s", async (point) => {
    const program = await sessions.program();
    const id = await newToken();
    const waitId = await opened(program, onToken(id));
    await interleave(sessions, point, { first: complete(id), second: park(program, waitId) });
    expect(await outcome(program)).toEqual(once);
    expect(await sessions.sql("select 1 from runs where id = $1 and state = 'waiting'", [program.runId])).toEqual([]);
  });

  test("the process ends between the completion and its look: the loop brings the run back", async () => {
    const program = await sessions.program();
    const id = await newToken();
    const waitId = await opened(program, onToken(id));
    expect(await park(program, waitId)(sessions.context)).toBe("parked");
    let transactions = 0;
    const { db } = sessions.context;
    const tx: typeof db.tx = (body) => ((transactions += 1) > 1 ? Promise.reject(new Error("the process has ended")) : db.tx(body));
    const cut = { ...sessions.context, db: { ...db, tx } };
    expect(await complete(id)(cut)).toMatchObject({ status: "completed" });
    expect(await sessions.one("select state from runs where id = $1", [program.runId])).toEqual({ state: "waiting" });
    await wakeWaits(sessions.context).run();
    expect(await inQueue(program.runId)).toEqual([{ resume: true, saved: true }]);
    expect(await outcome(program)).toEqual(once);
  });

  test("records, timers and timeouts bring a parked run back, too; a cancel ends it", async () => {
    const byRecord = await sessions.program();
    await park(byRecord, await opened(byRecord, onStream))(sessions.context);
    expect(await append(byRecord.sessionId)(sessions.context)).not.toHaveProperty("continuation");
    const byTimer = await sessions.program();
    await park(byTimer, await opened(byTimer, { kind: "wait", on: { kind: "timer", delay_ms: 1_000 }, parkable: true }))(sessions.context);
    const byTimeout = await sessions.program();
    await park(byTimeout, await opened(byTimeout, { ...onStream, timeout_seconds: 1 }))(sessions.context);
    const cancelled = await sessions.program();
    await park(cancelled, await opened(cancelled, onStream))(sessions.context);
    await clock.advance(1_500);
    await wakeWaits(sessions.context).run();
    await cancel(cancelled, false)(sessions.context);
    for (const program of [byRecord, byTimer, byTimeout]) expect(await inQueue(program.runId)).toEqual([{ resume: true, saved: true }]);
    expect(await sessions.one("select state, outcome from runs where id = $1", [cancelled.runId])).toEqual({
      state: "finished",
      outcome: "cancelled",
    });
    expect((await outcome(byTimeout)).kinds).toEqual(["run_wait.created", "run_wait.timed_out"]);
    expect(await outcome(cancelled)).toEqual({ waits: ["cancelled"], kinds: ["run_wait.created"] });
  });
});
