/** What the holder of a mount lease reports (protocol/worker/mounts.ts). */
import type { EngineContext } from "../../engine-context.ts";
import { endMount, readyMount } from "../../operations/end-mount.ts";
import { commitCapture } from "../../operations/commit-capture.ts";
import type { WorkerActor } from "../../worker-actor.ts";
import type { WorkerRoutes } from "./worker-route.ts";

export function addMountReportRoutes(routes: WorkerRoutes, context: EngineContext): void {
  routes.add("mountReady", ({ worker, id, body }) => readyMount(context, mountCall(worker, id, body)));
  routes.add("mountCaptured", ({ worker, id, body }) =>
    commitCapture(context, mountCall(worker, id, body), {
      versionId: body.version_id.toLowerCase(),
      artifact: body.artifact,
      sizeBytes: body.size_bytes,
      entryCount: body.entry_count,
      message: body.message,
    }),
  );
  routes.add("mountEnded", ({ worker, id, body }) =>
    endMount(context, mountCall(worker, id, body), { end: body.end, workspace: body.workspace }),
  );
}

function mountCall(worker: WorkerActor, mountId: string, body: { lease_id: string; fence: number }) {
  return { worker, mountId, leaseId: body.lease_id.toLowerCase(), fence: body.fence };
}
