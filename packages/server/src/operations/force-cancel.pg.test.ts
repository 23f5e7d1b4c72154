import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { forceCancel } from "./force-cancel.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const cancelling = async () => {
  const { run } = await engine.start();
  const { call } = await engine.execute(worker, run.id);
  await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { reason: "late" } });
  return { run, call };
};
const force = (id: string) => forceCancel(engine.context, engine.scope.environmentId, id);
const overdue = (id: string) => engine.sql("update runs set cancel_due_at = now() - interval '1 second' where id = $1", [id]);

test("a holder that does not stop in time is fenced, and the run ends with the reason that was given", async () => {
  const { run, call } = await cancelling();
  expect(await force(run.id)).toBe(false);
  await overdue(run.id);
  expect(await force(run.id)).toBe(true);
  expect(await force(run.id)).toBe(false);
  expect(await engine.complete(call)).toEqual({ stale: true });
  expect(await engine.one("select attributes from run_events where run_id = $1 and kind = 'run.cancelled'", [run.id])).toEqual({
    attributes: { reason: "late", origin: "cancel_operation" },
  });
  expect(await engine.invariants()).toEqual([]);
});

test("cancel × complete: one of them ends the run", async () => {
  for (let round = 0; round < 15; round += 1) {
    const { run, call } = await cancelling();
    await overdue(run.id);
    await Promise.all([force(run.id), engine.complete(call, { status: "cancelled", forced: false })]);
    expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "cancelled" });
  }
  expect(await engine.invariants()).toEqual([]);
});

test("each step may fail", async () => {
  await eachStep(engine, {
    async setup() {
      const { run } = await cancelling();
      await overdue(run.id);
      return run;
    },
    act: (run) => force(run.id),
    check: async (run) => expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "cancelled" }),
  });
});
