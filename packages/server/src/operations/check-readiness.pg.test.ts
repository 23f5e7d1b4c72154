import { afterAll, beforeAll, expect, test } from "vitest";
import { openReadiness } from "./check-readiness.ts";
import { type Engine, openEngine } from "./engine.fixture.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
});
afterAll(() => engine.close());

test("ready means that every migration of this binary is applied", async () => {
  const ready = openReadiness(engine.context.db);
  expect(await ready()).toBe(true);
  await engine.sql("delete from schema_migrations where name like '0012%'");
  expect(await ready()).toBe(false);
});
