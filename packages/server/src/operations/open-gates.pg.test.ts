import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Engine, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [taskDeclaration("three", { queue: "three" }), taskDeclaration("hello")],
    queues: [{ id: "three", concurrencyLimit: 3 }],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const gates = async (lane: string) =>
  (
    await engine.sql<{ gate: string; count: number }>("select gate, count(*)::int from run_queue where lane like $1 group by gate", [
      `%${lane}`,
    ])
  ).reduce<Record<string, number>>((all, row) => ({ ...all, [row.gate]: row.count }), {});

describe("admitLane()", () => {
  test("never lets more through than the limit, however many admit at once", async () => {
    const runs: string[] = [];
    for (let count = 0; count < 12; count += 1) runs.push((await engine.start({ task_id: "three" })).run.id);
    const { lane } = await engine.one<{ lane: string }>("select lane from run_queue where run_id = $1", [runs[0]]);
    let done = 0;
    while (done < runs.length) {
      await Promise.all(Array.from({ length: 8 }, () => engine.context.gates.admitLane(lane)));
      expect(await engine.invariants()).toEqual([]);
      const leases = await engine.lease(worker);
      expect(leases.length).toBeGreaterThan(0);
      expect(leases.length).toBeLessThanOrEqual(3);
      await Promise.all([
        ...leases.map(async (lease) => engine.complete(engine.call(worker, lease))),
        ...Array.from({ length: 4 }, () => engine.context.gates.admitLane(lane)),
      ]);
      await engine.context.gates.settled();
      done += leases.length;
    }
    expect(await gates("three")).toEqual({});
  });

  test("what was counted and claimed at once is counted once", async () => {
    for (let round = 0; round < 5; round += 1) {
      for (let count = 0; count < 6; count += 1) await engine.start({ task_id: "three", concurrency_key: `k${round}`, priority: count });
      const { lane } = await engine.one<{ lane: string }>("select lane from run_queue where lane like $1 limit 1", [`%k${round}`]);
      const [leases] = await Promise.all([
        engine.lease(worker),
        engine.start({ task_id: "three", concurrency_key: `k${round}`, priority: 99 }),
        engine.context.gates.admitLane(lane),
      ]);
      await engine.context.gates.settled();
      expect(await engine.invariants()).toEqual([]);
      for (const lease of leases) await engine.complete(engine.call(worker, lease));
      await engine.context.gates.settled();
      for (const lease of await engine.lease(worker)) await engine.complete(engine.call(worker, lease));
    }
  });
});

describe("admitWorkspace()", () => {
  test("lets the runs of one workspace through one after the other, by rank", async () => {
    const first = await engine.start();
    const later = [];
    for (const priority of [0, 5, 1]) later.push(await engine.start({ workspace_id: first.session.workspace_id, priority }));
    const order: number[] = [];
    await engine.complete((await engine.execute(worker, first.run.id)).call);
    for (let turn = 0; turn < later.length; turn += 1) {
      await engine.context.gates.settled();
      await Promise.all(Array.from({ length: 4 }, () => engine.context.gates.admitWorkspace(first.session.workspace_id)));
      const [lease] = await engine.lease(
        worker,
        later.map(({ run }) => run.id),
      );
      order.push(later.findIndex(({ run }) => run.id === lease!.run.id));
      await engine.complete(engine.call(worker, lease!));
    }
    expect(order).toEqual([1, 2, 0]);
    expect(await engine.invariants()).toEqual([]);
  });
});
