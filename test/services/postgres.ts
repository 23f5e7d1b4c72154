/**
 * A real PostgreSQL for tests: one private cluster per test run (started by the first worker that needs it, found by the others through a
 * file), one template database migrated once, a clone of it per call. Clones cost about 50 ms.
 *
 * The cluster belongs to the process that `globalSetup` runs in: when that process ends, even by SIGKILL, PostgreSQL shuts down.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningCluster, startCluster } from "@helmr/local/postgres";
import pg from "pg";

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

const urlVariable = "HELMR_TEST_POSTGRES_URL";

/** Starts the cluster of this test run; call it from vitest's globalSetup. Returns the teardown. */
export async function startTestCluster(): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "helmr-test-pg-"));
  const { chmod } = await import("node:fs/promises");
  await chmod(directory, 0o755);
  const cluster: RunningCluster = await startCluster({
    directory,
    binaries: join(tmpdir(), "helmr-postgres-binaries"),
    // Durability is not what these tests are about; what they check is what the server was told was committed.
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "400" },
  });
  process.env[urlVariable] = cluster.url;
  return async () => {
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  };
}

/** A database of its own with all migrations applied. Drop it in `afterAll`. */
export async function testDatabase(): Promise<TestDatabase> {
  const base = process.env[urlVariable];
  if (!base) throw new MissingCluster(`${urlVariable} is not set: this test needs the vitest project that starts PostgreSQL`);
  const template = await migratedTemplate(base);
  const name = `test_${process.pid}_${randomBytes(4).toString("hex")}`;
  await withAdmin(base, (client) => client.query(`create database ${name} template ${template}`));
  return {
    url: `${base}/${name}`,
    drop: () => withAdmin(base, (client) => client.query(`drop database if exists ${name} with (force)`)).then(() => undefined),
  };
}

class MissingCluster extends Error {
  override name = "MissingCluster";
}

const migrationsDirectory = join(import.meta.dirname, "..", "..", "packages", "server", "migrations");
let template: Promise<string> | undefined;

/** The name has the hash of the migrations in it, so that an edited migration gets a new template. */
function migratedTemplate(base: string): Promise<string> {
  template ??= (async () => {
    const files = (await readdir(migrationsDirectory)).filter((name) => name.endsWith(".sql")).sort();
    const texts = await Promise.all(files.map((name) => readFile(join(migrationsDirectory, name), "utf8")));
    const name = `template_${createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 16)}`;
    await withAdmin(base, async (client) => {
      await client.query("select pg_advisory_lock(77)");
      const found = await client.query("select 1 from pg_database where datname = $1", [name]);
      if (found.rowCount) return;
      const building = `${name}_building`;
      await client.query(`drop database if exists ${building} with (force)`);
      await client.query(`create database ${building}`);
      const target = new pg.Client({ connectionString: `${base}/${building}` });
      await target.connect();
      await target.query(
        "create table schema_migrations (name text primary key, hash text not null, breaking boolean not null, applied_at timestamptz not null default now())",
      );
      for (const [index, text] of texts.entries()) {
        await target.query(text);
        await target.query("insert into schema_migrations (name, hash, breaking) values ($1, $2, $3)", [
          files[index],
          createHash("sha256").update(text).digest("hex"),
          text.includes("\n-- breaking: yes\n"),
        ]);
      }
      await target.end();
      await client.query(`alter database ${building} rename to ${name}`);
    });
    return name;
  })();
  return template;
}

async function withAdmin<T>(base: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: `${base}/postgres` });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}
