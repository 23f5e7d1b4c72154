/**
 * Why a queued or waiting run does not run (engine §3): a stable code, a sentence for people, the numbers of the sentence, and `released_by`, what would
 * change it. Pure: facts in, reason out.
 */
import type { Blocked, BlockedCode } from "@helmr/protocol/api";
import type { JsonObject } from "@helmr/protocol/shared";
import type { Gate } from "./queue.ts";

export interface QueuedFacts {
  gate: Gate;
  /** The live mount whose machine it is to use. */
  inMountId: string | null;
  resume: boolean;
  /** What nobody offers of that which its checkpoint needs. */
  unrestorable: string | null;
  queue: string;
  concurrencyKey: string | null;
  laneLimit: number | null;
  laneInUse: number;
  laneAhead: number;
  readyAt: string;
  readyInMs: number;
  attemptNumber: number | null;
  workerGroup: string;
  needs: { milliCpu: number; memoryMib: number; diskMib: number };
  sessionId: string;
  workspaceId: string;
  /** Another run that has or wants the workspace before this one, and the session it belongs to. */
  holder: { runId: string; sessionId: string } | null;
  mountState: string | null;
}

/** Workers of the group that were heard of lately, and the most that any of them has free. */
export interface GroupFacts {
  active: number;
  silentSeconds: number | null;
  largest: { milliCpu: number; memoryMib: number; freeMilliCpu: number; freeMemoryMib: number; freeSlots: number } | null;
}

export interface WaitFacts {
  kind: "token" | "stream" | "timer";
  tokenId: string | null;
  stream: string | null;
  afterSequence: number | null;
  correlationId: string | null;
  dueAt: string | null;
  timeoutAt: string | null;
}

function blocked(code: BlockedCode, message: string, details: JsonObject): Blocked {
  return { code, message, details };
}

export function explainQueued(facts: QueuedFacts, group: GroupFacts): Blocked {
  switch (facts.gate) {
    case "delayed":
      return blocked("retry_delay", `attempt ${facts.attemptNumber ?? 1} begins in ${seconds(facts.readyInMs)}`, {
        attempt_number: facts.attemptNumber ?? 1,
        ready_at: facts.readyAt,
        delay_ms_left: Math.max(0, Math.round(facts.readyInMs)),
        released_by: "the delay of the retry policy has passed",
      });
    case "workspace":
      return explainWorkspace(facts);
    case "lane":
      return explainLane(facts);
    default:
      return explainPlacement(facts, group);
  }
}

function explainWorkspace({ holder, sessionId, workspaceId, mountState }: QueuedFacts): Blocked {
  const details = {
    workspace_id: workspaceId,
    ...(holder ? { run_id: holder.runId } : {}),
    ...(mountState ? { mount_state: mountState } : {}),
  };
  if (holder && holder.sessionId === sessionId) {
    return blocked("earlier_turn_active", `run ${holder.runId} of the same session has not ended yet`, {
      ...details,
      released_by: "the earlier run has ended",
    });
  }
  const who = holder ? `run ${holder.runId}` : "a machine that has it mounted";
  return blocked("workspace_writer_active", `workspace ${workspaceId} has another writer: ${who}`, {
    ...details,
    released_by: "the other writer has ended and its mount is released",
  });
}

function explainLane({ queue, concurrencyKey, laneLimit, laneInUse, laneAhead }: QueuedFacts): Blocked {
  const details = {
    queue,
    ...(concurrencyKey === null ? {} : { concurrency_key: concurrencyKey }),
    limit: laneLimit,
    in_use: laneInUse,
    ahead: laneAhead,
    released_by: laneAhead > 0 ? "the runs that are ahead in the queue have run" : "a run of the queue has ended",
  };
  const where = concurrencyKey === null ? `queue "${queue}"` : `concurrency key "${concurrencyKey}" of queue "${queue}"`;
  const message = `${where} is at its limit: limit ${laneLimit}, in use ${laneInUse}, ${laneAhead} ahead`;
  return blocked(concurrencyKey === null ? "queue_concurrency_limit" : "concurrency_key_busy", message, details);
}

