/** What of the schema is there, for readiness. Applying migrations is migrate.ts, on a connection of its own. */
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

const names = statement<Record<never, never>, { name: string }>("migration_names", "select name from schema_migrations");

export const migrationNames = (on: Queryable) => on.all(names, {});
