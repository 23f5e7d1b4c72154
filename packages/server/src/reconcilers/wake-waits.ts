/** Open waits whose time has come: timers, timeouts, and what the decision of a token left behind when its process ended in between. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { lookAtWait } from "../operations/resolve-wait.ts";
import { sessionLimits } from "../session-limits.ts";
import { waitDue, waitNextWakeMs } from "../store/run-wait.ts";
import type { Reconciler } from "./loop.ts";
import { eachRowBeside } from "./side-by-side.ts";

export function wakeWaits(context: EngineContext): Reconciler {
  return {
    name: "wake-waits",
    periodMs: sessionLimits.loopPeriodMs,
    async run() {
      const rows = await waitDue(context.db, engineLimits.reconcileBatch);
      const pass = await eachRowBeside(rows, sessionLimits.wakeConcurrency, (row) => lookAtWait(context, row.id));
      return { ...pass, more: rows.length === engineLimits.reconcileBatch && pass.changed > 0 };
    },
    nextDueMs: () => waitNextWakeMs(context.db),
  };
}
