/** Step 10 of the data flow: leases whose deadline passed are lost, and holders that were told to stop and did not are stopped by force. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { forceCancel } from "../operations/force-cancel.ts";
import { loseLease } from "../operations/lose-lease.ts";
import { leaseNextDeadlineMs, leaseOverdue } from "../store/lease.ts";
import { runNextCancelMs, runOverdueCancels } from "../store/run.ts";
import { eachRow, type Reconciler, sum } from "./loop.ts";

export function expireLeases(context: EngineContext): Reconciler {
  const { db } = context;
  const batch = engineLimits.reconcileBatch;
  return {
    name: "expire-leases",
    periodMs: 10_000,
    async run() {
      const [leases, cancels] = await Promise.all([leaseOverdue(db, batch), runOverdueCancels(db, batch)]);
      const lost = await eachRow(leases, (lease) => loseLease(context, lease, "expired"));
      const stopped = await eachRow(cancels, (run) => forceCancel(context, run.environment_id, run.id));
      return sum([
        { ...lost, more: leases.length === batch },
        { ...stopped, more: cancels.length === batch },
      ]);
    },
    async nextDueMs() {
      const due = (await Promise.all([leaseNextDeadlineMs(db), runNextCancelMs(db)])).filter((ms) => ms !== undefined);
      return due.length === 0 ? undefined : Math.min(...due);
    },
  };
}
