import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { closeSession } from "./close-session.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const close = (id: string, reason?: string) =>
  closeSession(engine.context, { environmentId: engine.scope.environmentId, key: { id }, reason });
const idle = async (body: object = {}) => {
  const started = await engine.start(body);
  await engine.complete((await engine.execute(worker, started.run.id)).call);
  return started;
};

describe("closeSession()", () => {
  test("needs that nothing is live; twice is unchanged", async () => {
    const { session, run } = await engine.start({ external_id: "by-name" });
    expect(await close(session.id)).toMatchObject({ status: 409, code: "close_run_active" });
    await engine.complete((await engine.execute(worker, run.id)).call);
    const first = await closeSession(engine.context, {
      environmentId: engine.scope.environmentId,
      key: { externalId: "by-name" },
      reason: "done",
    });
    expect(first).toMatchObject({ state: "closed", terminal_reason: { reason: "done", origin: "api" }, result: null });
    expect(await close(session.id, "again")).toEqual(first);
  });

  test("a cancelled or expired session refuses; one that is due becomes expired", async () => {
    const cancelled = await idle();
    await engine.sql("update sessions set state = 'cancelled' where id = $1", [cancelled.session.id]);
    expect(await close(cancelled.session.id)).toMatchObject({ status: 409, code: "session_terminal" });
    const due = await idle({ expires_at: "2020-01-01T00:00:00Z" });
    expect(await close(due.session.id)).toMatchObject({
      state: "expired",
      result: { ok: false, error: { name: "SessionExpired" } },
      terminal_reason: { reason: "session_expired", origin: "api" },
      expired_at: expect.stringMatching(/Z$/),
    });
    expect(await close(due.session.id)).toMatchObject({ status: 409, code: "session_terminal" });
  });
});

test("each step may fail: a session is closed once", async () => {
  await eachStep(engine, {
    setup: () => idle(),
    act: ({ session }) => close(session.id),
    check: async (_, result) => expect(result).toMatchObject({ state: "closed" }),
  });
});
