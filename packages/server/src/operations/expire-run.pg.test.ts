import { afterAll, beforeAll, expect, test } from "vitest";
import { type Engine, eachStep, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { expireRun } from "./expire-run.ts";
import { loseLease } from "./lose-lease.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [taskDeclaration("hello"), taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 1, jitter: "none" } } })],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const expire = (id: string) => expireRun(engine.context, engine.scope.environmentId, id);
const overdue = (id: string) =>
  engine.sql("update run_queue set expires_at = now() - interval '1 second' where run_id = $1 and expires_at is not null", [id]);

test("a run that is queued when its ttl ends is expired", async () => {
  const { run } = await engine.start({ ttl: "1h" });
  expect(await expire(run.id)).toBe(false);
  await overdue(run.id);
  expect(await expire(run.id)).toBe(true);
  expect(await expire(run.id)).toBe(false);
  const event = await engine.one("select kind, attributes from run_events where run_id = $1 order by seq desc limit 1", [run.id]);
  expect(event).toEqual({ kind: "run.expired", attributes: { ttl: "1h", message: "the run was queued for longer than its ttl of 1h" } });
  expect(await engine.invariants()).toEqual([]);
});

test("one that was leased is not, unless it comes back before user code ran", async () => {
  const { run } = await engine.start({ ttl: "1h" });
  const [lease] = await engine.lease(worker, [run.id]);
  expect(await expire(run.id)).toBe(false);
  await loseLease(engine.context, { id: lease!.lease_id, kind: "run" }, "fenced");
  await overdue(run.id);
  expect(await expire(run.id)).toBe(true);
});

test("a retry has no ttl: only the queue time before execution counts", async () => {
  const { run } = await engine.start({ task_id: "again", ttl: "1h" });
  const { call } = await engine.execute(worker, run.id);
  await engine.complete(call, { status: "failed", exit_code: 1, failure_kind: "task_failed", reason: "threw", message: "" });
  expect(await engine.one("select expires_at from run_queue where run_id = $1", [run.id])).toEqual({ expires_at: null });
});

test("each step may fail: a run is expired once", async () => {
  await eachStep(engine, {
    async setup() {
      const { run } = await engine.start({ ttl: "1h" });
      await overdue(run.id);
      return run;
    },
    act: (run) => expire(run.id),
    check: async (run) => expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "expired" }),
  });
});

test("claim × expire: the run is leased or expired, never both", async () => {
  for (let round = 0; round < 20; round += 1) {
    const { run } = await engine.start({ ttl: "1h" });
    await overdue(run.id);
    const [leases, expired] = await Promise.all([engine.lease(worker, [run.id]), expire(run.id)]);
    expect([leases.length, expired]).toEqual(expired ? [0, true] : [1, false]);
  }
  expect(await engine.invariants()).toEqual([]);
});
