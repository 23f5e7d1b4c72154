/** Workspaces and their versions as metadata (http §11, §12); mounts, files, execs and terminals have files of their own. */
import { versionEndpoints, workspaceEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { createWorkspace } from "../../operations/create-workspace.ts";
import { deleteWorkspace } from "../../operations/delete-workspace.ts";
import { listVersions, listWorkspaces, readVersion, readWorkspace, updateWorkspace } from "../../operations/read-workspaces.ts";
import { isRefusal } from "../../outcome.ts";
import { refuseScopeFields } from "../request-facts.ts";
import type { Routes } from "../route.ts";
import { versionView, workspaceView } from "./workspace-view.ts";

export function addWorkspaceRoutes(routes: Routes, context: EngineContext): void {
  routes.add(workspaceEndpoints.create, async ({ actor, scope, body }) => {
    const created = refuseScopeFields(actor, body) ?? (await createWorkspace(context, scope, body));
    if (isRefusal(created)) return created;
    return { status: 201, body: { workspace: workspaceView(created.workspace), ...(created.cached ? { is_cached: true as const } : {}) } };
  });

  routes.add(workspaceEndpoints.list, async ({ scope, query }) => {
    const filter = {
      environmentId: scope.environmentId,
      state: query.state,
      externalId: query.external_id,
      tag: query.tag,
      limit: query.limit,
    };
    return { body: { workspaces: (await listWorkspaces(context, filter)).map(workspaceView) } };
  });

  routes.add(workspaceEndpoints.get, async ({ scope, params }) => {
    const workspace = await readWorkspace(context, scope.environmentId, params.id);
    return isRefusal(workspace) ? workspace : { body: { workspace: workspaceView(workspace) } };
  });

  routes.add(workspaceEndpoints.update, async ({ scope, params, body }) => {
    const workspace = await updateWorkspace(context, scope.environmentId, params.id, body);
    return isRefusal(workspace) ? workspace : { body: { workspace: workspaceView(workspace) } };
  });

  routes.add(workspaceEndpoints.delete, async ({ scope, params, query }) => {
    const deleted = await deleteWorkspace(context, { environmentId: scope.environmentId, id: params.id, force: query.force });
    return isRefusal(deleted) ? deleted : { status: deleted.pending ? 202 : 200, body: { workspace: workspaceView(deleted.workspace) } };
  });

  routes.add(versionEndpoints.list, async ({ scope, params, query }) => {
    const filter = { environmentId: scope.environmentId, id: params.id, kind: query.kind, limit: query.limit };
    const versions = await listVersions(context, filter);
    return isRefusal(versions) ? versions : { body: { versions: versions.map(versionView) } };
  });

  routes.add(versionEndpoints.get, async ({ scope, params }) => {
    const version = await readVersion(context, scope.environmentId, params.id, params.versionID);
    return isRefusal(version) ? version : { body: { version: versionView(version) } };
  });
}
