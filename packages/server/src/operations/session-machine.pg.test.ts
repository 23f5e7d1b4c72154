/**
 * One session against a small model of it: whatever a program, its senders, token holders and the clock do in whatever order, streams, waits, tokens and
 * continuations stand where the model says after every step, and the answers are the model's. Failing sequences are shrunk by fast-check and printed.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert, required } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { expireTokens } from "../reconcilers/expire-tokens.ts";
import { wakeWaits } from "../reconcilers/wake-waits.ts";
import { cancelToken, completeToken } from "./complete-token.ts";
import { createToken } from "./create-token.ts";
import { type Call, type Clock, controlClock, openSessions, type Program, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  sessions = await openSessions();
  clock = await controlClock(sessions);
});
afterAll(() => sessions.close());

/** Times of the model: long beside what a test takes. */
const unitSeconds = 10_000;

interface ModelRecord {
  sequence: number;
  correlation: string | null;
  request: "none" | "pending" | "started" | "read";
}

interface ModelWait {
  callId: number;
  run: number;
  kind: "stream" | "token" | "timer";
  condition: "open" | "satisfied" | "timed_out" | "cancelled";
  after: number;
  correlation: string | null;
  token: number;
  deadline: number | null;
}

interface ModelToken {
  status: "pending" | "completed" | "expired" | "cancelled";
  data: number | null;
  deadline: number;
}

interface Model {
  now: number;
  run: number;
  lastCall: number;
  records: ModelRecord[];
  waits: ModelWait[];
  tokens: ModelToken[];
}

interface Real {
  sessionId: string;
  program: Program;
  tokens: string[];
  recordIds: string[];
}

const firstFit = (model: Model, after: number, correlation: string | null) =>
  model.records.find((record) => record.sequence > after && (correlation === null || record.correlation === correlation));
const openWaits = (model: Model) => model.waits.filter((wait) => wait.condition === "open");

function read(record: ModelRecord): void {
  if (record.request === "pending") record.request = "read";
}

/** Everything that time decides, in no particular order: each is its own. */
function passTime(model: Model): void {
  for (const token of model.tokens) if (token.status === "pending" && token.deadline <= model.now) token.status = "expired";
  for (const wait of openWaits(model)) {
    if (wait.kind === "token" && model.tokens[wait.token]?.status === "expired") wait.condition = "timed_out";
    else if (wait.deadline !== null && wait.deadline <= model.now) wait.condition = wait.kind === "timer" ? "satisfied" : "timed_out";
  }
}

async function compare(model: Model, real: Real): Promise<void> {
  const waits = await sessions.sql<{ call_id: string; condition: string }>(
    "select w.call_id, w.condition from run_waits w join runs r on r.id = w.run_id where r.session_id = $1 order by r.turn_index, w.call_id",
    [real.sessionId],
  );
  expect(waits.map((wait) => [Number(wait.call_id), wait.condition])).toEqual(model.waits.map((wait) => [wait.callId, wait.condition]));
  const records = await sessions.sql<{ sequence: string; request: string }>(
    `select r.sequence, coalesce(c.state, 'none') as request from session_streams t join stream_records r on r.stream_id = t.id
       left join continuations c on c.record_id = r.id where t.session_id = $1 and t.direction = 'input' order by r.sequence`,
    [real.sessionId],
  );
  expect(records.map((record) => [Number(record.sequence), record.request])).toEqual(
    model.records.map((record) => [record.sequence, record.request]),
  );
  const tokens = await sessions.sql<{ id: string; state: string }>("select id, state from tokens where id = any($1::uuid[])", [
    real.tokens,
  ]);
  const states = new Map(tokens.map((token) => [token.id, token.state]));
  expect(real.tokens.map((id) => states.get(id))).toEqual(model.tokens.map((token) => token.status));
  expect(await sessions.one("select turn_count from sessions where id = $1", [real.sessionId])).toEqual({ turn_count: model.run + 1 });
}

type Command = fc.AsyncCommand<Model, Real>;

function command(name: string, run: (model: Model, real: Real) => Promise<void>, check: (model: Model) => boolean = () => true): Command {
  return {
    check: (model) => check(model),
    async run(model, real) {
      await run(model, real);
      await compare(model, real);
    },
    toString: () => name,
  };
}

const append = (correlation: string | null): Command =>
  command(`append(${correlation})`, async (model, real) => {
    const sequence = model.records.length + 1;
    const record: ModelRecord = { sequence, correlation, request: "none" };
    model.records.push(record);
    const taken = openWaits(model).filter(
      (wait) => wait.kind === "stream" && wait.after < sequence && (wait.correlation === null || wait.correlation === correlation),
    );
    for (const wait of taken) wait.condition = "satisfied";
    if (taken.length === 0) record.request = "pending";
    const appended = await sessions.append(real.sessionId, {
      data: sequence,
      ...(correlation === null ? {} : { correlation_id: correlation }),
    });
    real.recordIds.push(appended.record.id);
    expect([appended.record.sequence, appended.continuation]).toEqual([sequence, taken.length === 0 ? "accepted_run_pending" : undefined]);
  });

