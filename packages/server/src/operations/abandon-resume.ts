/**
 * A run that has wanted to resume for longer than a resume may wait, while no worker that was heard of lately could restore it: the task decides, as for any
 * checkpoint that is lost. As long as such a worker is there the run waits for room, and its `blocked` says so. Locks: session → workspace → run.
 */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { checkpointGet, checkpointRestorable } from "../store/checkpoint.ts";
import { runLock } from "../store/run.ts";
import { loseCheckpoint } from "./lose-checkpoint.ts";

/** True when the run has ended or begins anew. */
export async function abandonResume(
  context: EngineContext,
  { environmentId, runId }: { environmentId: string; runId: string },
): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const run = await runLock(tx, environmentId, runId);
    if (run?.state !== "queued" || run.checkpoint_id === null) return false;
    const queued = await checkpointRestorable(tx, runId, engineLimits.workerSilentMs);
    if (!queued || queued.restorable) return false;
    const checkpoint = await checkpointGet(tx, run.checkpoint_id);
    if (!checkpoint) return false;
    const message = `no worker could restore the checkpoint (${queued.requires ?? "unknown"}) for longer than a resume may wait`;
    await loseCheckpoint(tx, context, run, { checkpoint, reason: "no_worker", message });
    return true;
  });
}
