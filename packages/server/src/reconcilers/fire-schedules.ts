/** Schedules that are due, in the order of their time; sleeps until the next one is. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { fireSchedule } from "../operations/fire-schedule.ts";
import { sessionLimits } from "../session-limits.ts";
import { scheduleDue, scheduleNextDueMs } from "../store/schedule.ts";
import type { Reconciler } from "./loop.ts";
import { eachRowBeside } from "./side-by-side.ts";

export function fireSchedules(context: EngineContext): Reconciler {
  return {
    name: "fire-schedules",
    periodMs: sessionLimits.loopPeriodMs,
    async run() {
      const rows = await scheduleDue(context.db, engineLimits.reconcileBatch);
      const pass = await eachRowBeside(
        rows,
        sessionLimits.wakeConcurrency,
        async (row) => (await fireSchedule(context, row.id)) !== "not_due",
      );
      return { ...pass, more: rows.length === engineLimits.reconcileBatch && pass.changed > 0 };
    },
    nextDueMs: () => scheduleNextDueMs(context.db),
  };
}
