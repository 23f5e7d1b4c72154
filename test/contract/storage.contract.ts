/** The collection of stored bytes knows every column that refers to an artifact: one that it forgot would lose its content. */
import { type TestDatabase, testDatabase } from "@helmr/test/services";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";

const store = join(import.meta.dirname, "..", "..", "packages", "server", "src", "store", "storage-collection.ts");
const { artifactReferences } = (await import(pathToFileURL(store).href)) as { artifactReferences: readonly (readonly [string, string])[] };

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

test("every column that refers to an artifact counts", async () => {
  const { rows } = await client.query<{ name: string }>(
    `select distinct c.table_name || '.' || c.column_name as name from information_schema.columns c
      where c.table_schema = 'public' and c.table_name not in ('artifacts', 'artifact_packs')
        and (c.column_name ~ '(^|_)artifact_id$'
             or exists (select from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
                         where k.contype = 'f' and k.confrelid = 'artifacts'::regclass and k.conrelid::regclass::text = c.table_name and a.attname = c.column_name))`,
  );
  expect(rows.map(({ name }) => name).sort()).toEqual(artifactReferences.map(([table, column]) => `${table}.${column}`).sort());
});

test("every such column has an index: the collection asks for each artifact", async () => {
  for (const [table, column] of artifactReferences) {
    const { rows } = await client.query(
      `select 1 from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = $1::regclass and a.attname = $2`,
      [table, column],
    );
    expect(rows.length, `${table}.${column}`).toBeGreaterThan(0);
  }
});
