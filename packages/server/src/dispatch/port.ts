/**
 * The dispatch port: an index of ready runs (the open gate) per worker group. It proposes, PostgreSQL decides: a candidate may be gone, taken or closed
 * again by the time it is claimed. An adapter may lose everything at any moment; `repair` makes it equal to the store again. Adapters: `postgres` (the
 * queue table itself is the index) and, for many machines, Valkey. One conformance suite runs against each.
 */
import type { Candidate, Capacity } from "../domain/queue.ts";

export interface ReadyRun {
  runId: string;
  environmentId: string;
  workerGroup: string;
}

export interface Proposal {
  group: string;
  /** Of the workers that wait; a candidate fits at least one of them. */
  free: readonly Capacity[];
  /** What they can restore: a run that resumes from anything else is not proposed to them. */
  restores: readonly string[];
  limit: number;
}

export interface Dispatch {
  /** Ready runs in fair order: environments in turn, inside each by rank. Empty means that nothing that fits is ready. */
  propose(proposal: Proposal): Promise<Candidate[]>;
  /** These runs were let through the open gate. Wakes claims of their groups; may be lost. */
  ready(runs: readonly ReadyRun[]): void;
  /** Something other than a run wants a worker of this group (a build, a mount). */
  wake(group: string): void;
  /** Calls back on `ready` and `wake` of the group, in any process. */
  onReady(group: string, listener: () => void): () => void;
  /** Makes the index equal to the store. */
  repair(): Promise<{ scanned: number; changed: number }>;
}
