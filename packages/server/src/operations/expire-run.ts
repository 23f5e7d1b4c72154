/** A run that was still queued when its ttl ended (http §7.6). Only the queue time before the first execution counts. Locks: session → workspace → run. */
import { runQueueEntry } from "../store/run-queue.ts";
import { runLock } from "../store/run.ts";
import type { EngineContext } from "../engine-context.ts";
import { finishRun } from "./finish-run.ts";

/** True when the run was expired now. */
export async function expireRun(context: EngineContext, environmentId: string, runId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const [run, entry] = await Promise.all([runLock(tx, environmentId, runId), runQueueEntry(tx, runId)]);
    // A claim may have come first: then the run is leased, and has no entry any more.
    if (!run || run.state !== "queued" || !entry?.expired) return false;
    await finishRun(tx, context, run, {
      outcome: "expired",
      attemptState: "cancelled",
      events: [
        {
          kind: "run.expired",
          attributes: {
            ...(run.ttl_text === null ? {} : { ttl: run.ttl_text }),
            message: `the run was queued for longer than its ttl${run.ttl_text === null ? "" : ` of ${run.ttl_text}`}`,
          },
        },
      ],
      ending: { lease: "fenced", mount: "lost" },
    });
    tx.afterCommit(() => context.gates.release({ lane: entry.lane, workspaceId: run.workspace_id }));
    return true;
  });
}
