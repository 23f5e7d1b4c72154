import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelRun } from "../operations/cancel-run.ts";
import { type Engine, failed, openEngine, taskDeclaration, type TestWorker, uploadSource } from "../operations/engine.fixture.ts";
import { openLeads } from "../store/leadership.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { engineReconcilers } from "./engine-loops.ts";
import { expireLeases } from "./expire-leases.ts";
import { expireRuns } from "./expire-runs.ts";
import { expireSessions } from "./expire-sessions.ts";
import { fenceWorkers } from "./fence-workers.ts";
import { repairGates, undelayRuns } from "./place-runs.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("one", { queue: "one" }),
      taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 40_000, maxMs: 40_000, jitter: "none" } } }),
    ],
    queues: [{ id: "one", concurrencyLimit: 1 }],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const gate = async (id: string) => (await engine.sql<{ gate: string }>("select gate from run_queue where run_id = $1", [id]))[0]?.gate;

test("every loop is idempotent: with nothing to do it changes nothing", async () => {
  for (const loop of engineReconcilers(engine.context)) {
    await loop.run();
    expect(await loop.run(), loop.name).toMatchObject({ changed: 0 });
  }
  expect(new Set(engineReconcilers(engine.context).map((loop) => loop.name)).size).toBe(11);
});

describe("place-runs", () => {
  test("sleeps until the next delay ends, then lets the run go on", async () => {
    const { run } = await engine.start({ task_id: "again" });
    await engine.complete((await engine.execute(worker, run.id)).call, failed);
    const loop = undelayRuns(engine.context);
    const due = await loop.nextDueMs?.();
    expect(due).toBeGreaterThan(35_000);
    expect(due).toBeLessThanOrEqual(40_000);
    expect(await loop.run()).toMatchObject({ changed: 0 });
    await engine.sql("update run_queue set ready_at = now() - interval '1 second' where run_id = $1", [run.id]);
    expect(await loop.run()).toMatchObject({ changed: 1 });
    await engine.context.gates.settled();
    expect(await gate(run.id)).toBe("open");
    await engine.complete((await engine.execute(worker, run.id)).call);
  });

  test("opens gates that a crash left closed, and wakes builds that nobody was told of", async () => {
    const holder = await engine.start({ task_id: "one" });
    const behind = await engine.start({ task_id: "one" });
    const { call } = await engine.execute(worker, holder.run.id);
    const same = await engine.start({ workspace_id: holder.session.workspace_id });
    await engine.complete(call);
    await engine.context.gates.settled();
    // As if the process had died before it looked.
    await engine.sql("update run_queue set gate = 'lane' where run_id = $1", [behind.run.id]);
    await engine.sql("update run_queue set gate = 'workspace' where run_id = $1", [same.run.id]);
    const deployment = await uploadSource(engine);
    engine.hinted.length = 0;
    expect(await repairGates(engine.context).run()).toMatchObject({ changed: 2 });
    expect([await gate(behind.run.id), await gate(same.run.id)]).toEqual(["open", "open"]);
    expect(engine.hinted).toContain("dispatch:default");
    await engine.sql("update deployments set state = 'failed' where id = $1", [deployment.id]);
    for (const { run } of [behind, same]) await engine.complete((await engine.execute(worker, run.id)).call);
  });

  test("looks at every lane in turn, a page at a time", async () => {
    await engine.sql("delete from run_queue where gate <> 'open'");
    const first = await engine.start({ task_id: "one" });
    await engine.execute(worker, first.run.id);
    for (let count = 0; count < 3; count += 1) await engine.start({ task_id: "one", concurrency_key: `k${count}` });
    await engine.sql("update run_queue set gate = 'lane' where lane like '%/k%'");
    const loop = repairGates(engine.context);
    expect(await loop.run()).toMatchObject({ changed: 3 });
    expect(await engine.invariants()).toEqual([]);
  });
});