function explainPlacement(facts: QueuedFacts, { active, silentSeconds, largest }: GroupFacts): Blocked {
  const { needs, workerGroup } = facts;
  if (facts.inMountId !== null) {
    return blocked("placement_pending", `the run is about to start in the machine that has workspace ${facts.workspaceId} mounted`, {
      workspace_id: facts.workspaceId,
      mount_id: facts.inMountId,
      released_by: "the worker that holds the mount takes it, or the mount ends",
    });
  }
  const wanted = { milli_cpu: needs.milliCpu, memory_mib: needs.memoryMib, disk_mib: needs.diskMib };
  if (active === 0) {
    const since = silentSeconds === null ? "no worker has ever enrolled" : `no worker was heard of for ${silentSeconds} s`;
    return blocked("no_worker", `worker group "${workerGroup}" has no active worker: ${since}`, {
      worker_group: workerGroup,
      ...(silentSeconds === null ? {} : { silent_seconds: silentSeconds }),
      released_by: "a worker of the group starts",
    });
  }
  if (facts.unrestorable !== null) {
    return blocked(
      "no_worker",
      `no active worker of group "${workerGroup}" can restore the run: its checkpoint needs ${facts.unrestorable}`,
      {
        worker_group: workerGroup,
        workers: active,
        requires: facts.unrestorable,
        released_by:
          "a worker with that monitor, processor and guest starts; after too long without one the task's onCheckpointLost decides",
      },
    );
  }
  const full = largest && (largest.freeSlots < 1 || largest.freeMemoryMib < needs.memoryMib || largest.freeMilliCpu < needs.milliCpu);
  if (full) {
    const never = largest.memoryMib < needs.memoryMib || largest.milliCpu < needs.milliCpu;
    const free = { milli_cpu: Math.max(0, largest.freeMilliCpu), memory_mib: Math.max(0, largest.freeMemoryMib) };
    const message = `needs ${needs.memoryMib} MiB and ${needs.milliCpu / 1_000} cpu; the largest free are ${free.memory_mib} MiB and ${free.milli_cpu / 1_000} cpu on ${active} ${active === 1 ? "worker" : "workers"}`;
    return blocked("no_capacity", message, {
      worker_group: workerGroup,
      needs: wanted,
      largest_free: free,
      workers: active,
      released_by: never ? "a larger worker joins the group: none there is large enough" : "running work on a worker ends",
    });
  }
  if (facts.resume) {
    return blocked("resume_pending", "the run is about to be resumed on a worker", {
      worker_group: workerGroup,
      needs: wanted,
      released_by: "a worker takes it",
    });
  }
  return blocked("placement_pending", "the run is about to be placed on a worker", {
    worker_group: workerGroup,
    needs: wanted,
    released_by: "a worker takes it",
  });
}

export function explainWait({ kind, tokenId, stream, afterSequence, correlationId, dueAt, timeoutAt }: WaitFacts): Blocked {
  const until: JsonObject = timeoutAt === null ? {} : { timeout_at: timeoutAt };
  const late = timeoutAt === null ? "" : ` until ${timeoutAt}`;
  switch (kind) {
    case "token":
      return blocked("wait_token", `waits for token ${tokenId}${late}`, {
        token_id: tokenId,
        ...until,
        released_by: "the token is completed, cancelled or times out",
      });
    case "stream":
      return blocked("wait_stream", `waits for a record on input stream "${stream}"${late}`, {
        stream,
        ...(afterSequence === null ? {} : { after_sequence: afterSequence }),
        ...(correlationId === null ? {} : { correlation_id: correlationId }),
        ...until,
        released_by: "a matching record arrives or the wait times out",
      });
    default:
      return blocked("wait_timer", `waits until ${dueAt}`, { due_at: dueAt, released_by: "the time has come" });
  }
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.ceil(ms / 100) / 10)} s`;
}
