/** Everything that is only kept to answer repeats, and what grew with work and has ended: removed in bounded pages. Also finishes what a forced delete began. */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { deleteWorkspace } from "../operations/delete-workspace.ts";
import { isRefusal } from "../outcome.ts";
import { imageStepPrune } from "../store/image-step.ts";
import { leasePrune } from "../store/lease.ts";
import { runOperationPrune } from "../store/run-operation.ts";
import { sessionStartKeyPrune } from "../store/session.ts";
import { workspaceDeleting, workspaceMountPrune } from "../store/workspace.ts";
import { eachRow, type Reconciler, sum } from "./loop.ts";

export function collectGarbage(context: EngineContext): Reconciler {
  const { db } = context;
  const batch = engineLimits.garbageBatch;
  return {
    name: "collect-garbage",
    periodMs: 60_000,
    async run() {
      const pruned = [
        await sessionStartKeyPrune(db, batch),
        await leasePrune(db, engineLimits.endedRetentionMs, batch),
        await workspaceMountPrune(db, engineLimits.endedRetentionMs, batch),
        await runOperationPrune(db, engineLimits.repeatRetentionMs, batch),
        await imageStepPrune(db, engineLimits.imageStepRetentionMs, batch),
      ];
      const deleting = await workspaceDeleting(db, engineLimits.reconcileBatch);
      const archived = await eachRow(deleting, async (row) => {
        const result = await deleteWorkspace(context, { environmentId: row.environment_id, id: row.id, force: true });
        return !isRefusal(result) && !result.pending;
      });
      return sum([...pruned.map((count) => ({ scanned: count, changed: count, skipped: 0, more: count === batch })), archived]);
    },
  };
}
