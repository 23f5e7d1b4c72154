/**
 * Runs against a small model of them: whatever callers, workers and the clock do in whatever order, every run, attempt, session and workspace head
 * stands where the model says after every step, answers to late callers are the model's, and nobody waits at a gate that could be passed. Failing
 * sequences are shrunk by fast-check and printed.
 */
import type { AttemptEnd } from "@helmr/protocol/worker";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { required } from "../assert.ts";
import type { SessionState } from "../domain/session.ts";
import { engineLimits } from "../limits.ts";
import { isRefusal } from "../outcome.ts";
import { undelayRuns } from "../reconcilers/place-runs.ts";
import { isStale, type RunCall } from "../worker-actor.ts";
import { cancelRun } from "./cancel-run.ts";
import { cancelSession } from "./cancel-session.ts";
import { closeSession } from "./close-session.ts";
import { type Engine, failed, openEngine, succeeded, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { reportAttempt } from "./report-attempt.ts";
import { startAttempt } from "./start-attempt.ts";

let engine: Engine;
let worker: TestWorker;
const laneLimit = 2;
const attemptsOf = { hello: 1, again: 3, limited: 2 };
type Task = keyof typeof attemptsOf;

beforeAll(async () => {
  engine = await openEngine();
  const retry = (maxAttempts: number) => ({ retry: { maxAttempts, backoff: { minMs: 60_000, maxMs: 60_000, jitter: "none" as const } } });
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("again", retry(attemptsOf.again)),
      taskDeclaration("limited", { queue: "few", ...retry(attemptsOf.limited) }),
    ],
    queues: [{ id: "few", concurrencyLimit: laneLimit }],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

interface ModelRun {
  id: string;
  sessionId: string;
  workspace: number;
  task: Task;
  state: "queued" | "leased" | "executing" | "cancelling" | "finished";
  outcome: "succeeded" | "failed" | "cancelled" | "dead_lettered" | null;
  session: SessionState;
  attempt: number;
  delayed: boolean;
  lostStarts: number;
  call: RunCall | undefined;
}

/** A holder that is one no longer, and what it is told when it speaks again. */
interface Late {
  call: RunCall;
  answer: { state: "finished" | "retrying" } | "stale";
}

interface Model {
  runs: ModelRun[];
  late: Late[];
  workspaces: { id: string; head: string | null }[];
}

/** What the model has no say in: it lives in PostgreSQL. */
type Real = Record<never, never>;
type Command = fc.AsyncCommand<Model, Real>;

const held = (run: ModelRun) => run.state === "leased" || run.state === "executing" || run.state === "cancelling";
const live = (run: ModelRun) => run.state !== "finished";

async function compare(model: Model): Promise<void> {
  await engine.context.gates.settled();
  const ids = model.runs.map((run) => run.id);
  const stored = await engine.sql(
    `select r.id, r.state, r.outcome, coalesce(a.number, 1) as attempt, r.lost_starts, s.state as session, coalesce(q.gate = 'delayed', false) as delayed
       from runs r join sessions s on s.id = r.session_id left join run_attempts a on a.id = r.attempt_id left join run_queue q on q.run_id = r.id
      where r.id = any($1::uuid[]) order by array_position($1::uuid[], r.id)`,
    [ids],
  );
  const expected = model.runs.map(({ id, state, outcome, attempt, lostStarts, session, delayed }) => ({
    id,
    state,
    outcome,
    attempt,
    session,
    delayed,
    lost_starts: lostStarts,
  }));
  expect(stored).toEqual(expected);
  const heads = await engine.sql<{ head: string }>(
    "select current_version_id as head from workspaces where id = any($1::uuid[]) order by array_position($1::uuid[], id)",
    [model.workspaces.map((workspace) => workspace.id)],
  );
  expect(heads.map((row) => row.head)).toEqual(model.workspaces.map((workspace, index) => workspace.head ?? heads[index]?.head));
  await nobodyWaitsInVain();
}

/** Work conservation: at rest, what stands at a gate is held back by something. */
async function nobodyWaitsInVain(): Promise<void> {
  const workspaces = await engine.sql(
    `select q.run_id from run_queue q where q.gate = 'workspace'
        and not exists (select from run_queue o where o.workspace_id = q.workspace_id and o.gate in ('lane', 'open'))
        and not exists (select from leases l join runs r on r.id = l.run_id where l.state = 'held' and r.workspace_id = q.workspace_id)`,
  );
  expect(workspaces).toEqual([]);
  const lanes = await engine.sql(
    `select q.lane from run_queue q where q.gate = 'lane' and q.lane_limit >
        (select count(*) from run_queue o where o.lane = q.lane and o.gate = 'open') + (select count(*) from leases l where l.lane = q.lane and l.state = 'held')`,
  );
  expect(lanes).toEqual([]);
}

function command(name: string, run: (model: Model) => Promise<void>, check: (model: Model) => boolean = () => true): Command {
  return {
    check: (model) => check(model),
    async run(model) {
      await run(model);
      await compare(model);
    },
    toString: () => name,
  };
}

/** A command about one run out of those that fit. */
function about(name: string, pick: number, fits: (run: ModelRun) => boolean, act: (run: ModelRun, model: Model) => Promise<void>): Command {
  return command(
    `${name}(${pick})`,
    async (model) => {
      const fitting = model.runs.filter(fits);
      await act(required(fitting[pick % fitting.length], "A run fits"), model);
    },
    (model) => model.runs.some(fits),
  );
}

function endHold(model: Model, run: ModelRun, answer: Late["answer"]): void {
  if (run.call) model.late.push({ call: run.call, answer });
  run.call = undefined;
}

function finish(model: Model, run: ModelRun, outcome: ModelRun["outcome"], answer: Late["answer"]): void {
  endHold(model, run, answer);
  Object.assign(run, { state: "finished", outcome, delayed: false });
}

/** The attempt failed, and the policy decides. */
function fail(model: Model, run: ModelRun, answer: (state: "finished" | "retrying") => Late["answer"]): "finished" | "retrying" {
  if (run.attempt >= attemptsOf[run.task]) {
    finish(model, run, "failed", answer("finished"));
    return "finished";
  }
  endHold(model, run, answer("retrying"));
  Object.assign(run, { state: "queued", attempt: run.attempt + 1, delayed: true });
  return "retrying";
}

/** In a workspace of its own, or in one that others use too. */
const start = (task: Task, shared: number | null): Command =>
  command(`start(${task}, ${shared})`, async (model) => {
    const known = shared === null ? undefined : model.workspaces[shared];
    const { run, session } = await engine.start({ task_id: task, ...(known ? { workspace_id: known.id } : {}) });
    if (!known) model.workspaces.push({ id: session.workspace_id, head: null });
    model.runs.push({
      id: run.id,
      sessionId: session.id,
      task,
      workspace: known && shared !== null ? shared : model.workspaces.length - 1,
      state: "queued",
      outcome: null,
      session: "open",
      attempt: 1,
      delayed: false,
      lostStarts: 0,
      call: undefined,
    });
  });

/** Leases what is open; which run that is depends on the gates, and is checked by itself. */
const lease = (pick: number): Command =>
  command(`lease(${pick})`, async (model) => {
    const open = await engine.sql<{ run_id: string }>("select run_id from run_queue where gate = 'open' order by ready_at, run_id");
    const chosen = open[pick % Math.max(open.length, 1)];
    if (!chosen) {
      const waiting = model.runs.some((run) => run.state === "queued" && !run.delayed);
      expect(waiting).toBe(waiting && model.runs.some(held));
      return;
    }
    const run = required(
      model.runs.find((one) => one.id === chosen.run_id),
      "What is open is of the model",
    );
    const others = model.runs.filter((one) => one !== run && held(one));
    expect(others.some((one) => one.workspace === run.workspace)).toBe(false);
    if (run.task === "limited") expect(others.filter((one) => one.task === "limited").length).toBeLessThan(laneLimit);
    const [granted] = await engine.lease(worker, [run.id]);
    expect(granted?.run).toMatchObject({ id: run.id, attempt_number: run.attempt });
    run.call = engine.call(worker, required(granted, "An open run is leased"));
    run.state = "leased";
  });

const begin = (pick: number) =>
  about(
    "begin",
    pick,
    (run) => run.state === "leased",
    async (run) => {
      expect(await startAttempt(engine.context, required(run.call, "A held run has a holder"))).toMatchObject({ state: "started" });
      run.state = "executing";
    },
  );

const complete = (pick: number, end: AttemptEnd, capture: boolean) =>
  about(
    `complete ${end.status}${capture ? " with a version" : ""}`,
    pick,
    (run) => run.state === "executing" || run.state === "cancelling",
    async (run, model) => {
      const call = required(run.call, "A held run has a holder");
      const workspace = capture ? engine.captured() : { status: "unchanged" as const };
      if (workspace.status === "captured") required(model.workspaces[run.workspace], "It has a workspace").head = workspace.version_id;
      let state: "finished" | "retrying" = "finished";
      if (run.state === "cancelling") finish(model, run, "cancelled", { state });
      else if (end.status === "succeeded") finish(model, run, "succeeded", { state });
      else state = fail(model, run, (answer) => ({ state: answer }));
      expect(await engine.complete(call, end, { workspace })).toEqual({ state });
    },
  );

const lose = (pick: number) =>
  about("lose", pick, held, async (run, model) => {
    const { leaseId } = required(run.call, "A held run has a holder");
    if (run.state === "cancelling") finish(model, run, "cancelled", "stale");
    else if (run.state === "executing") fail(model, run, () => "stale");
    else if (run.lostStarts + 1 >= engineLimits.lostStartsMax) finish(model, run, "dead_lettered", "stale");
    else {
      endHold(model, run, "stale");
      Object.assign(run, { state: "queued", lostStarts: run.lostStarts + 1 });
    }
    expect(await loseLease(engine.context, { id: leaseId, kind: "run" }, "fenced")).toBe(true);
  });

function cancelInModel(model: Model, run: ModelRun, force: boolean): void {
  if (!live(run)) return;
  if (force || run.state === "queued" || run.state === "leased") finish(model, run, "cancelled", "stale");
  else run.state = "cancelling";
}

const cancel = (pick: number, force: boolean) =>
  about(
    `cancel${force ? " by force" : ""}`,
    pick,
    () => true,
    async (run, model) => {
      const applied = live(run);
      cancelInModel(model, run, force);
      const answer = await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { force } });
      expect(isRefusal(answer) ? answer : answer.operation.state).toBe(applied ? "applied" : "rejected");
    },
  );

