/**
 * Mounts and what runs in them: idle mounts are stopped on time, execs whose mount went away are over, execs that wait get a mount, and workers are told
 * again of mounts that nobody took.
 */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { settleMountExecs, settleWaitingExecs } from "../operations/settle-execs.ts";
import { stopIdleMount } from "../operations/stop-idle-mount.ts";
import { execOrphans, execPrune, execWaiting } from "../store/exec.ts";
import { captureKeyPrune } from "../store/mount-capture.ts";
import { mountIdle, mountNextIdleMs, mountRequestedGroups, mountStopKeyPrune } from "../store/mount.ts";
import { eachRow, type Reconciler, sum } from "./loop.ts";

export function mountReconcilers(context: EngineContext): Reconciler[] {
  return [stopIdleMounts(context), settleExecs(context)];
}

function stopIdleMounts(context: EngineContext): Reconciler {
  const { db } = context;
  return {
    name: "stop-idle-mounts",
    periodMs: 30_000,
    async run() {
      const rows = await mountIdle(db, engineLimits.reconcileBatch);
      return eachRow(rows, (row) => stopIdleMount(context, row.environment_id, row.id));
    },
    nextDueMs: () => mountNextIdleMs(db),
  };
}

function settleExecs(context: EngineContext): Reconciler {
  const { db, dispatch } = context;
  const batch = engineLimits.reconcileBatch;
  return {
    name: "settle-execs",
    periodMs: 5_000,
    async run() {
      const [orphans, waiting, groups] = await Promise.all([execOrphans(db, batch), execWaiting(db, batch), mountRequestedGroups(db)]);
      for (const { worker_group: group } of groups) dispatch.wake(group);
      const mounts = [...new Set(orphans.map((row) => row.mount_id))];
      const workspaces = new Map(waiting.map((row) => [row.workspace_id, row.environment_id]));
      const pruned = [
        await execPrune(db, engineLimits.execRetentionMs, engineLimits.garbageBatch),
        await mountStopKeyPrune(db, engineLimits.garbageBatch),
        await captureKeyPrune(db, engineLimits.garbageBatch),
      ];
      return sum([
        await eachRow(mounts, (mountId) => settleMountExecs(context, mountId)),
        await eachRow([...workspaces], ([workspaceId, environmentId]) => settleWaitingExecs(context, environmentId, workspaceId)),
        ...pruned.map((count) => ({ scanned: count, changed: count, skipped: 0 })),
      ]);
    },
  };
}
