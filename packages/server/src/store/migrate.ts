/**
 * Applies `migrations/NNNN_subject.sql` in order, each in a transaction of its own, under one advisory lock so that several processes may
 * try at once. A file that was applied must not change (its hash is kept). The header line `-- breaking: yes` tells older binaries to refuse
 * a newer schema; ours refuses when the database has migrations it does not know and one of them is breaking.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";

const lockKey = 4_815_162_342;
export const migrationsDirectory = join(import.meta.dirname, "..", "..", "migrations");

export interface Migration {
  name: string;
  sql: string;
  hash: string;
  breaking: boolean;
}

export class MigrationError extends Error {
  override name = "MigrationError";
}

export async function readMigrations(directory: string = migrationsDirectory): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(directory, name), "utf8");
      const breaking = /^-- breaking: (yes|no)$/m.exec(sql)?.[1];
      if (!breaking) throw new MigrationError(`Migration ${name} has no line "-- breaking: yes" or "-- breaking: no"`);
      return { name, sql, hash: createHash("sha256").update(sql).digest("hex"), breaking: breaking === "yes" };
    }),
  );
}

/** Returns the names that were applied now. */
export async function migrate(url: string, migrations?: Migration[]): Promise<string[]> {
  const wanted = migrations ?? (await readMigrations());
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [lockKey]);
    await client.query(
      "create table if not exists schema_migrations (name text primary key, hash text not null, breaking boolean not null, applied_at timestamptz not null default now())",
    );
    const done = (
      await client.query<{ name: string; hash: string; breaking: boolean }>("select name, hash, breaking from schema_migrations")
    ).rows;
    checkApplied(done, wanted);
    const applied = new Set(done.map((row) => row.name));
    const fresh = wanted.filter((migration) => !applied.has(migration.name));
    for (const migration of fresh) await apply(client, migration);
    return fresh.map((migration) => migration.name);
  } finally {
    await client.end();
  }
}

function checkApplied(done: { name: string; hash: string; breaking: boolean }[], wanted: Migration[]): void {
  const known = new Map(wanted.map((migration) => [migration.name, migration]));
  for (const row of done) {
    const migration = known.get(row.name);
    if (migration && migration.hash !== row.hash) {
      throw new MigrationError(
        `Migration ${row.name} was changed after it had been applied. Restore the file; put the change into a new migration.`,
      );
    }
    if (!migration && row.breaking) {
      throw new MigrationError(
        `The database has the newer, breaking migration ${row.name}. Start the version of Helmr that brought it, or a later one.`,
      );
    }
  }
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  try {
    await client.query("begin");
    await client.query(migration.sql);
    await client.query("insert into schema_migrations (name, hash, breaking) values ($1, $2, $3)", [
      migration.name,
      migration.hash,
      migration.breaking,
    ]);
    await client.query("commit");
  } catch (cause) {
    await client.query("rollback");
    throw new MigrationError(`Migration ${migration.name} failed: ${(cause as Error).message}`, { cause });
  }
}
