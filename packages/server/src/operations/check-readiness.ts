/** Readiness: the database is reachable and has every migration of this binary (http §2). */
import type { Db } from "../store/db.ts";
import { type Migration, readMigrations } from "../store/migrate.ts";
import { migrationNames } from "../store/migration.ts";

export function openReadiness(db: Db): () => Promise<boolean> {
  let wanted: Promise<Migration[]> | undefined;
  return async () => {
    wanted ??= readMigrations();
    const applied = new Set((await migrationNames(db)).map((row) => row.name));
    return (await wanted).every((migration) => applied.has(migration.name));
  };
}
