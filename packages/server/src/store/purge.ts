/**
 * Removing what was marked: rows of deleted environments in bounded pages, children before parents, so that no statement runs long and no foreign key
 * stands in the way. Deleting a session takes its runs with it, deleting a workspace its versions and mounts; whoever holds a lease on one of them
 * finds it gone (stale) and stops. Their chunks are removed by the chunk store's own collection.
 */
import type { Db, Queryable } from "./db.ts";
import { type Statement, statement } from "./statement.ts";

interface Page {
  environment_id: string;
  row_limit: number;
}

/** Tables with a key of their own, in the order in which they must go. */
const paged = ["schedules", "tokens", "sessions", "workspaces", "deployments", "api_keys"] as const;

const pages: readonly Statement<Page, Record<string, never>>[] = [
  statement<Page>(
    "purge_session_start_keys",
    `delete from session_start_keys
      where (environment_id, task_id, key_hash) in
            (select environment_id, task_id, key_hash from session_start_keys where environment_id = $environment_id limit $row_limit)`,
  ),
  ...paged.map((table) =>
    statement<Page>(
      `purge_${table}`,
      `delete from ${table} where id in (select id from ${table} where environment_id = $environment_id limit $row_limit)`,
    ),
  ),
];

const marked = statement<{ row_limit: number }, { id: string; project_id: string }>(
  "purge_marked_environments",
  "select id, project_id from environments where deleted_at is not null order by deleted_at limit $row_limit",
);

const unpromote = statement<{ environment_id: string }>(
  "purge_unpromote",
  "update environments set current_deployment_id = null where id = $environment_id and current_deployment_id is not null",
);

const environment = statement<{ environment_id: string }>(
  "purge_environment",
  "delete from environments where id = $environment_id and deleted_at is not null",
);

const projects = statement<Record<never, never>>(
  "purge_projects",
  "delete from projects p where p.deleted_at is not null and not exists (select 1 from environments e where e.project_id = p.id)",
);

export const purgeMarked = (on: Queryable, limit: number) => on.all(marked, { row_limit: limit });
export const purgeUnpromote = (on: Queryable, environmentId: string) => on.run(unpromote, { environment_id: environmentId });
export const purgeEnvironment = (on: Queryable, environmentId: string) => on.run(environment, { environment_id: environmentId });
export const purgeProjects = (on: Queryable) => on.run(projects, {});

/** One page: of the first table that still has rows of the environment. 0: only the environment itself is left. */
export async function purgePage(db: Db, environmentId: string, limit: number): Promise<number> {
  for (const page of pages) {
    const removed = await db.run(page, { environment_id: environmentId, row_limit: limit });
    if (removed > 0) return removed;
  }
  return 0;
}
