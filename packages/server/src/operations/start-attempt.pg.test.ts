import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { startAttempt } from "./start-attempt.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const leased = async () => {
  const { run, session } = await engine.start();
  const [lease] = await engine.lease(worker, [run.id]);
  return { run, session, call: engine.call(worker, lease!) };
};

test("user code begins once; a repeat says the same", async () => {
  const { run, session, call } = await leased();
  expect(await startAttempt(engine.context, call)).toEqual({ state: "started" });
  expect(await startAttempt(engine.context, call)).toEqual({ state: "started" });
  expect(
    await engine.one(
      "select r.state, a.state as attempt, r.started_at is not null as started from runs r join run_attempts a on a.id = r.attempt_id where r.id = $1",
      [run.id],
    ),
  ).toEqual({ state: "executing", attempt: "running", started: true });
  expect(await engine.one("select state from workspace_mounts where workspace_id = $1", [session.workspace_id])).toEqual({
    state: "mounted",
  });
});

test("is told when the run is to stop, and is stale without the lease", async () => {
  const { run, call } = await leased();
  await startAttempt(engine.context, call);
  await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: {} });
  expect(await startAttempt(engine.context, call)).toEqual({ state: "cancelled" });
  await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { force: true } });
  expect(await startAttempt(engine.context, call)).toEqual({ stale: true });
  expect(await startAttempt(engine.context, { ...call, attemptId: "01980a00-0000-7000-8000-000000000001" })).toEqual({ stale: true });
});

test("each step may fail", async () => {
  await eachStep(engine, {
    setup: leased,
    act: ({ call }) => startAttempt(engine.context, call),
    check: async (_, result) => expect(result).toEqual({ state: "started" }),
  });
});
