/**
 * Runs on their way to the open gate: those whose retry delay has passed go on, and gates that a crash left closed although there is room are opened.
 * Every lane and workspace that holds runs back is looked at in turn, a page at a time.
 */
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { deploymentQueuedGroups } from "../store/deployment-build.ts";
import { runQueueNextDelayMs, runQueueUndelay, runQueueWaitingLanes, runQueueWaitingWorkspaces } from "../store/run-queue.ts";
import { eachRow, type Reconciler, sum } from "./loop.ts";

/** On time: sleeps until the next delay ends. */
export function undelayRuns({ db, gates }: EngineContext): Reconciler {
  return {
    name: "place-runs",
    periodMs: 30_000,
    async run() {
      const rows = await runQueueUndelay(db, engineLimits.reconcileBatch);
      for (const row of rows) gates.release({ workspaceId: row.workspace_id });
      return { scanned: rows.length, changed: rows.length, skipped: 0, more: rows.length === engineLimits.reconcileBatch };
    },
    nextDueMs: () => runQueueNextDelayMs(db),
  };
}

const noWorkspace = "00000000-0000-0000-0000-000000000000";

/** On a period: what nobody told us. */
export function repairGates({ db, gates, dispatch }: EngineContext): Reconciler {
  let lane = "";
  let workspace = noWorkspace;
  return {
    name: "repair-gates",
    periodMs: 5_000,
    async run() {
      const [lanes, workspaces, builds] = await Promise.all([
        runQueueWaitingLanes(db, lane, engineLimits.reconcileBatch),
        runQueueWaitingWorkspaces(db, workspace, engineLimits.reconcileBatch),
        deploymentQueuedGroups(db),
      ]);
      const full = (rows: unknown[]) => rows.length === engineLimits.reconcileBatch;
      lane = full(lanes) ? (lanes.at(-1)?.lane ?? "") : "";
      workspace = full(workspaces) ? (workspaces.at(-1)?.workspace_id ?? noWorkspace) : noWorkspace;
      for (const group of builds) dispatch.wake(group.worker_group);
      const index = await dispatch.repair();
      return sum([
        await eachRow(workspaces, (row) => gates.admitWorkspace(row.workspace_id)),
        await eachRow(lanes, (row) => gates.admitLane(row.lane)),
        { ...index, skipped: 0 },
      ]);
    },
  };
}
