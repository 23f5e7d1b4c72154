/** Ends a run whose holder was told to stop and did not in time (limits.cancelTotalMs). Locks: session → workspace → run. */
import type { EngineContext } from "../engine-context.ts";
import { runCancelOverdue, runLock } from "../store/run.ts";
import { cancelledBy } from "./cancel-run.ts";
import { finishRun } from "./finish-run.ts";

/** True when the run was ended now. */
export async function forceCancel(context: EngineContext, environmentId: string, runId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const run = await runLock(tx, environmentId, runId);
    if (!run || run.state !== "cancelling" || !(await runCancelOverdue(tx, runId))) return false;
    await finishRun(
      tx,
      context,
      run,
      cancelledBy(run, { events: [], ending: { lease: "fenced", mount: "lost" }, attemptState: "cancelled" }),
    );
    return true;
  });
}
