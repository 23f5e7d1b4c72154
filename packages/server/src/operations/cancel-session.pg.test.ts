import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelSession } from "./cancel-session.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const cancel = (id: string, reason?: string) =>
  cancelSession(engine.context, { environmentId: engine.scope.environmentId, key: { id }, reason });

describe("cancelSession()", () => {
  test("ends the session and asks its run to stop, without force", async () => {
    const { session, run } = await engine.start();
    const { call } = await engine.execute(worker, run.id);
    expect(await cancel(session.id, "left")).toMatchObject({
      state: "cancelled",
      result: { ok: false, error: { name: "TaskCancelled", message: "left", details: { origin: "api" } } },
      terminal_reason: { reason: "left", origin: "api" },
      run_state: "cancelling",
    });
    expect(await engine.complete(call)).toEqual({ state: "finished" });
    expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "cancelled" });
    expect(await engine.invariants()).toEqual([]);
  });

  test("a queued run is finished at once; twice is unchanged; other ends refuse", async () => {
    const { session, run } = await engine.start();
    const first = await cancel(session.id);
    expect(first).toMatchObject({ state: "cancelled", terminal_reason: { reason: "cancelled" }, run_state: "finished" });
    expect(await cancel(session.id, "other")).toEqual(first);
    expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "cancelled" });
    await engine.sql("update sessions set state = 'closed' where id = $1", [session.id]);
    expect(await cancel(session.id)).toMatchObject({ status: 409, code: "session_terminal" });
    expect(await cancel("01980a00-0000-7000-8000-000000000001")).toMatchObject({ status: 404 });
  });

  test("a session that is due is expired, not cancelled", async () => {
    const { session, run } = await engine.start({ expires_at: "2020-01-01T00:00:00Z" });
    await engine.complete((await engine.execute(worker, run.id)).call);
    expect(await cancel(session.id)).toMatchObject({ status: 409, code: "session_terminal" });
    expect(await engine.one("select state from sessions where id = $1", [session.id])).toEqual({ state: "expired" });
  });
});

test("each step may fail: a session is cancelled once", async () => {
  await eachStep(engine, {
    setup: () => engine.start(),
    act: ({ session }) => cancel(session.id, "once"),
    async check({ run }, result) {
      expect(result).toMatchObject({ state: "cancelled" });
      expect(await engine.sql("select 1 from run_events where run_id = $1 and kind = 'run.cancelled'", [run.id])).toHaveLength(1);
    },
  });
});
