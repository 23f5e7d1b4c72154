/** Parking and resuming (protocol/worker/runs.ts), as the holder of a run asks for it. */
import type { EngineContext } from "../../engine-context.ts";
import { parkRun } from "../../operations/park-run.ts";
import { failRestore, resumeRun } from "../../operations/resume-run.ts";
import { runCall } from "./runs.ts";
import type { WorkerRoutes } from "./worker-route.ts";

export function addCheckpointRoutes(routes: WorkerRoutes, context: EngineContext): void {
  routes.add("park", ({ worker, id, body }) => {
    const { template, memory, device, scratch } = body;
    return parkRun(context, runCall(worker, id, body), {
      waitId: body.wait_id.toLowerCase(),
      checkpointId: body.checkpoint_id.toLowerCase(),
      activeMs: body.active_ms,
      reportThrough: body.report_through,
      compatibility: body.compatibility,
      requires: body.requires,
      resumeState: body.resume_state,
      artifacts: { template, memory, device, scratch },
      workspace: body.workspace,
      keyId: body.key_id,
      storedBytes: body.stored_bytes,
      pauseMs: body.pause_ms,
    });
  });
  routes.add("resumed", ({ worker, id, body }) => resumeRun(context, runCall(worker, id, body), body.checkpoint_id.toLowerCase()));
  routes.add("restoreFailed", ({ worker, id, body }) =>
    failRestore(context, runCall(worker, id, body), {
      checkpointId: body.checkpoint_id.toLowerCase(),
      reason: body.reason,
      message: body.message,
    }),
  );
}
