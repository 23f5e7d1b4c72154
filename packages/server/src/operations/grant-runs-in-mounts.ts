/**
 * Runs that use the machine of a live mount become leases of the worker that holds it, whatever it has free: nothing is booted. The mount is looked at
 * again under its lock; a run whose mount goes meanwhile gets none, and stands at the gate of its workspace again (open-gates.ts).
 */
import { limits } from "@helmr/protocol/shared";
import type { Lease } from "@helmr/protocol/worker";
import { newId } from "../new-id.ts";
import type { WorkerSubject } from "../store/lease.ts";
import { mountRunGrant } from "../store/mount-run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { readLeases } from "./read-leases.ts";

export async function grantRunsInMounts(context: EngineContext, worker: WorkerSubject, runIds: string[]): Promise<Lease[]> {
  const wanted = runIds.map((runId) => ({ runId, leaseId: newId(), attemptId: newId() }));
  const granted = await context.db.tx((tx) => mountRunGrant(tx, worker, wanted, limits.leaseTtlMs));
  for (const row of granted) context.hints.send(topic.run(row.run_id));
  return readLeases(
    context,
    granted.map((row) => ({ id: row.lease_id, kind: "run" })),
  );
}
