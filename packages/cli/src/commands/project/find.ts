/** A project or environment by slug or id, resolved from the list (cli §5.7). */
import type { Environment, Project } from "@helmr/protocol/api";
import { Failure } from "../../failure.ts";
import type { ApiClient } from "../../http/api-client.ts";

export async function findProject(api: ApiClient, slugOrId: string): Promise<Project> {
  const { projects } = await api.call("projects.list");
  const project = match(projects, slugOrId);
  if (project === undefined) throw new Failure(`project ${JSON.stringify(slugOrId.trim())} was not found`);
  return project;
}

export async function findEnvironment(
  api: ApiClient,
  wanted: { project: string; environment: string },
): Promise<{ project: Project; environment: Environment }> {
  const project = await findProject(api, wanted.project);
  const environment = match(project.environments ?? [], wanted.environment);
  if (environment === undefined)
    throw new Failure(`environment ${JSON.stringify(wanted.environment.trim())} was not found in project ${project.slug}`);
  return { project, environment };
}

/** An id wins over a slug that looks like one. */
function match<T extends { id: string; slug: string }>(all: readonly T[], slugOrId: string): T | undefined {
  const wanted = slugOrId.trim();
  return all.find((one) => one.id === wanted.toLowerCase()) ?? all.find((one) => one.slug === wanted);
}
