import { afterAll, beforeAll, expect, test } from "vitest";
import { type Engine, eachStep, openEngine } from "./engine.fixture.ts";
import { updateSession } from "./update-session.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

const update = (id: string, body: Parameters<typeof updateSession>[1]["body"]) =>
  updateSession(engine.context, { environmentId: engine.scope.environmentId, key: { id }, body });

test("what is given replaces", async () => {
  const { session } = await engine.start({ metadata: { a: 1, b: 2 }, tags: ["x"] });
  expect(await update(session.id, { metadata: { c: null } })).toMatchObject({ metadata: { c: null }, tags: ["x"] });
  expect(await update(session.id, { tags: [] })).toMatchObject({ metadata: { c: null }, tags: [] });
  expect(await update("01980a00-0000-7000-8000-000000000001", { tags: [] })).toMatchObject({ status: 404 });
});

test("expires_at moves only later, and only while it exists and is in the future", async () => {
  const refused = { status: 400, code: "session_expires_at_not_extendable" };
  const none = await engine.start();
  expect(await update(none.session.id, { expires_at: "2999-01-01T00:00:00Z" })).toMatchObject(refused);
  const some = await engine.start({ expires_at: "2900-01-01T00:00:00Z" });
  expect(await update(some.session.id, { expires_at: "2899-01-01T00:00:00Z" })).toMatchObject(refused);
  expect(await update(some.session.id, { expires_at: "2900-01-01T00:00:00Z" })).toMatchObject(refused);
  expect(await update(some.session.id, { expires_at: "2901-01-01T00:00:00Z" })).toMatchObject({ expires_at: "2901-01-01T00:00:00Z" });
  const past = await engine.start({ expires_at: "2020-01-01T00:00:00Z" });
  expect(await update(past.session.id, { expires_at: "2999-01-01T00:00:00Z" })).toMatchObject(refused);
});

test("each step may fail", async () => {
  await eachStep(engine, {
    setup: () => engine.start(),
    act: ({ session }) => update(session.id, { tags: ["once"] }),
    check: async (_, result) => expect(result).toMatchObject({ tags: ["once"] }),
  });
});
