/** The caller of the worker API, after its credential was checked; and the one answer every fenced call shares. */
export interface WorkerActor {
  workerId: string;
  group: string;
}

/** A subject's present holder and fence are not the ones named: the caller stops what the lease covers and says nothing more about it. */
export interface Stale {
  stale: true;
}

export const stale: Stale = { stale: true };

export function isStale(value: unknown): value is Stale {
  return typeof value === "object" && value !== null && (value as { stale?: unknown }).stale === true;
}

export interface FencedLease {
  leaseId: string;
  fence: number;
}

export interface RunCall extends FencedLease {
  worker: WorkerActor;
  runId: string;
  attemptId: string;
}

/** What the check looks at, read under the lock of the run. */
export interface HeldRunFence {
  lease_id: string | null;
  fence: number;
  attempt_id: string | null;
  in_time: boolean;
}

/** Of the present holder, in time, for the present attempt. Anything else is stale. */
export function isHeldRun(run: HeldRunFence, call: Pick<RunCall, "leaseId" | "fence" | "attemptId">): boolean {
  return run.lease_id === call.leaseId && run.fence === call.fence && run.attempt_id === call.attemptId && run.in_time;
}
