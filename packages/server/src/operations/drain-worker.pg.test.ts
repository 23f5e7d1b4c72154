import { afterAll, beforeAll, expect, test } from "vitest";
import { openClaimDesk } from "./claim-leases.ts";
import { drainWorker } from "./drain-worker.ts";
import { type Engine, openEngine } from "./engine.fixture.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

test("a draining worker keeps what it has and gets nothing new", async () => {
  const worker = await engine.worker();
  const { run } = await engine.start();
  const { call } = await engine.execute(worker, run.id);
  expect(await drainWorker(engine.context, worker.workerId)).toEqual({ state: "draining", held: 1 });
  const desk = openClaimDesk(engine.context);
  const request = {
    epoch: worker.epoch,
    free: { milli_cpu: 9_000, memory_mib: 9_000, disk_mib: 9_000, slots: 9 },
    warm: { images: [], workspaces: [], checkpoints: [] },
    kinds: ["run" as const],
    wait_ms: 50,
  };
  const other = await engine.start();
  expect(await desk.claim(worker, request, new AbortController().signal)).toEqual([]);
  expect(await engine.lease(worker, [other.run.id])).toEqual([]);
  expect(await engine.complete(call)).toEqual({ state: "finished" });
  expect(await drainWorker(engine.context, worker.workerId)).toEqual({ state: "drained", held: 0 });
  desk.close();
});
