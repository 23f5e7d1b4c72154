/** Every registered statement is understood by PostgreSQL on the migrated schema: names, types and parameters (house §2, Store). */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const sources = join(import.meta.dirname, "..", "..", "packages", "server", "src");

async function modules(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !entry.name.includes(".test.") && !entry.name.includes(".pg."))
    .map((entry) => join(directory, entry.name));
}

/** Statements live in the store and in the adapters of ports. */
for (const directory of ["store", "dispatch"]) {
  for (const file of await modules(join(sources, directory)).catch(() => [])) await import(pathToFileURL(file).href);
}
interface Registered {
  name: string;
  text: string;
}
const { registeredStatements } = (await import(pathToFileURL(join(sources, "store", "statement.ts")).href)) as {
  registeredStatements: () => Registered[];
};

describe("registered statements", () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await testDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  test("are many", () => {
    expect(registeredStatements().length).toBeGreaterThan(50);
  });

  test.each(registeredStatements().map((statement) => [statement.name, statement] as const))("%s", async (name, statement) => {
    await client.query(`prepare ${name} as ${statement.text}`);
    await client.query(`deallocate ${name}`);
  });
});
