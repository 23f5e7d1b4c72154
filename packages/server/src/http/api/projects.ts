/** Projects and environments (http §15.3). */
import { environmentEndpoints, projectEndpoints } from "@helmr/protocol/api";
import type { AccountContext } from "../../account-context.ts";
import { createEnvironment, deleteEnvironment, getEnvironment, updateEnvironment } from "../../operations/change-environments.ts";
import { createProject, deleteProject, getProject, listProjects, updateProject } from "../../operations/change-projects.ts";
import { isRefusal } from "../../outcome.ts";
import { memberOf } from "../auth/authenticate.ts";
import { type Routes, answer } from "../route.ts";

export function addProjectRoutes(routes: Routes, { db, hints }: AccountContext): void {
  routes.add(projectEndpoints.list, async ({ actor }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : { body: { projects: await listProjects(db, member.orgId) } };
  });
  routes.add(projectEndpoints.get, async ({ actor, params }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await getProject(db, member.orgId, params.project));
  });
  routes.add(projectEndpoints.create, async ({ actor, body }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await createProject(db, member.orgId, body));
  });
  routes.add(projectEndpoints.update, async ({ actor, params, body }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await updateProject(db, member.orgId, { ...body, id: params.project }));
  });
  routes.add(projectEndpoints.delete, async ({ actor, params }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const deleted = await deleteProject(db, hints, member.orgId, params.project);
    return isRefusal(deleted) ? deleted : {};
  });
}

export function addEnvironmentRoutes(routes: Routes, { db, hints }: AccountContext): void {
  const keyOf = (orgId: string, params: { project: string; environment: string }) => ({
    orgId,
    projectId: params.project,
    environmentId: params.environment,
  });
  routes.add(environmentEndpoints.get, async ({ actor, params }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await getEnvironment(db, keyOf(member.orgId, params)));
  });
  routes.add(environmentEndpoints.create, async ({ actor, params, body }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await createEnvironment(db, { orgId: member.orgId, projectId: params.project }, body));
  });
  routes.add(environmentEndpoints.update, async ({ actor, params, body }) => {
    const member = memberOf(actor);
    return isRefusal(member) ? member : answer(await updateEnvironment(db, keyOf(member.orgId, params), body));
  });
  routes.add(environmentEndpoints.delete, async ({ actor, params }) => {
    const member = memberOf(actor);
    if (isRefusal(member)) return member;
    const deleted = await deleteEnvironment(db, hints, keyOf(member.orgId, params));
    return isRefusal(deleted) ? deleted : {};
  });
}
