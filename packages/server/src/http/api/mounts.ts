/** Materialize, connect and stop (http §11). */
import { type MountState, workspaceEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { materializeWorkspace } from "../../operations/materialize-workspace.ts";
import { stopWorkspace } from "../../operations/stop-workspace.ts";
import { isRefusal } from "../../outcome.ts";
import type { Routes } from "../route.ts";
import { mountView } from "./exec-view.ts";

export function addMountRoutes(routes: Routes, context: EngineContext): void {
  for (const endpoint of [workspaceEndpoints.materialize, workspaceEndpoints.connect]) {
    routes.add(endpoint, async ({ scope, params }) => {
      const ensured = await materializeWorkspace(context, scope.environmentId, params.id);
      return isRefusal(ensured) ? ensured : { status: ensured.created ? 201 : 200, body: mountView(ensured.mount) };
    });
  }

  routes.add(workspaceEndpoints.stop, async ({ scope, params, body }) => {
    const stopped = await stopWorkspace(context, { environmentId: scope.environmentId, id: params.id, body });
    if (isRefusal(stopped)) return stopped;
    const { mount } = stopped;
    const state: MountState | "no_active_mount" = mount?.state ?? "no_active_mount";
    return {
      body: { workspace_id: params.id, state, ...(mount ? { mount: mountView(mount) } : {}) },
    };
  });
}
