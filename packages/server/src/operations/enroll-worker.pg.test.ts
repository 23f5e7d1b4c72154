import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Engine, openEngine } from "./engine.fixture.ts";
import { enrollWorker, ensureEnrollment, findEnrollment, findWorker, newEnrollmentSecret, startWorker } from "./enroll-worker.ts";
import { renewLeases } from "./renew-leases.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

const facts = {
  version: "0.1.0",
  driver: "fake",
  driver_version: "0",
  accelerator: "kvm",
  accelerator_explanation: "",
  cpu_family: "x",
  architecture: "amd64",
  hostname: "h",
} as const;
const total = { milli_cpu: 1, memory_mib: 2, disk_mib: 3, slots: 4 };

describe("enrollWorker()", () => {
  test("gives a credential of its own for the secret of a group", async () => {
    const secret = newEnrollmentSecret();
    expect(await findEnrollment(engine.context.db, secret)).toMatchObject({ status: 401 });
    await ensureEnrollment(engine.context.db, "gpu", secret);
    await ensureEnrollment(engine.context.db, "gpu", secret);
    const enrollment = await findEnrollment(engine.context.db, secret);
    if (isRefusal(enrollment)) throw new TypeError("refused");
    const first = await enrollWorker(engine.context, enrollment, { name: "a", facts });
    const again = await enrollWorker(engine.context, enrollment, { name: "a", facts });
    expect(again.workerId).toBe(first.workerId);
    expect(await findWorker(engine.context.db, first.credential)).toBeUndefined();
    expect(await findWorker(engine.context.db, again.credential)).toEqual({ workerId: first.workerId, group: "gpu" });
    expect(await engine.one("select state, epoch::int from workers where id = $1", [first.workerId])).toEqual({
      state: "joining",
      epoch: 0,
    });
  });
});

describe("startWorker()", () => {
  test("adopts what is named by its fence and loses the rest at once", async () => {
    const worker = await engine.worker();
    const kept = await engine.start();
    const dropped = await engine.start();
    const wrong = await engine.start();
    const leases = new Map((await engine.lease(worker, [kept.run.id, dropped.run.id, wrong.run.id])).map((lease) => [lease.run.id, lease]));
    const id = (run: { id: string }) => leases.get(run.id)!.lease_id;
    const answer = await startWorker(engine.context, worker, {
      facts,
      total,
      adopt: [
        { lease_id: id(kept.run), fence: 1 },
        { lease_id: id(wrong.run), fence: 7 },
      ],
    });
    expect(answer).toMatchObject({
      epoch: 2,
      adopted: [id(kept.run)],
      stale: [id(wrong.run)],
      leases: [{ lease_id: id(kept.run), run: { id: kept.run.id } }],
    });
    await engine.context.gates.settled();
    const states = await engine.sql("select id, state from runs where id = any($1) order by created_at", [
      [kept.run.id, dropped.run.id, wrong.run.id],
    ]);
    expect(states.map((row) => row["state"])).toEqual(["leased", "queued", "queued"]);
    expect(await engine.invariants()).toEqual([]);
    const renewal = { leaseId: id(kept.run), fence: 1, activeMs: null, openCalls: [] };
    expect(await renewLeases(engine.context, worker, { epoch: 1, leases: [renewal] })).toEqual({ stale: true });
    expect(await renewLeases(engine.context, worker, { epoch: 2, leases: [renewal] })).toMatchObject({
      held: [{ leaseId: id(kept.run) }],
      stale: [],
    });
  });
});
