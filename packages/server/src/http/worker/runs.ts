/** What the holder of a run lease reports (protocol/worker/runs.ts). Waits, parking and resuming are added by their own file. */
import type { EngineContext } from "../../engine-context.ts";
import { completeAttempt } from "../../operations/complete-attempt.ts";
import { reportAttempt } from "../../operations/report-attempt.ts";
import { startAttempt } from "../../operations/start-attempt.ts";
import type { RunCall, WorkerActor } from "../../worker-actor.ts";
import type { WorkerRoutes } from "./worker-route.ts";

export function addRunReportRoutes(routes: WorkerRoutes, context: EngineContext): void {
  routes.add("attemptStarted", ({ worker, id, body }) => startAttempt(context, runCall(worker, id, body)));

  routes.add("report", ({ worker, id, body }) =>
    reportAttempt(context, runCall(worker, id, body), { first: body.first, items: body.items }),
  );

  routes.add("complete", ({ worker, id, body }) =>
    completeAttempt(context, runCall(worker, id, body), {
      end: body.end,
      activeMs: body.active_ms,
      reportThrough: body.report_through,
      workspace: body.workspace,
    }),
  );
}

export function runCall(worker: WorkerActor, runId: string, body: { lease_id: string; fence: number; attempt_id: string }): RunCall {
  return { worker, runId, leaseId: body.lease_id.toLowerCase(), fence: body.fence, attemptId: body.attempt_id.toLowerCase() };
}
