/**
 * The holder is about to run user code (step 5 of the data flow): from here on a lost lease counts against the retry policy, and the queue time is over.
 * A repeat finds the attempt running under the same lease. Locks the run.
 */
import { leaseHeldRun } from "../store/lease.ts";
import { runStart } from "../store/run-write.ts";
import { workspaceMountReady } from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { announceRun } from "./finish-run.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";

export async function startAttempt(context: EngineContext, call: RunCall): Promise<{ state: "started" | "cancelled" } | Stale> {
  return context.db.tx(async (tx) => {
    const run = await leaseHeldRun(tx, { lease_id: call.leaseId, run_id: call.runId, worker_id: call.worker.workerId, fence: call.fence });
    if (!run || !isHeldRun(run, call)) return stale;
    if (run.state === "executing") return { state: "started" };
    if (run.state !== "leased") return { state: "cancelled" };
    await Promise.all([runStart(tx, run, call.attemptId), workspaceMountReady(tx, run.workspace_id, call.leaseId)]);
    await context.hooks.attemptStarted(tx, context, { workspaceId: run.workspace_id, leaseId: call.leaseId });
    tx.afterCommit(() => announceRun(context, run));
    return { state: "started" };
  });
}
