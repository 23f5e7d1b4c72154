import { limits } from "@helmr/protocol/shared";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { renewLeases } from "./renew-leases.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const renew = (leases: { lease_id: string; fence: number }[], over: { epoch?: number; activeMs?: number } = {}) =>
  renewLeases(engine.context, worker, {
    epoch: over.epoch ?? worker.epoch,
    leases: leases.map((lease) => ({ leaseId: lease.lease_id, fence: lease.fence, activeMs: over.activeMs ?? null, openCalls: [] })),
  });

test("moves the deadline of what is held and names what is not", async () => {
  const one = await engine.start();
  const two = await engine.start();
  const first = (await engine.execute(worker, one.run.id)).lease;
  const second = (await engine.execute(worker, two.run.id)).lease;
  await engine.sql("update leases set deadline = now() + interval '3 seconds' where worker_id = $1", [worker.workerId]);
  expect(await renew([first, { ...second, fence: 9 }], { activeMs: 70 })).toEqual({
    held: [{ leaseId: first.lease_id, ttlMs: limits.leaseTtlMs, directives: [] }],
    stale: [second.lease_id],
    drain: false,
  });
  const left = await engine.one("select extract(epoch from deadline - now()) > 70 as moved, active_ms::int from leases where id = $1", [
    first.lease_id,
  ]);
  expect(left).toEqual({ moved: true, active_ms: 70 });
  expect(await renew([first], { epoch: 99 })).toEqual({ stale: true });
  await engine.sql("update leases set deadline = now() - interval '1 second' where id = $1", [first.lease_id]);
  expect(await renew([first])).toMatchObject({ stale: [first.lease_id] });
  await loseLease(engine.context, { id: first.lease_id, kind: "run" }, "expired");
});

test("brings what the control plane wants, each time until it is done", async () => {
  const { run } = await engine.start();
  const { lease } = await engine.execute(worker, run.id);
  await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { reason: "enough" } });
  const wanted = { held: [{ directives: [{ type: "cancel", lease_id: lease.lease_id, force: false, reason: "enough" }] }] };
  expect(await renew([lease])).toMatchObject(wanted);
  expect(await renew([lease])).toMatchObject(wanted);
  await engine.sql("update workspace_mounts set stop_requested_at = now() where lease_id = $1", [lease.lease_id]);
  const both = await renew([lease]);
  expect("held" in both && both.held[0]?.directives.map((directive) => directive.type)).toEqual(["cancel", "unmount"]);
});

test("an empty renewal says whether the worker is to drain", async () => {
  const draining = await engine.worker();
  await engine.sql("update workers set state = 'draining' where id = $1", [draining.workerId]);
  expect(await renewLeases(engine.context, draining, { epoch: draining.epoch, leases: [] })).toEqual({ held: [], stale: [], drain: true });
});