const endSession = (pick: number, how: "close" | "cancel") =>
  about(
    `${how} session`,
    pick,
    () => true,
    async (run, model) => {
      const before = run.session;
      const was = { close: "closed", cancel: "cancelled" } as const;
      const active = how === "close" && before === "open" && live(run);
      if (before === "open" && !active) run.session = was[how];
      if (before === "open" && how === "cancel") cancelInModel(model, run, false);
      const operation = how === "close" ? closeSession : cancelSession;
      const answer = await operation(engine.context, {
        environmentId: engine.scope.environmentId,
        key: { id: run.sessionId },
        reason: undefined,
      });
      const code = active ? "close_run_active" : before === "open" || before === was[how] ? was[how] : "session_terminal";
      expect(isRefusal(answer) ? answer.code : answer.state).toBe(code);
    },
  );

/** A holder whose lease ended speaks once more: in none of the ways it can does it change anything. */
const speakLate = (pick: number): Command =>
  command(
    `speakLate(${pick})`,
    async ({ late }) => {
      const { call, answer } = required(late[pick % late.length], "Somebody is late");
      expect(await engine.complete(call)).toEqual(answer === "stale" ? { stale: true } : answer);
      expect(isStale(await startAttempt(engine.context, call))).toBe(true);
      const operation = { op: "set" as const, key: "late", value: true };
      const report = { first: 1, items: [{ kind: "metadata" as const, operation, age_ms: 0 }] };
      expect(await reportAttempt(engine.context, call, report)).toEqual({ stale: true });
    },
    ({ late }) => late.length > 0,
  );

