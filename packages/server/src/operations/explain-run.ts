/** Why a run does not run (domain/blocked.ts), from one look at the store. It decides nothing: what it says may have changed by the time it is read. */
import type { Blocked } from "@helmr/protocol/api";
import { explainQueued, explainWait, type GroupFacts } from "../domain/blocked.ts";
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { type BlockedRow, runBlockedFacts } from "../store/run-blocked.ts";
import { workerGroup } from "../store/worker.ts";

export async function explainRun({ db }: Pick<EngineContext, "db">, runId: string): Promise<Blocked | undefined> {
  const row = await runBlockedFacts(db, runId, engineLimits.workerSilentMs);
  if (!row) return undefined;
  if (row.gate === null) return row.wait_kind === null ? undefined : explainWait(waitFacts(row, row.wait_kind));
  const summary = row.gate === "open" ? await workerGroup(db, row.worker_group as string, engineLimits.workerSilentMs) : undefined;
  const largest =
    summary?.memory_mib === undefined || summary.memory_mib === null
      ? null
      : {
          milliCpu: summary.milli_cpu ?? 0,
          memoryMib: summary.memory_mib,
          freeMilliCpu: summary.free_milli_cpu ?? 0,
          freeMemoryMib: summary.free_memory_mib ?? 0,
          freeSlots: summary.free_slots ?? 0,
        };
  const group: GroupFacts = { active: summary?.active ?? 0, silentSeconds: summary?.silent_s ?? null, largest };
  return explainQueued(queuedFacts(row, row.gate), group);
}

function queuedFacts(row: BlockedRow, gate: NonNullable<BlockedRow["gate"]>) {
  return {
    gate,
    inMountId: row.in_mount_id,
    resume: row.resume ?? false,
    unrestorable: row.restorable === false ? row.requires : null,
    queue: row.queue_name,
    concurrencyKey: row.concurrency_key,
    laneLimit: row.lane_limit,
    laneInUse: row.lane_in_use ?? 0,
    laneAhead: row.lane_ahead ?? 0,
    readyAt: row.ready_at ?? "",
    readyInMs: row.ready_in_ms ?? 0,
    attemptNumber: row.attempt_number,
    workerGroup: row.worker_group ?? "",
    needs: { milliCpu: row.milli_cpu ?? 0, memoryMib: row.memory_mib ?? 0, diskMib: row.disk_mib ?? 0 },
    sessionId: row.session_id,
    workspaceId: row.workspace_id,
    holder:
      row.holder_run_id === null || row.holder_session_id === null ? null : { runId: row.holder_run_id, sessionId: row.holder_session_id },
    mountState: row.mount_state,
  };
}

function waitFacts(row: BlockedRow, kind: NonNullable<BlockedRow["wait_kind"]>) {
  return {
    kind,
    tokenId: row.wait_token_id,
    stream: row.wait_stream,
    afterSequence: row.wait_after_sequence,
    correlationId: row.wait_correlation_id,
    dueAt: row.wait_due_at,
    timeoutAt: row.wait_timeout_at,
  };
}
