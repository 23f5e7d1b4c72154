/**
 * Projects of an organization (http §15.3). A project comes with the environments production (its default) and staging. Deleting marks project
 * and environments, which hides them from every route and ends their API keys at once; `purge-environments.ts` removes the rows.
 */
import type { Environment, Project } from "@helmr/protocol/api";
import { required } from "../assert.ts";
import type { Hints } from "../hints.ts";
import { newId } from "../new-id.ts";
import { type Refusal, invalid, notFound } from "../outcome.ts";
import { type Db, type Queryable, type Tx, violatedConstraint } from "../store/db.ts";
import {
  type EnvironmentRow,
  type ProjectRow,
  environmentInsertNew,
  environmentList,
  environmentsMarkDeletedOf,
  projectGet,
  projectInheritDefault,
  projectInsert,
  projectList,
  projectLock,
  projectMarkDeleted,
  projectUpdate,
} from "../store/project.ts";
import { credentialsTopic, purgeTopic } from "../account-limits.ts";

/** Made with every project; they cannot be renamed or deleted. */
export const builtInEnvironments = [
  { slug: "production", name: "Production", color_hex: "#16A34A", is_default: true },
  { slug: "staging", name: "Staging", color_hex: "#D97706", is_default: false },
] as const;

export interface ProjectText {
  slug: string;
  name: string;
}

export async function listProjects(db: Queryable, orgId: string): Promise<Project[]> {
  const projects = await projectList(db, orgId);
  return withEnvironments(db, projects);
}

export async function getProject(db: Queryable, orgId: string, id: string): Promise<Project | Refusal> {
  const row = await projectGet(db, orgId, id);
  if (!row) return notFound("project not found");
  const [project] = await withEnvironments(db, [row]);
  return required(project, "One row gives one project");
}

export async function createProject(db: Db, orgId: string, text: ProjectText): Promise<Project | Refusal> {
  return refusingSlug(text.slug, () => db.tx((tx) => insertProject(tx, orgId, text)));
}

/** In the caller's transaction; a slug that is taken ends it with a violation of `projects_slug`. */
export async function insertProject(tx: Tx, orgId: string, text: ProjectText): Promise<Project> {
  const row = required(await projectInsert(tx, { id: newId(), org_id: orgId, ...text }), "An insert returns its row");
  const environments: EnvironmentRow[] = [];
  for (const builtIn of builtInEnvironments) {
    const environment = await environmentInsertNew(tx, { id: newId(), org_id: orgId, project_id: row.id, ...builtIn });
    environments.push(required(environment, "An insert returns its row"));
  }
  return projectView(row, environments);
}

export async function updateProject(db: Db, orgId: string, project: ProjectText & { id: string }): Promise<Project | Refusal> {
  return refusingSlug(project.slug, async () => {
    const row = await projectUpdate(db, { org_id: orgId, id: project.id, slug: project.slug, name: project.name });
    if (!row) return notFound("project not found");
    return projectView(row, await environmentList(db, [row.id]));
  });
}

export async function deleteProject(db: Db, hints: Hints, orgId: string, id: string): Promise<Refusal | "deleted"> {
  return db.tx(async (tx) => {
    if (!(await projectLock(tx, orgId, id))) return notFound("project not found");
    await projectMarkDeleted(tx, orgId, id);
    await environmentsMarkDeletedOf(tx, id);
    await projectInheritDefault(tx, orgId);
    tx.afterCommit(() => {
      hints.send(credentialsTopic);
      hints.send(purgeTopic);
    });
    return "deleted" as const;
  });
}

/**
 * A slug conflict is 400 (http §15.3). Two first projects at once both want to be the default: the one that lost is repeated, sees the other and
 * is no default.
 */
async function refusingSlug<T>(slug: string, act: () => Promise<T | Refusal>): Promise<T | Refusal> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      const constraint = violatedConstraint(error);
      if (constraint === "projects_slug") return invalid(`slug "${slug}" is already in use`);
      if (constraint !== "projects_default" || attempt >= 3) throw error;
    }
  }
}

async function withEnvironments(db: Queryable, rows: ProjectRow[]): Promise<Project[]> {
  if (rows.length === 0) return [];
  const environments = await environmentList(
    db,
    rows.map((row) => row.id),
  );
  return rows.map((row) =>
    projectView(
      row,
      environments.filter((environment) => environment.project_id === row.id),
    ),
  );
}

function projectView(row: ProjectRow, environments: EnvironmentRow[]): Project {
  return {
    id: row.id,
    slug: row.slug,
    name: row.name,
    is_default: row.is_default,
    created_at: row.created_at,
    updated_at: row.updated_at,
    environments: environments.map(environmentView),
  };
}

export function environmentView(row: EnvironmentRow): Environment {
  return {
    id: row.id,
    project_id: row.project_id,
    slug: row.slug,
    name: row.name,
    color_hex: row.color_hex,
    is_default: row.is_default,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}