describe("expire-leases", () => {
  test("loses what is overdue, stops late holders, and sleeps until the next deadline", async () => {
    const lost = await engine.start();
    const late = await engine.start();
    const kept = await engine.start();
    const { lease } = await engine.execute(worker, lost.run.id);
    await engine.execute(worker, late.run.id);
    await engine.execute(worker, kept.run.id);
    await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: late.run.id, body: {} });
    await engine.sql("update leases set deadline = now() - interval '1 second' where id = $1", [lease.lease_id]);
    await engine.sql("update runs set cancel_due_at = now() - interval '1 second' where id = $1", [late.run.id]);
    const loop = expireLeases(engine.context);
    expect(await loop.run()).toMatchObject({ changed: 2 });
    expect(
      await engine.sql("select outcome from runs where id = any($1) order by created_at", [[lost.run.id, late.run.id, kept.run.id]]),
    ).toEqual([{ outcome: "failed" }, { outcome: "cancelled" }, { outcome: null }]);
    await engine.sql("update leases set deadline = now() + interval '3 seconds' where state = 'held'");
    const due = await loop.nextDueMs?.();
    expect(due).toBeGreaterThan(0);
    expect(due).toBeLessThanOrEqual(3_000);
    await engine.sql("update leases set deadline = now() + interval '1 minute' where state = 'held'");
  });
});

test("expire-runs and expire-sessions end what is due", async () => {
  const queued = await engine.start({ ttl: "1h" });
  await engine.sql("update run_queue set expires_at = now() where run_id = $1", [queued.run.id]);
  expect(await expireRuns(engine.context).run()).toMatchObject({ changed: 1 });
  const { run, session } = await engine.start({ expires_at: "2020-01-01T00:00:00Z" });
  expect(await expireSessions(engine.context).run()).toMatchObject({ changed: 0 });
  await engine.complete((await engine.execute(worker, run.id)).call);
  expect(await expireSessions(engine.context).run()).toMatchObject({ changed: 1 });
  expect(await engine.one("select state from sessions where id = $1", [session.id])).toEqual({ state: "expired" });
  const later = await engine.start({ expires_at: new Date(Date.now() + 5_000).toISOString() });
  const due = await expireSessions(engine.context).nextDueMs?.();
  expect(due).toBeGreaterThan(0);
  expect(due).toBeLessThanOrEqual(5_000);
  expect(later.session.state).toBe("open");
});

test("fence-workers shows silent workers as lost", async () => {
  const silent = await engine.worker();
  await engine.sql("update workers set last_seen_at = now() - interval '3 minutes' where id = $1", [silent.workerId]);
  expect(await fenceWorkers(engine.context).run()).toMatchObject({ changed: 1 });
  expect(await engine.one("select state from workers where id = $1", [silent.workerId])).toEqual({ state: "lost" });
});

test("collect-garbage removes what only answered repeats, and finishes forced deletes", async () => {
  const { run, session } = await engine.start({ idempotency_key: "old" });
  await engine.complete((await engine.execute(worker, run.id)).call);
  await engine.sql("update session_start_keys set expires_at = now() - interval '1 day'");
  await engine.sql("update leases set ended_at = now() - interval '2 days' where state <> 'held'");
  await engine.sql("update workspace_mounts set updated_at = now() - interval '2 days' where state = 'unmounted'");
  await engine.sql("update workspaces set state = 'deleting' where id = $1", [session.workspace_id]);
  const held = await engine.sql("select 1 from leases where state = 'held'");
  expect((await collectGarbage(engine.context).run()).changed).toBeGreaterThan(3);
  expect(await engine.sql("select 1 from session_start_keys")).toEqual([]);
  expect(await engine.sql("select 1 from leases")).toHaveLength(held.length);
  expect(await engine.one("select state from workspaces where id = $1", [session.workspace_id])).toEqual({ state: "archived" });
});

describe("leads", () => {
  test("one process leads a loop until its connection ends", async () => {
    const changes: string[] = [];
    const first = openLeads(engine.context.db, (loop, leads) => changes.push(`${loop} ${leads}`));
    const second = openLeads(engine.context.db, (loop, leads) => changes.push(`${loop} ${leads}`));
    expect(await first.lead("x")).toBe(true);
    expect(await first.lead("x")).toBe(true);
    expect(await second.lead("x")).toBe(false);
    expect(await second.lead("y")).toBe(true);
    await engine.sql(
      "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid() and database = (select oid from pg_database where datname = current_database())",
    );
    const { until } = await import("@helmr/test/services");
    // Both held a lock, so both connections were ended.
    await until("the leads are lost", () => changes.includes("x false") && changes.includes("y false"));
    expect(await second.lead("x")).toBe(true);
    expect(await first.lead("x")).toBe(false);
    await first.close();
    await second.close();
  });
});
