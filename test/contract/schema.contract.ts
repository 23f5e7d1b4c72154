/** `schema.sql` is what the migrations add up to, and applying them is safe to repeat and to race. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { migrate } from "@helmr/server";
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeSchema } from "../services/describe-schema.ts";

let database: TestDatabase;
let fresh: string;
beforeAll(async () => {
  database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query("drop schema public cascade; create schema public");
  await client.end();
  fresh = database.url;
});
afterAll(() => database.drop());

test("migrations from nothing, by several processes at once, give schema.sql", async () => {
  const applied = await Promise.all([migrate(fresh), migrate(fresh), migrate(fresh)]);
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  expect(await migrate(fresh)).toEqual([]);
  const checkedIn = await readFile(join(import.meta.dirname, "..", "..", "packages", "server", "schema.sql"), "utf8");
  expect(await describeSchema(fresh)).toBe(checkedIn.split("\n").slice(2).join("\n"));
});

test("a migration that was changed after it had been applied is refused", async () => {
  const client = new pg.Client({ connectionString: fresh });
  await client.connect();
  await client.query("update schema_migrations set hash = 'other' where name like '0001%'");
  await expect(migrate(fresh)).rejects.toThrow(/0001_tenancy\.sql was changed after it had been applied/);
  await client.query("delete from schema_migrations");
  await client.query("insert into schema_migrations (name, hash, breaking) values ('9999_future.sql', 'x', true)");
  await expect(migrate(fresh)).rejects.toThrow(/newer, breaking migration 9999_future\.sql/);
  await client.end();
});