const passTime: Command = command("passTime", async ({ runs }) => {
  for (const run of runs) run.delayed = false;
  await engine.sql("update run_queue set ready_at = now() where gate = 'delayed'");
  await undelayRuns(engine.context).run();
});

const pick = fc.nat({ max: 7 });
const anyCommand: fc.Arbitrary<Command>[] = [
  fc.tuple(fc.constantFrom<Task>("hello", "again", "limited", "limited"), fc.constantFrom(null, null, 0, 1)).map((args) => start(...args)),
  pick.map(lease),
  pick.map(lease),
  pick.map(begin),
  pick.map(begin),
  fc.tuple(pick, fc.constantFrom(succeeded, failed), fc.boolean()).map((args) => complete(...args)),
  pick.map(lose),
  fc.tuple(pick, fc.boolean()).map((args) => cancel(...args)),
  fc.tuple(pick, fc.constantFrom("close" as const, "cancel" as const)).map((args) => endSession(...args)),
  pick.map(speakLate),
  fc.constant(passTime),
];

test("runs do what the model does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(anyCommand, { maxCommands: 50 }), async (commands) => {
      const model: Model = { runs: [], late: [], workspaces: [] };
      await fc.asyncModelRun(() => ({ model, real: {} }), commands);
      expect(await engine.invariants()).toEqual([]);
      const key = { environmentId: engine.scope.environmentId, body: { force: true } };
      for (const run of model.runs.filter(live)) await cancelRun(engine.context, { ...key, runId: run.id });
      await engine.context.gates.settled();
    }),
    { numRuns: 60, endOnFailure: false },
  );
}, 180_000);
