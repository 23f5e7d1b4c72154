/** Grants leases to one worker in one transaction, then reads what they carry. A run whose secrets went away meanwhile fails instead of starting. */
import { limits } from "@helmr/protocol/shared";
import type { Lease } from "@helmr/protocol/worker";
import { engineLimits } from "../limits.ts";
import { newId } from "../new-id.ts";
import { deploymentEventAppend } from "../store/deployment.ts";
import { leaseGrantBuilds, leaseGrantRuns, type WorkerSubject } from "../store/lease.ts";
import { runQueueStepBack } from "../store/run-queue.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { readLeases } from "./read-leases.ts";

export async function grantRunLeases(context: EngineContext, worker: WorkerSubject, runIds: string[], ttlMs: number): Promise<Lease[]> {
  const granted = await context.db.tx(async (tx) => {
    const wanted = runIds.map((runId) => ({ runId, leaseId: newId(), mountId: newId(), attemptId: newId() }));
    const rows = await leaseGrantRuns(tx, worker, wanted, ttlMs);
    // A workspace that somebody mounted after all closes its gate again.
    if (rows.length < wanted.length) await runQueueStepBack(tx, runIds);
    return rows;
  });
  if (granted.length === 0) return [];
  for (const { run_id: runId } of granted) context.hints.send(topic.run(runId));
  // In the order of their rank, not in the one PostgreSQL happened to lock them.
  const rank = new Map(runIds.map((runId, index) => [runId, index]));
  granted.sort((left, right) => (rank.get(left.run_id) ?? 0) - (rank.get(right.run_id) ?? 0));
  return readLeases(
    context,
    granted.map((row) => ({ id: row.lease_id, kind: "run" })),
  );
}

export async function grantBuildLeases(context: EngineContext, worker: WorkerSubject & { group: string }, count: number): Promise<Lease[]> {
  const granted = await context.db.tx(async (tx) => {
    const leaseIds = Array.from({ length: count }, newId);
    const rows = await leaseGrantBuilds(tx, worker, leaseIds, { ttlMs: limits.leaseTtlMs, ...engineLimits.buildNeeds });
    for (const row of rows) {
      await deploymentEventAppend(tx, row.deployment_id, [
        {
          kind: "deployment.building",
          severity: "info",
          message: `deployment ${row.version} is being built`,
          attributes: { lease_id: row.lease_id },
        },
      ]);
      tx.afterCommit(() => context.hints.send(topic.deployment(row.deployment_id)));
    }
    return rows;
  });
  return readLeases(
    context,
    granted.map((row) => ({ id: row.lease_id, kind: "build" })),
  );
}
