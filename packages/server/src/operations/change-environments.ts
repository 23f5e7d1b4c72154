/** Environments of a project (http §15.3), and the way from a path to a scope. */
import type { Environment } from "@helmr/protocol/api";
import { isUuid } from "@helmr/protocol/shared";
import { required } from "../assert.ts";
import type { Hints } from "../hints.ts";
import { newId } from "../new-id.ts";
import { type Refusal, invalid, notFound } from "../outcome.ts";
import { type Db, type Queryable, violatedConstraint } from "../store/db.ts";
import {
  environmentGetOf,
  environmentInsertNew,
  environmentMarkDeletedOf,
  environmentResolve,
  environmentUpdateOf,
  projectLock,
} from "../store/project.ts";
import { credentialsTopic, purgeTopic } from "../account-limits.ts";
import { builtInEnvironments, environmentView } from "./change-projects.ts";

export interface EnvironmentText {
  slug: string;
  name: string;
  color_hex: string;
}

/** Which environment of which organization; ids come from the path and are checked against the organization by every statement. */
export interface EnvironmentKey {
  orgId: string;
  projectId: string;
  environmentId: string;
}

export interface ResolvedScope {
  projectId: string;
  environmentId: string;
}

/** Project and environment of a path, each a UUID or a slug. Nothing for what belongs to another organization. */
export async function resolveEnvironment(
  db: Queryable,
  orgId: string,
  path: { project: string; environment: string },
): Promise<ResolvedScope | undefined> {
  const row = await environmentResolve(db, {
    org_id: orgId,
    project: path.project,
    project_id: isUuid(path.project) ? path.project : null,
    environment: path.environment,
    environment_id: isUuid(path.environment) ? path.environment : null,
  });
  return row && { projectId: row.project_id, environmentId: row.environment_id };
}

export async function getEnvironment(db: Queryable, key: EnvironmentKey): Promise<Environment | Refusal> {
  const row = await environmentGetOf(db, rowKey(key));
  return row ? environmentView(row) : notFound("environment not found");
}

export async function createEnvironment(
  db: Db,
  project: { orgId: string; projectId: string },
  text: EnvironmentText,
): Promise<Environment | Refusal> {
  return refusingSlug(text.slug, () =>
    db.tx(async (tx) => {
      if (!(await projectLock(tx, project.orgId, project.projectId))) return notFound("project not found");
      const row = await environmentInsertNew(tx, {
        id: newId(),
        org_id: project.orgId,
        project_id: project.projectId,
        slug: text.slug,
        name: text.name,
        color_hex: text.color_hex,
        is_default: false,
      });
      return environmentView(required(row, "An insert returns its row"));
    }),
  );
}

export async function updateEnvironment(db: Db, key: EnvironmentKey, text: EnvironmentText): Promise<Environment | Refusal> {
  return refusingSlug(text.slug, () =>
    db.tx(async (tx) => {
      if (!(await projectLock(tx, key.orgId, key.projectId))) return notFound("environment not found");
      const present = await environmentGetOf(tx, rowKey(key));
      if (!present) return notFound("environment not found");
      if (isBuiltIn(present.slug) && (text.slug !== present.slug || text.name !== present.name)) {
        return invalid(`environment "${present.slug}" cannot be renamed`);
      }
      const row = await environmentUpdateOf(tx, { project_id: key.projectId, id: key.environmentId, ...text });
      return environmentView(required(row, "The project is locked, so its environment is still there"));
    }),
  );
}

export async function deleteEnvironment(db: Db, hints: Hints, key: EnvironmentKey): Promise<Refusal | "deleted"> {
  return db.tx(async (tx) => {
    if (!(await projectLock(tx, key.orgId, key.projectId))) return notFound("environment not found");
    const present = await environmentGetOf(tx, rowKey(key));
    if (!present) return notFound("environment not found");
    if (isBuiltIn(present.slug)) return invalid(`environment "${present.slug}" cannot be deleted`);
    await environmentMarkDeletedOf(tx, key.projectId, key.environmentId);
    tx.afterCommit(() => {
      hints.send(credentialsTopic);
      hints.send(purgeTopic);
    });
    return "deleted" as const;
  });
}

function isBuiltIn(slug: string): boolean {
  return builtInEnvironments.some((environment) => environment.slug === slug);
}

async function refusingSlug<T>(slug: string, act: () => Promise<T | Refusal>): Promise<T | Refusal> {
  try {
    return await act();
  } catch (error) {
    if (violatedConstraint(error) === "environments_slug") return invalid(`slug "${slug}" is already in use`);
    throw error;
  }
}

function rowKey(key: EnvironmentKey) {
  return { org_id: key.orgId, project_id: key.projectId, id: key.environmentId };
}
