/**
 * A parked run on its way back: what its lease carries, the moment its program goes on, and what becomes of it when the machine cannot be restored. Until
 * `resumed` is committed no user code has run since the park, so a lost lease only queues the run again; from there on the checkpoint is used up.
 * Locks: session → workspace → run.
 */
import type { RunLease } from "@helmr/protocol/worker";
import { decideRestoreFailure, type RestoreFailure } from "../domain/checkpoint.ts";
import type { EngineContext } from "../engine-context.ts";
import { engineLimits } from "../limits.ts";
import { invalid, type Refusal } from "../outcome.ts";
import { checkpointGet, checkpointRestoreFailed, checkpointResumed, type CheckpointRow } from "../store/checkpoint.ts";
import { leaseEndingRun, leaseEndingRunByLease, leaseHeldRun } from "../store/lease.ts";
import { waitGet } from "../store/run-wait.ts";
import { runRequeue } from "../store/run-write.ts";
import { workspaceMountReady } from "../store/workspace.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";
import { enqueueRun } from "./enqueue-run.ts";
import { announceRun } from "./finish-run.ts";
import { forkForRun } from "./fork-for-run.ts";
import { loseCheckpoint } from "./lose-checkpoint.ts";
import { artifactRef } from "./read-leases.ts";
import { readOutcome } from "./wait-outcome.ts";

type Checkpoint = NonNullable<RunLease["checkpoint"]>;

/** The hook of read-leases.ts. A run that cannot resume on what its workspace has become is ended, or forks, before its worker hears of it. */
export async function readCheckpoint(
  context: EngineContext,
  resuming: { checkpointId: string; leaseId: string; baseVersionId: string },
): Promise<Checkpoint | undefined> {
  const row = await checkpointGet(context.db, resuming.checkpointId);
  if (row?.state !== "ready" || !row.template || !row.memory || !row.device || !row.scratch) {
    await refuseLease(context, resuming.leaseId, resuming.checkpointId);
    return undefined;
  }
  if (row.workspace_version_id !== resuming.baseVersionId) {
    await refuseLease(context, resuming.leaseId, row.id);
    return undefined;
  }
  const wait = await waitGet(context.db, row.wait_id);
  return {
    checkpoint_id: row.id,
    wait_id: row.wait_id,
    call_id: row.call_id,
    compatibility: row.compatibility,
    resume_state: row.resume_state,
    template: artifactRef(row.template),
    memory: artifactRef(row.memory),
    device: artifactRef(row.device),
    scratch: artifactRef(row.scratch),
    outcome: wait === undefined || wait.condition === "open" ? null : await readOutcome(context.db, wait),
  };
}

async function refuseLease(context: EngineContext, leaseId: string, checkpointId: string): Promise<void> {
  await context.db.tx(async (tx) => {
    const run = await leaseEndingRunByLease(tx, leaseId);
    if (!run || run.lease_id !== leaseId || run.state !== "leased" || run.checkpoint_id !== checkpointId) return;
    const checkpoint = await checkpointGet(tx, checkpointId);
    if (checkpoint?.state === "ready" && checkpoint.workspace_version_id === run.base_version_id) {
      // Of what it is made of something is gone.
      await loseCheckpoint(tx, context, run, { checkpoint, reason: "missing", message: "the checkpoint is not complete any more" });
      return;
    }
    const message = "the workspace was advanced while the run was parked";
    if (checkpoint?.state === "ready" && checkpoint.policy.onConflict === "fork") {
      await runRequeue(tx, run, { events: [], ending: { lease: "released", mount: "unmounted" } });
      const forked = await forkForRun(tx, run, checkpoint);
      await enqueueRun(tx, context, { ...run, workspace_id: forked }, { delayMs: 0 });
      tx.afterCommit(() => context.gates.release({ lane: run.lane, workspaceId: run.workspace_id }));
    } else await loseCheckpoint(tx, context, run, { checkpoint: lostOf(checkpoint, checkpointId), reason: "workspace_advanced", message });
  });
}

/** A conflict is no loss: the task's word for lost checkpoints is not asked. */
function lostOf(checkpoint: CheckpointRow | undefined, id: string): Pick<CheckpointRow, "id" | "policy"> {
  return { id: checkpoint?.id ?? id, policy: {} };
}

/** The machine stands restored. From here on the program goes on. */
export async function resumeRun(context: EngineContext, call: RunCall, checkpointId: string): Promise<Record<never, never> | Stale> {
  return context.db.tx(async (tx) => {
    const run = await leaseHeldRun(tx, { lease_id: call.leaseId, run_id: call.runId, worker_id: call.worker.workerId, fence: call.fence });
    if (!run || !isHeldRun(run, call)) return stale;
    // The answer was lost.
    if (run.state === "executing" && run.checkpoint_id === null) return {};
    if (run.state !== "leased" || run.checkpoint_id !== checkpointId) return stale;
    await checkpointResumed(tx, run, checkpointId, context.parking.waitLiveMs);
    await workspaceMountReady(tx, run.workspace_id, call.leaseId);
    tx.afterCommit(() => announceRun(context, run));
    return {};
  });
}

export interface RestoreFailed {
  checkpointId: string;
  reason: RestoreFailure;
  message: string;
}

export async function failRestore(
  context: EngineContext,
  call: RunCall,
  failure: RestoreFailed,
): Promise<{ state: "requeued" | "restarting" | "failed" } | Stale | Refusal> {
  return context.db.tx(async (tx) => {
    const { leaseId, runId, worker, fence } = call;
    const run = await leaseEndingRun(tx, { lease_id: leaseId, run_id: runId, worker_id: worker.workerId, fence });
    if (!run || run.lease_attempt_id !== call.attemptId) return stale;
    if (!isHeldRun(run, call)) return run.lease_state === "released" ? { state: "requeued" } : stale;
    if (run.state !== "leased" || run.checkpoint_id !== failure.checkpointId)
      return invalid("the run does not resume from this checkpoint");
    const checkpoint = await checkpointGet(tx, failure.checkpointId);
    if (!checkpoint) return invalid("the checkpoint is not there");
    const decision = decideRestoreFailure(failure.reason, checkpoint.restore_failures + 1, engineLimits.restoreFailuresMax);
    tx.afterCommit(() => context.gates.release({ lane: run.lane }));
    if (decision.kind === "lost") return { state: await loseCheckpoint(tx, context, run, { ...failure, checkpoint }) };
    await checkpointRestoreFailed(tx, checkpoint.id);
    const attributes = {
      reason: failure.message,
      code: `checkpoint_${failure.reason}`,
      checkpoint_id: checkpoint.id,
      lease_id: leaseId,
      started: false,
    };
    await runRequeue(tx, run, { events: [{ kind: "run.execution_lost", attributes }], ending: { lease: "released", mount: "unmounted" } });
    await enqueueRun(tx, context, run, { delayMs: decision.delayMs });
    tx.afterCommit(() => {
      announceRun(context, run);
      context.gates.release({ workspaceId: run.workspace_id });
    });
    return { state: "requeued" };
  });
}
