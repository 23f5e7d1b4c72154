/**
 * Order, concurrency and placement of runs that want a machine. Pure: PostgreSQL keeps the queue (migrations/0008), this file says what its words
 * mean.
 *
 * A queued run stands at one gate and moves on when what the gate waits for is there:
 *
 *   delayed ──time──▶ workspace ──no other writer──▶ lane ──room──▶ open ──claim──▶ (leased)
 *
 * - A lane is (environment, queue, concurrency key) of a queue with a limit; each concurrency key has the limit for itself. What is in use is
 *   counted from held leases and runs at the open gate, never from a counter of its own. A run without a limit skips the gate.
 * - Only the first run of a workspace passes its gate: a unique index over the gates behind it says so.
 * - Order inside a lane and inside an environment: a run that resumes first, then priority, then ready time. Between environments of a worker group:
 *   in turn.
 */
export const gates = ["delayed", "workspace", "lane", "open"] as const;
export type Gate = (typeof gates)[number];

export function laneOf(environmentId: string, queue: string, concurrencyKey: string | null): string {
  return concurrencyKey === null ? `${environmentId}/${queue}` : `${environmentId}/${queue}/${concurrencyKey}`;
}

/** Where a run enters the queue. A workspace that was made for this run has no other writer; any other must be asked. */
export function entryGate(input: { delayed: boolean; newWorkspace: boolean; limited: boolean }): Gate {
  if (input.delayed) return "delayed";
  if (!input.newWorkspace) return "workspace";
  return input.limited ? "lane" : "open";
}

export interface Capacity {
  milliCpu: number;
  memoryMib: number;
  diskMib: number;
  slots: number;
}

export interface Needs {
  milliCpu: number;
  memoryMib: number;
  diskMib: number;
}

export interface Candidate {
  runId: string;
  environmentId: string;
  needs: Needs;
  workspaceId: string;
  imageRef: string;
  checkpointId: string | null;
  /** What a worker must offer to restore that checkpoint. */
  requires: string | null;
}

export interface OpenWorker {
  id: string;
  free: Capacity;
  restores: string;
  warm: { images: ReadonlySet<string>; workspaces: ReadonlySet<string>; checkpoints: ReadonlySet<string> };
}

export function fits(needs: Needs, free: Capacity): boolean {
  return free.slots >= 1 && needs.milliCpu <= free.milliCpu && needs.memoryMib <= free.memoryMib && needs.diskMib <= free.diskMib;
}

/** What is gained when a candidate goes to this worker: a local checkpoint, then the workspace's head, then a warm image. */
function warmth(candidate: Candidate, worker: OpenWorker): number {
  let score = 0;
  if (candidate.checkpointId !== null && worker.warm.checkpoints.has(candidate.checkpointId)) score += 4;
  if (worker.warm.workspaces.has(candidate.workspaceId)) score += 2;
  if (worker.warm.images.has(candidate.imageRef)) score += 1;
  return score;
}

/**
 * Gives candidates, in their order, to workers that wait for work: the warmest that fits, and among equals the one with most memory left. What fits
 * nowhere is left out and holds nobody up.
 */
export function assign(candidates: readonly Candidate[], workers: readonly OpenWorker[]): Map<string, Candidate[]> {
  const free = new Map(workers.map((worker) => [worker.id, { ...worker.free }]));
  const assigned = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    let best: { worker: OpenWorker; score: number; left: number } | undefined;
    for (const worker of workers) {
      const left = free.get(worker.id) as Capacity;
      if (!fits(candidate.needs, left) || (candidate.requires !== null && candidate.requires !== worker.restores)) continue;
      const score = warmth(candidate, worker);
      if (!best || score > best.score || (score === best.score && left.memoryMib > best.left))
        best = { worker, score, left: left.memoryMib };
    }
    if (!best) continue;
    const left = free.get(best.worker.id) as Capacity;
    left.slots -= 1;
    left.milliCpu -= candidate.needs.milliCpu;
    left.memoryMib -= candidate.needs.memoryMib;
    left.diskMib -= candidate.needs.diskMib;
    const list = assigned.get(best.worker.id);
    if (list) list.push(candidate);
    else assigned.set(best.worker.id, [candidate]);
  }
  return assigned;
}