const nextCall = (model: Model) => (model.lastCall += 1);
const deadlineIn = (model: Model, units: number | null) => (units === null ? null : model.now + units);
const timeoutOf = (units: number | null) => (units === null ? {} : { timeout_seconds: units * unitSeconds });

interface StreamWait {
  after: number;
  correlation: string | null;
  timeout: number | null;
  parkable: boolean;
}

const waitStream = ({ after, correlation, timeout, parkable }: StreamWait): Command =>
  command(`wait(stream after ${after}, ${correlation}, ${timeout}, ${parkable ? "durable" : "live"})`, async (model, real) => {
    const found = firstFit(model, after, correlation);
    const callId = nextCall(model);
    if (found) read(found);
    const deadline = deadlineIn(model, timeout);
    const wait: ModelWait = {
      callId,
      run: model.run,
      kind: "stream",
      condition: found ? "satisfied" : "open",
      after,
      correlation,
      token: -1,
      deadline,
    };
    if (!found || parkable) model.waits.push(wait);
    const on = {
      kind: "stream" as const,
      stream: "answers",
      after_sequence: after,
      ...(correlation === null ? {} : { correlation_id: correlation }),
    };
    const answer = await real.program.call({ kind: "wait", on, parkable, ...timeoutOf(timeout) }, callId);
    if (found)
      expect(answer).toMatchObject({
        state: "answered",
        value: { kind: "stream", status: "completed", record: { sequence: found.sequence } },
      });
    else expect(answer).toMatchObject({ state: "waiting" });
  });

const waitTimer = (units: number): Command =>
  command(`wait(timer ${units})`, async (model, real) => {
    const callId = nextCall(model);
    model.waits.push({
      callId,
      run: model.run,
      kind: "timer",
      condition: "open",
      after: 0,
      correlation: null,
      token: -1,
      deadline: model.now + units,
    });
    const request: Call = { kind: "wait", on: { kind: "timer", delay_ms: units * unitSeconds * 1_000 }, parkable: true };
    expect(await real.program.call(request, callId)).toMatchObject({ state: "waiting" });
  });

const waitToken = (pick: number, timeout: number | null): Command =>
  command(
    `wait(token ${pick}, ${timeout})`,
    async (model, real) => {
      const token = pick % model.tokens.length;
      const { status } = required(model.tokens[token], "The token is there");
      const callId = nextCall(model);
      const condition = ({ pending: "open", completed: "satisfied", cancelled: "cancelled", expired: "timed_out" } as const)[status];
      model.waits.push({
        callId,
        run: model.run,
        kind: "token",
        condition,
        after: 0,
        correlation: null,
        token,
        deadline: deadlineIn(model, timeout),
      });
      const on = { kind: "token" as const, token_id: required(real.tokens[token], "The token is there") };
      const answer = await real.program.call({ kind: "wait", on, parkable: true, ...timeoutOf(timeout) }, callId);
      if (status === "pending") expect(answer).toMatchObject({ state: "waiting" });
      else
        expect(answer).toMatchObject({ state: "answered", value: { kind: "token", status: status === "expired" ? "timed_out" : status } });
    },
    (model) => model.tokens.length > 0,
  );

const newToken = (units: number): Command =>
  command(`token(${units})`, async (model, real) => {
    model.tokens.push({ status: "pending", data: null, deadline: model.now + units });
    const input = {
      environmentId: sessions.scope.environmentId,
      timeoutMs: units * unitSeconds * 1_000,
      tags: [],
      metadata: {},
      idempotencyKey: undefined,
    };
    const created = await createToken(sessions.context, input);
    assert(!isRefusal(created), "A token is created");
    real.tokens.push(created.token.id);
  });

const decideToken = (how: "complete" | "cancel", pick: number, data: number): Command =>
  command(
    `${how}(token ${pick}, ${data})`,
    async (model, real) => {
      const index = pick % model.tokens.length;
      const token = required(model.tokens[index], "The token is there");
      const address = { environmentId: sessions.scope.environmentId, tokenId: required(real.tokens[index], "The token is there") };
      const before = { ...token };
      if (token.status === "pending") {
        Object.assign(token, how === "complete" ? { status: "completed", data } : { status: "cancelled" });
        for (const wait of openWaits(model).filter((one) => one.kind === "token" && one.token === index))
          wait.condition = how === "complete" ? "satisfied" : "cancelled";
      }
      const answer =
        how === "complete"
          ? await completeToken(sessions.context, { ...address, data, byPublicToken: false })
          : await cancelToken(sessions.context, address);
      expect(isRefusal(answer) ? answer.code : "status" in answer ? answer.status : answer.state).toBe(expectedAnswer(how, before, data));
    },
    (model) => model.tokens.length > 0,
  );

