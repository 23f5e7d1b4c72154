import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, eachStep, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { renewLeases } from "./renew-leases.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [taskDeclaration("hello"), taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 1_000, jitter: "none" } } })],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const kinds = async (id: string) =>
  (await engine.sql<{ kind: string }>("select kind from run_events where run_id = $1 order by seq", [id])).map((row) => row.kind);
const state = (id: string) => engine.one("select state, outcome, attempt_number, lost_starts from runs where id = $1", [id]);
const lose = (id: string, loss: "expired" | "fenced" = "fenced") => loseLease(engine.context, { id, kind: "run" }, loss);

describe("loseLease() of a run", () => {
  test("before user code: the same attempt is queued again, then dead-lettered", async () => {
    const { run } = await engine.start();
    for (let lost = 1; lost <= 5; lost += 1) {
      const [lease] = await engine.lease(worker, [run.id]);
      expect(await lose(lease!.lease_id)).toBe(true);
      await engine.context.gates.settled();
      if (lost < 5) expect(await state(run.id)).toEqual({ state: "queued", outcome: null, attempt_number: 1, lost_starts: lost });
    }
    expect(await state(run.id)).toMatchObject({ state: "finished", outcome: "dead_lettered" });
    expect((await kinds(run.id)).at(-1)).toBe("run.dead_lettered");
    expect(await engine.invariants()).toEqual([]);
  });

  test("after user code: worker_lease_expired, and the policy decides", async () => {
    const plain = await engine.start();
    await lose((await engine.execute(worker, plain.run.id)).lease.lease_id);
    expect(await kinds(plain.run.id)).toEqual(["run.created", "run.execution_lost", "run.failed"]);
    expect(
      await engine.one("select attributes->>'failure_kind' as kind from run_events where run_id = $1 and kind = 'run.failed'", [
        plain.run.id,
      ]),
    ).toEqual({ kind: "worker_lease_expired" });
    expect(await engine.one("select dirty_state from workspaces where id = $1", [plain.session.workspace_id])).toEqual({
      dirty_state: "dirty_state_lost",
    });
    const again = await engine.start({ task_id: "again" });
    const { lease } = await engine.execute(worker, again.run.id);
    await renewLeases(engine.context, worker, {
      epoch: worker.epoch,
      leases: [{ leaseId: lease.lease_id, fence: lease.fence, activeMs: 400, openCalls: [] }],
    });
    await lose(lease.lease_id);
    expect(await kinds(again.run.id)).toEqual(["run.created", "run.execution_lost", "run.retry_scheduled"]);
    expect(await engine.one("select state, active_ms::int from runs where id = $1", [again.run.id])).toEqual({
      state: "queued",
      active_ms: 400,
    });
    expect(await engine.one("select state from run_attempts where run_id = $1 and number = 1", [again.run.id])).toEqual({ state: "lost" });
  });

  test("while a cancel is under way: cancelled", async () => {
    const { run } = await engine.start();
    const { lease } = await engine.execute(worker, run.id);
    await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { reason: "stop" } });
    await lose(lease.lease_id);
    expect(await state(run.id)).toMatchObject({ outcome: "cancelled" });
    expect(await kinds(run.id)).toEqual(["run.created", "run.cancel_requested", "run.execution_lost", "run.cancelled"]);
  });

  test("expires only what is past its deadline, once", async () => {
    const { run } = await engine.start();
    const { lease } = await engine.execute(worker, run.id);
    expect(await lose(lease.lease_id, "expired")).toBe(false);
    await engine.sql("update leases set deadline = now() - interval '1 second' where id = $1", [lease.lease_id]);
    expect(await lose(lease.lease_id, "expired")).toBe(true);
    expect(await lose(lease.lease_id, "expired")).toBe(false);
    expect(await engine.one("select state from leases where id = $1", [lease.lease_id])).toEqual({ state: "expired" });
  });

  test("a lease that another one replaced is nothing to lose", async () => {
    const { run } = await engine.start();
    const [first] = await engine.lease(worker, [run.id]);
    await lose(first!.lease_id);
    await engine.context.gates.settled();
    const [second] = await engine.lease(worker, [run.id]);
    expect(second!.fence).toBeGreaterThan(first!.fence);
    expect(await lose(first!.lease_id)).toBe(false);
    expect(await state(run.id)).toMatchObject({ state: "leased" });
  });
});

test("each step may fail: a lease is lost once", async () => {
  await eachStep(engine, {
    async setup() {
      const { run } = await engine.start({ task_id: "again" });
      return { run, ...(await engine.execute(worker, run.id)) };
    },
    act: ({ lease }) => lose(lease.lease_id),
    async check({ run }) {
      expect(await kinds(run.id)).toEqual(["run.created", "run.execution_lost", "run.retry_scheduled"]);
    },
  });
});
