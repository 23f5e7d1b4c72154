/** Puts a run that became queued again into the queue: a retry, a lost start, a resume. The run is locked with its workspace. */
import { entryGate, laneOf } from "../domain/queue.ts";
import { engineLimits } from "../limits.ts";
import type { Tx } from "../store/db.ts";
import { runQueueInsert } from "../store/run-queue.ts";
import type { LockedRun } from "../store/run.ts";
import { type EngineContext, topic } from "../engine-context.ts";

/** A run with a checkpoint goes on from it: it outranks new work. */
export async function enqueueRun(tx: Tx, context: EngineContext, run: LockedRun, { delayMs }: { delayMs: number }): Promise<void> {
  const lane = run.concurrency_limit === null ? null : laneOf(run.environment_id, run.queue_name, run.concurrency_key);
  const delayed = delayMs > 0;
  await runQueueInsert(tx, {
    runId: run.id,
    gate: entryGate({ delayed, newWorkspace: false, limited: lane !== null }),
    lane,
    delayMs,
    resume: run.checkpoint_id !== null,
    checkpointId: run.checkpoint_id,
    workspaceDiskMib: engineLimits.diskNeedMibDefault,
  });
  tx.afterCommit(() => {
    if (delayed) context.hints.send(topic.reconcile("place-runs"));
    // Whoever comes first has the workspace: while a retry waits for its time, that is another run.
    context.gates.release({ workspaceId: run.workspace_id });
  });
}
