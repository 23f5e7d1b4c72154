/**
 * For tests of streams, waits, tokens and schedules: the engine with everything of ours joined, a clock of the database that a test can move, transactions that
 * stop at a named statement until the test lets them go on, and programs that call.
 */
import type { ProjectIndex } from "@helmr/protocol/guest";
import type { StreamAppendBody } from "@helmr/protocol/api";
import type { ProgramCallRequest } from "@helmr/protocol/worker";
import { until } from "@helmr/test/services";
import { assert, required } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { isRefusal, type Refusal } from "../outcome.ts";
import type { Db, Queryable, Tx } from "../store/db.ts";
import type { Statement } from "../store/statement.ts";
import { isStale, type RunCall } from "../worker-actor.ts";
import { answerProgramCall, type CallAnswer } from "./answer-program-call.ts";
import { type Appended, appendInput } from "./append-stream-record.ts";
import { type Engine, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { sessionHooks } from "./session-hooks.ts";

const streams: ProjectIndex["streams"] = [
  { direction: "input", name: "answers", fingerprint: "f1" },
  { direction: "input", name: "orders", fingerprint: "f2" },
  { direction: "output", name: "answers", fingerprint: "f3" },
];

export type Call = ProgramCallRequest["call"];

/** A run that executes, as its program and its holder see it. */
export interface Program {
  sessionId: string;
  runId: string;
  held: RunCall;
  /** Each call has an id of its own unless one is given. */
  call(call: Call, callId?: number): Promise<CallAnswer>;
  lastCallId(): number;
}

export interface Sessions extends Engine {
  worker1: TestWorker;
  /** A new session whose first run executes. */
  program(body?: Parameters<Engine["start"]>[0]): Promise<Program>;
  /** The current run of a session executes. */
  programOf(sessionId: string): Promise<Program>;
  append(sessionId: string, body?: Partial<StreamAppendBody>, stream?: string): Promise<Appended>;
  tryAppend(sessionId: string, body?: Partial<StreamAppendBody>, stream?: string): Promise<Appended | Refusal>;
  /** Kinds of the timeline, and what they carry. */
  timeline(runId: string): Promise<{ kind: string; attributes: Record<string, unknown> }[]>;
  waitOf(answer: CallAnswer): Promise<Record<string, unknown>>;
}

export async function openSessions(shape: Partial<ProjectIndex> = {}): Promise<Sessions> {
  const engine: Engine = await openEngine(sessionHooks(() => engine.context));
  await engine.deploy({ streams, tasks: [taskDeclaration("hello")], ...shape });
  const worker1 = await engine.worker();
  const { context, scope } = engine;

  const sessions: Sessions = {
    ...engine,
    worker1,
    async program(body) {
      const { session } = await engine.start(body);
      return sessions.programOf(session.id);
    },
    async programOf(sessionId) {
      await context.gates.settled();
      const { id } = await engine.one<{ id: string }>("select current_run_id as id from sessions where id = $1", [sessionId]);
      const { call: held } = await engine.execute(worker1, id);
      let last = 0;
      return {
        sessionId,
        runId: id,
        held,
        lastCallId: () => last,
        async call(call, callId = (last += 1)) {
          const answer = await answerProgramCall(context, held, { callId, call });
          assert(!isStale(answer), "The call was stale");
          return answer;
        },
      };
    },
    async append(sessionId, body, stream) {
      const appended = await sessions.tryAppend(sessionId, body, stream);
      assert(!isRefusal(appended), `The append was refused: ${JSON.stringify(appended)}`);
      return appended;
    },
    tryAppend: (sessionId, body = {}, stream = "answers") =>
      appendInput(context, {
        environmentId: scope.environmentId,
        key: { id: sessionId },
        stream,
        body: { data: null, content_type: "application/json", ...body },
      }),
    timeline: (runId) => engine.sql("select kind, attributes from run_events where run_id = $1 order by seq", [runId]),
    async waitOf(answer) {
      assert(answer.state === "waiting", `No wait was opened: ${JSON.stringify(answer)}`);
      return engine.one("select * from run_waits where id = $1", [answer.waitId]);
    },
  };
  return sessions;
}

/** Drops and creates nothing but the clock: every `now()` of the server's statements becomes this one's. */
export interface Clock {
  advance(ms: number): Promise<void>;
  now(): Promise<Date>;
  set(instant: Date): Promise<void>;
}

/** The database's clock, moved by the test: a `now()` of our own stands before PostgreSQL's in the search path. */
export async function controlClock(engine: Engine): Promise<Clock> {
  await engine.sql("create schema clock");
  await engine.sql("create table clock.shift (amount interval not null)");
  await engine.sql("insert into clock.shift values ('0')");
  await engine.sql(
    "create function clock.now() returns timestamptz language sql stable as 'select pg_catalog.now() + (select amount from clock.shift)'",
  );
  const { name } = await engine.one<{ name: string }>("select current_database() as name");
  await engine.sql(`alter database "${name}" set search_path = clock, pg_catalog, public`);
  // Connections that were open keep the clock they had.
  await engine.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()");
  await until("connections know the clock", () => engine.context.db.tx(async () => true).catch(() => false));
  const now = async () => (await engine.one<{ now: Date }>("select pg_catalog.now() + (select amount from clock.shift) as now")).now;
  return {
    now,
    advance: async (ms) => void (await engine.sql("update clock.shift set amount = amount + $1 * interval '1 millisecond'", [ms])),
    set: async (instant) => void (await engine.sql("update clock.shift set amount = $1::timestamptz - pg_catalog.now()", [instant])),
  };
}

interface Paused {
  context: EngineContext;
  /** Resolves when a transaction of this context has come to the point. */
  reached: Promise<void>;
  release(): void;
}

export type Point = `before ${string}` | `after ${string}`;

/** The same context, but the first transaction that comes to the point stays there. */
function pauseAt(context: EngineContext, point: Point): Paused {
  const [phase, name] = point.split(" ") as ["before" | "after", string];
  let arrive = () => {};
  let release = () => {};
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  let used = false;
  const stop = async (at: "before" | "after", statement: string) => {
    if (used || at !== phase || statement !== name) return;
    used = true;
    arrive();
    await released;
  };
  const db = pausingDb(context.db, stop);
  return { context: { ...context, db }, reached, release: () => release() };
}

function pausingDb(db: Db, stop: (phase: "before" | "after", statement: string) => Promise<void>): Db {
  const around = async <T>(name: string, act: () => Promise<T>): Promise<T> => {
    await stop("before", name);
    const result = await act();
    await stop("after", name);
    return result;
  };
  const wrap = <Q extends Queryable>(on: Q): Q => ({
    ...on,
    all: <P extends object, R extends object>(statement: Statement<P, R>, params: P) =>
      around(statement.name, () => on.all(statement, params)),
    one: <P extends object, R extends object>(statement: Statement<P, R>, params: P) =>
      around(statement.name, () => on.one(statement, params)),
    run: <P extends object, R extends object>(statement: Statement<P, R>, params: P) =>
      around(statement.name, () => on.run(statement, params)),
  });
  return {
    ...wrap(db),
    tx: (body) =>
      db.tx(async (tx) => {
        const result = await body(wrap<Tx>(tx));
        await stop("before", "commit");
        return result;
      }),
  };
}

/**
 * `first` goes to the point and stays; `second` runs until it is done or waits for a lock that `first` holds; then both go on to their ends.
 * Fails when `first` never comes to the point: the test would not test what it says.
 */
export async function interleave<A, B>(
  engine: Engine,
  point: Point,
  acts: { first: (context: EngineContext) => Promise<A>; second: (context: EngineContext) => Promise<B> },
): Promise<{ first: A; second: B; secondWaited: boolean }> {
  const paused = pauseAt(engine.context, point);
  const first = acts.first(paused.context);
  const early = await Promise.race([paused.reached.then(() => "reached" as const), first.then(() => "done" as const)]);
  assert(early === "reached", `The first transaction never came to: ${point}`);
  let isDone = false;
  const second = acts.second(engine.context).finally(() => (isDone = true));
  let secondWaited = false;
  await until("the second transaction is done or waits", async () => {
    if (isDone) return true;
    const waiting = required((await engine.sql<{ count: string }>(waitingBackends))[0], "A count");
    secondWaited = Number(waiting.count) > 0;
    return secondWaited;
  });
  paused.release();
  const results = await Promise.all([first, second]);
  await engine.context.gates.settled();
  return { first: results[0], second: results[1], secondWaited };
}

const waitingBackends = "select count(*) as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
