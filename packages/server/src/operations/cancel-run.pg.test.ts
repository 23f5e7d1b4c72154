import { runCancelBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { readPush } from "./worker-directives.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const cancel = (runId: string, body: object = {}) =>
  cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId, body: runCancelBody.parse(body) });
const events = (id: string) =>
  engine.sql("select kind, attributes from run_events where run_id = $1 and kind <> 'run.created' order by seq", [id]);

describe("cancelRun()", () => {
  test("a queued run is finished at once", async () => {
    const { run } = await engine.start();
    expect(await cancel(run.id, { reason: "no" })).toMatchObject({
      run: { state: "finished", outcome: "cancelled" },
      operation: { state: "applied", reason: "no" },
    });
    expect(await events(run.id)).toEqual([{ kind: "run.cancelled", attributes: { reason: "no" } }]);
    expect(await engine.sql("select 1 from run_queue where run_id = $1", [run.id])).toEqual([]);
  });

  test("a leased run, in which no user code ran, too; its holder is fenced", async () => {
    const { run } = await engine.start();
    const [lease] = await engine.lease(worker, [run.id]);
    expect(await cancel(run.id)).toMatchObject({ run: { state: "finished" } });
    expect(await engine.complete(engine.call(worker, lease!))).toEqual({ stale: true });
    expect((await readPush(engine.context, worker)).directives).toContainEqual({ type: "fenced", lease_id: lease!.lease_id });
    expect(engine.hinted).toContain(`worker:${worker.workerId}`);
  });

  test("an executing run is asked; its holder hears of it until it reports", async () => {
    const { run } = await engine.start();
    const { lease, call } = await engine.execute(worker, run.id);
    expect(await cancel(run.id, { reason: "stop" })).toMatchObject({ run: { state: "cancelling" }, operation: { state: "applied" } });
    expect(await cancel(run.id)).toMatchObject({ run: { state: "cancelling" }, operation: { state: "applied" } });
    expect((await readPush(engine.context, worker)).directives).toContainEqual({
      type: "cancel",
      lease_id: lease.lease_id,
      force: false,
      reason: "stop",
    });
    expect(await events(run.id)).toEqual([{ kind: "run.cancel_requested", attributes: { reason: "stop" } }]);
    await engine.complete(call, { status: "cancelled", forced: false });
    expect((await events(run.id)).at(-1)).toEqual({ kind: "run.cancelled", attributes: { reason: "stop", origin: "cancel_operation" } });
  });

  test("with force it is finished at once, also while a cancel is under way", async () => {
    const { run, session } = await engine.start();
    const { call } = await engine.execute(worker, run.id);
    await cancel(run.id);
    expect(await cancel(run.id, { force: true, reason: "now" })).toMatchObject({ run: { state: "finished", outcome: "cancelled" } });
    expect((await events(run.id)).map((event) => event["attributes"])).toEqual([{ reason: "cancelled" }, { reason: "now", force: true }]);
    expect(await engine.complete(call)).toEqual({ stale: true });
    expect(await engine.one("select dirty_state from workspaces where id = $1", [session.workspace_id])).toEqual({
      dirty_state: "dirty_state_lost",
    });
    expect(await engine.invariants()).toEqual([]);
  });

  test("a finished run rejects it and stays as it is", async () => {
    const { run } = await engine.start();
    await engine.complete((await engine.execute(worker, run.id)).call);
    expect(await cancel(run.id)).toMatchObject({ run: { outcome: "succeeded" }, operation: { state: "rejected", applied_at: null } });
  });

  test("a key gives the same operation again, and no other", async () => {
    const { run } = await engine.start();
    const first = await cancel(run.id, { idempotency_key: "k", reason: "a" });
    const again = await cancel(run.id, { idempotency_key: "k", reason: "a" });
    expect(!isRefusal(first) && !isRefusal(again) && again.operation.id === first.operation.id).toBe(true);
    expect(await cancel(run.id, { idempotency_key: "k", reason: "b" })).toMatchObject({
      status: 409,
      code: "idempotency_fingerprint_mismatch",
    });
  });

  test("a run of nowhere is 404", async () => {
    expect(await cancel("01980a00-0000-7000-8000-000000000001")).toMatchObject({ status: 404 });
    const { run } = await engine.start();
    const foreign = await cancelRun(engine.context, { environmentId: "01980a00-0000-7000-8000-000000000001", runId: run.id, body: {} });
    expect(foreign).toMatchObject({ status: 404 });
  });
});

test("each step may fail: a cancel is applied once", async () => {
  let number = 0;
  await eachStep(engine, {
    async setup() {
      const { run } = await engine.start();
      await engine.execute(worker, run.id);
      return { run, key: `key-${(number += 1)}` };
    },
    act: ({ run, key }) => cancel(run.id, { idempotency_key: key }),
    async check({ run }, result) {
      expect(result).toMatchObject({ run: { state: "cancelling" }, operation: { state: "applied" } });
      expect(await events(run.id)).toHaveLength(1);
    },
  });
});
