import { afterAll, beforeAll, expect, test } from "vitest";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { expireSession } from "./expire-session.ts";
import { listSessions, readSession } from "./read-sessions.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const idle = async (expires_at: string) => {
  const started = await engine.start({ expires_at });
  await engine.complete((await engine.execute(worker, started.run.id)).call);
  return started;
};
const expire = (id: string) => expireSession(engine.context, engine.scope.environmentId, { id });

test("a session is expired when it is due and nothing is live", async () => {
  const live = await engine.start({ expires_at: "2020-01-01T00:00:00Z" });
  expect(await expire(live.session.id)).toMatchObject({ state: "open" });
  const later = await idle("2999-01-01T00:00:00Z");
  expect(await expire(later.session.id)).toMatchObject({ state: "open" });
  const due = await idle("2020-01-01T00:00:00Z");
  expect(await expire(due.session.id)).toMatchObject({ state: "expired", terminal_reason: { reason: "session_expired", origin: "api" } });
  expect(await expire(due.session.id)).toMatchObject({ state: "expired" });
});

test("reading and listing expire what is due", async () => {
  const read = await idle("2020-01-01T00:00:00Z");
  expect(await readSession(engine.context, engine.scope.environmentId, { id: read.session.id })).toMatchObject({ state: "expired" });
  const listed = await idle("2020-01-01T00:00:00Z");
  const filter = {
    environmentId: engine.scope.environmentId,
    status: "expired" as const,
    taskId: undefined,
    externalId: undefined,
    limit: 100,
  };
  await listSessions(engine.context, { ...filter, status: "open" });
  expect((await listSessions(engine.context, filter)).map((row) => row.id)).toContain(listed.session.id);
});

test("each step may fail: a session is expired once", async () => {
  await eachStep(engine, {
    setup: () => idle("2020-01-01T00:00:00Z"),
    act: ({ session }) => expire(session.id),
    check: async (_, result) => expect(result).toMatchObject({ state: "expired" }),
  });
});
