/** What the holder of a mount lease reports (protocol/worker/mounts.ts). */
import type { EngineContext } from "../../engine-context.ts";
import { endMount, readyMount } from "../../operations/end-mount.ts";
import type { WorkerActor } from "../../worker-actor.ts";
import type { WorkerRoutes } from "./worker-route.ts";

export function addMountReportRoutes(routes: WorkerRoutes, context: EngineContext): void {
  routes.add("mountReady", ({ worker, id, body }) => readyMount(context, mountCall(worker, id, body)));
  routes.add("mountEnded", ({ worker, id, body }) =>
    endMount(context, mountCall(worker, id, body), { end: body.end, workspace: body.workspace }),
  );
}

function mountCall(worker: WorkerActor, mountId: string, body: { lease_id: string; fence: number }) {
  return { worker, mountId, leaseId: body.lease_id.toLowerCase(), fence: body.fence };
}
