/** Runs that are still queued when their ttl ends. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { expireRun } from "../operations/expire-run.ts";
import { runQueueExpired, runQueueNextTtlMs } from "../store/run-queue.ts";
import { eachRow, type Reconciler } from "./loop.ts";

export function expireRuns(context: EngineContext): Reconciler {
  return {
    name: "expire-runs",
    // A start with a ttl sends no hint: this bounds how late the shortest ttl is noticed.
    periodMs: 2_000,
    async run() {
      const rows = await runQueueExpired(context.db, engineLimits.reconcileBatch);
      const pass = await eachRow(rows, (row) => expireRun(context, row.environment_id, row.run_id));
      return { ...pass, more: rows.length === engineLimits.reconcileBatch };
    },
    nextDueMs: () => runQueueNextTtlMs(context.db),
  };
}
