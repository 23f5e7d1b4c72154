import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, openEngine } from "./engine.fixture.ts";
import { followDirectives, readPush } from "./worker-directives.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

test("a worker hears of what is wanted of its leases, and of those it lost a moment ago", async () => {
  const worker = await engine.worker();
  let heard = 0;
  const stop = followDirectives(engine.context, worker, () => (heard += 1));
  const kept = await engine.start();
  const killed = await engine.start();
  const first = (await engine.execute(worker, kept.run.id)).lease;
  const second = (await engine.execute(worker, killed.run.id)).lease;
  const cancel = (runId: string, force: boolean) =>
    cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId, body: { reason: "r", force } });
  await cancel(kept.run.id, false);
  await cancel(killed.run.id, true);
  expect(heard).toBe(2);
  stop();
  const { directives, drain } = await readPush(engine.context, worker);
  expect(drain).toBe(false);
  expect(directives).toEqual(
    expect.arrayContaining([
      { type: "cancel", lease_id: first.lease_id, force: false, reason: "r" },
      { type: "fenced", lease_id: second.lease_id },
    ]),
  );
  await engine.sql("update leases set ended_at = now() - interval '2 minutes' where id = $1", [second.lease_id]);
  expect((await readPush(engine.context, worker)).directives).toHaveLength(1);
});