function expectedAnswer(how: "complete" | "cancel", { status, data }: ModelToken, given: number): string {
  if (status === "pending") return how === "complete" ? "completed" : "cancelled";
  if (status === "completed")
    return how === "cancel" ? "token_completed" : data === given ? "already_completed" : "token_completion_conflict";
  return `token_${status}`;
}

const peek = (after: number, correlation: string | null): Command =>
  command(`peek(after ${after}, ${correlation})`, async (model, real) => {
    const found = firstFit(model, after, correlation);
    if (found) read(found);
    const answer = await real.program.call(
      { kind: "stream.peek", stream: "answers", after_sequence: after, ...(correlation === null ? {} : { correlation_id: correlation }) },
      nextCall(model),
    );
    expect(answer).toMatchObject({ state: "answered", value: found ? { sequence: found.sequence } : null });
  });

const giveUp = (pick: number): Command =>
  command(
    `giveUp(${pick})`,
    async (model, real) => {
      const waits = model.waits.filter((wait) => wait.run === model.run);
      const wait = required(waits[pick % waits.length], "A wait of this run");
      if (wait.condition === "open") wait.condition = "cancelled";
      expect(await real.program.call({ kind: "wait.cancel", wait_call_id: wait.callId }, nextCall(model))).toEqual({
        state: "answered",
        value: null,
      });
    },
    (model) => model.waits.some((wait) => wait.run === model.run),
  );

const advance = (units: number): Command =>
  command(`advance(${units})`, async (model) => {
    model.now += units;
    passTime(model);
    await clock.advance(units * unitSeconds * 1_000);
    // Lives of sessions and leases are not what this is about.
    await sessions.sql("update leases set deadline = deadline + $1 * interval '1 second' where state = 'held'", [units * unitSeconds]);
    await expireTokens(sessions.context).run();
    await wakeWaits(sessions.context).run();
  });

/** The run returns; what is unread goes on with the next one, and when nothing is, a record is sent to begin it. */
const endRun: Command = command("end", async (model, real) => {
  for (const wait of openWaits(model)) wait.condition = "cancelled";
  await sessions.complete(real.program.held);
  let next = model.records.find((record) => record.request === "pending");
  if (!next) {
    const appended = await sessions.append(real.sessionId, { data: "again" });
    expect(appended.continuation).toBe("created");
    real.recordIds.push(appended.record.id);
    next = { sequence: model.records.length + 1, correlation: null, request: "pending" };
    model.records.push(next);
  }
  next.request = "started";
  model.run += 1;
  model.lastCall = 0;
  real.program = await sessions.programOf(real.sessionId);
  const [created] = await sessions.timeline(real.program.runId);
  expect(created?.attributes).toMatchObject({
    reason: "input",
    cause: { record_id: real.recordIds[next.sequence - 1], sequence: next.sequence },
  });
});

const correlation = fc.constantFrom(null, null, "a", "b");
const after = fc.integer({ min: 0, max: 4 });
const timeout = fc.constantFrom(null, 1, 2, 5);
const pick = fc.nat({ max: 5 });

const anyCommand: fc.Arbitrary<Command>[] = [
  correlation.map(append),
  correlation.map(append),
  fc.record({ after, correlation, timeout, parkable: fc.boolean() }).map(waitStream),
  fc.integer({ min: 1, max: 4 }).map(waitTimer),
  fc.integer({ min: 1, max: 4 }).map(newToken),
  fc.tuple(pick, timeout).map(([index, units]) => waitToken(index, units)),
  fc
    .tuple(fc.constantFrom("complete" as const, "cancel" as const), pick, fc.integer({ min: 0, max: 1 }))
    .map(([how, index, data]) => decideToken(how, index, data)),
  fc.tuple(after, correlation).map(([sequence, id]) => peek(sequence, id)),
  pick.map(giveUp),
  fc.integer({ min: 1, max: 3 }).map(advance),
  fc.constant(endRun),
];

test("a session does what the model does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(anyCommand, { maxCommands: 30 }), async (commands) => {
      const program = await sessions.program();
      const real: Real = { sessionId: program.sessionId, program, tokens: [], recordIds: [] };
      await fc.asyncModelRun(
        () => ({ model: { now: 0, run: 0, lastCall: 0, records: [], waits: [], tokens: [] } as Model, real }),
        commands,
      );
      await sessions.complete(real.program.held);
    }),
    { numRuns: 60, endOnFailure: false },
  );
  expect(await sessions.invariants()).toEqual([]);
}, 180_000);
