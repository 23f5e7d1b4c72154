/**
 * Projects and their environments. Deleting marks a row; everything here sees only rows that are not marked, the purge at the end excepted.
 * Lock order: project → environment.
 */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface ProjectRow {
  id: string;
  slug: string;
  name: string;
  is_default: boolean;
  created_at: string;
  updated_at: string;
}

export interface EnvironmentRow {
  id: string;
  project_id: string;
  slug: string;
  name: string;
  color_hex: string;
  is_default: boolean;
  created_at: string;
  updated_at: string;
}

export interface NewEnvironment {
  id: string;
  org_id: string;
  project_id: string;
  slug: string;
  name: string;
  color_hex: string;
  is_default: boolean;
}

const projectColumns = "id, slug, name, is_default, created_at, updated_at";
const environmentColumns = "id, project_id, slug, name, color_hex, is_default, created_at, updated_at";

const list = statement<{ org_id: string }, ProjectRow>(
  "project_list",
  `select ${projectColumns} from projects where org_id = $org_id and deleted_at is null order by created_at, id`,
);

const get = statement<{ org_id: string; id: string }, ProjectRow>(
  "project_get",
  `select ${projectColumns} from projects where org_id = $org_id and id = $id and deleted_at is null`,
);

const lock = statement<{ org_id: string; id: string }, ProjectRow>(
  "project_lock",
  `select ${projectColumns} from projects where org_id = $org_id and id = $id and deleted_at is null for update`,
);

/** The first project of an organization becomes its default. Two at once: the index on defaults lets one of them fail, and it is repeated. */
const insert = statement<{ id: string; org_id: string; slug: string; name: string }, ProjectRow>(
  "project_insert",
  `insert into projects (id, org_id, slug, name, is_default)
   values ($id, $org_id, $slug, $name, not exists (select 1 from projects where org_id = $org_id and deleted_at is null and is_default))
   returning ${projectColumns}`,
);

const update = statement<{ org_id: string; id: string; slug: string; name: string }, ProjectRow>(
  "project_update",
  `update projects set slug = $slug, name = $name, updated_at = now()
    where org_id = $org_id and id = $id and deleted_at is null
   returning ${projectColumns}`,
);

const markDeleted = statement<{ org_id: string; id: string }>(
  "project_mark_deleted",
  "update projects set deleted_at = now(), is_default = false where org_id = $org_id and id = $id and deleted_at is null",
);

const inheritDefault = statement<{ org_id: string }>(
  "project_inherit_default",
  `update projects set is_default = true
    where id = (select id from projects where org_id = $org_id and deleted_at is null order by created_at, id limit 1)
      and not exists (select 1 from projects where org_id = $org_id and deleted_at is null and is_default)`,
);

const environments = statement<{ project_ids: string[] }, EnvironmentRow>(
  "environment_list",
  `select ${environmentColumns} from environments where project_id = any($project_ids::uuid[]) and deleted_at is null
    order by is_default desc, created_at, slug`,
);

const environmentGet = statement<{ org_id: string; project_id: string; id: string }, EnvironmentRow>(
  "environment_get",
  `select ${environmentColumns} from environments
    where org_id = $org_id and project_id = $project_id and id = $id and deleted_at is null
      and exists (select 1 from projects p where p.id = $project_id and p.deleted_at is null)`,
);

const environmentInsert = statement<NewEnvironment, EnvironmentRow>(
  "environment_insert",
  `insert into environments (id, org_id, project_id, slug, name, color_hex, is_default)
   values ($id, $org_id, $project_id, $slug, $name, $color_hex, $is_default)
   returning ${environmentColumns}`,
);

const environmentUpdate = statement<{ project_id: string; id: string; slug: string; name: string; color_hex: string }, EnvironmentRow>(
  "environment_update",
  `update environments set slug = $slug, name = $name, color_hex = $color_hex, updated_at = now()
    where project_id = $project_id and id = $id and deleted_at is null
   returning ${environmentColumns}`,
);

const environmentMarkDeleted = statement<{ project_id: string; id: string }>(
  "environment_mark_deleted",
  "update environments set deleted_at = now(), is_default = false where project_id = $project_id and id = $id and deleted_at is null",
);

const environmentsMarkDeleted = statement<{ project_id: string }>(
  "environment_mark_all_deleted",
  "update environments set deleted_at = now(), is_default = false where project_id = $project_id and deleted_at is null",
);

/** Both parts are a UUID or a slug (http §1.3). A text that is both an id and somebody's slug means the id. */
const resolve = statement<
  { org_id: string; project: string; project_id: string | null; environment: string; environment_id: string | null },
  { project_id: string; environment_id: string }
>(
  "environment_resolve",
  `select p.id as project_id, e.id as environment_id
     from projects p join environments e on e.project_id = p.id
    where p.org_id = $org_id and p.deleted_at is null and e.deleted_at is null
      and (p.id = $project_id::uuid or p.slug = $project)
      and (e.id = $environment_id::uuid or e.slug = $environment)
    order by (p.id = $project_id::uuid) is true desc, (e.id = $environment_id::uuid) is true desc
    limit 1`,
);

export const projectList = (on: Queryable, orgId: string) => on.all(list, { org_id: orgId });
export const projectGet = (on: Queryable, orgId: string, id: string) => on.one(get, { org_id: orgId, id });
export const projectLock = (tx: Tx, orgId: string, id: string) => tx.one(lock, { org_id: orgId, id });
export const projectInsert = (tx: Tx, row: { id: string; org_id: string; slug: string; name: string }) => tx.one(insert, row);
export const projectUpdate = (on: Queryable, row: { org_id: string; id: string; slug: string; name: string }) => on.one(update, row);
export const projectMarkDeleted = (tx: Tx, orgId: string, id: string) => tx.run(markDeleted, { org_id: orgId, id });
export const projectInheritDefault = (tx: Tx, orgId: string) => tx.run(inheritDefault, { org_id: orgId });

export const environmentList = (on: Queryable, projectIds: string[]) => on.all(environments, { project_ids: projectIds });
export const environmentGetOf = (on: Queryable, key: { org_id: string; project_id: string; id: string }) => on.one(environmentGet, key);
export const environmentInsertNew = (tx: Tx, row: NewEnvironment) => tx.one(environmentInsert, row);
export const environmentUpdateOf = (
  on: Queryable,
  row: { project_id: string; id: string; slug: string; name: string; color_hex: string },
) => on.one(environmentUpdate, row);
export const environmentMarkDeletedOf = (tx: Tx, projectId: string, id: string) =>
  tx.run(environmentMarkDeleted, { project_id: projectId, id });
export const environmentsMarkDeletedOf = (tx: Tx, projectId: string) => tx.run(environmentsMarkDeleted, { project_id: projectId });
export const environmentResolve = (
  on: Queryable,
  path: { org_id: string; project: string; project_id: string | null; environment: string; environment_id: string | null },
) => on.one(resolve, path);
