/**
 * The end of an attempt with its workspace, in one transaction (step 7 of the data flow): the tree becomes the new head by compare-and-swap (or is kept
 * aside), the lease and the mount end, the run finishes or is queued for its next attempt, the timeline and the counters say so. A repeat after a lost
 * answer gets the same answer. Locks: session → workspace → run.
 */
import { assertNever } from "../assert.ts";
import type { AttemptEnd, WorkspaceResult } from "@helmr/protocol/worker";
import { storableText } from "../domain/storable.ts";
import { decideCommit } from "../domain/workspace.ts";
import { engineLimits } from "../limits.ts";
import { invalid, isRefusal, type Refusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import type { Tx } from "../store/db.ts";
import { type EndingRun, leaseEndingRun } from "../store/lease.ts";
import { mountNoteIdle } from "../store/mount.ts";
import { mountRunRebase } from "../store/mount-run.ts";
import { runRequeue } from "../store/run-write.ts";
import { workspaceAdvance, workspaceSetAside, workspaceSetDirty } from "../store/workspace.ts";
import { checkArtifact } from "./check-artifact.ts";
import { endFailedAttempt } from "./end-attempt.ts";
import type { ReportGap } from "./end-build.ts";
import { enqueueRun } from "./enqueue-run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { announceRun, finishRun } from "./finish-run.ts";
import { cancelledBy } from "./cancel-run.ts";
import { closeLogTails } from "./report-attempt.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";

export interface Completion {
  end: AttemptEnd;
  activeMs: number;
  reportThrough: number;
  workspace: WorkspaceResult;
}

export type Completed = { state: "finished" | "retrying" };

export async function completeAttempt(
  context: EngineContext,
  call: RunCall,
  completion: Completion,
): Promise<Completed | Stale | ReportGap | Refusal> {
  return context.db.tx(async (tx) => {
    const run = await leaseEndingRun(tx, {
      lease_id: call.leaseId,
      run_id: call.runId,
      worker_id: call.worker.workerId,
      fence: call.fence,
    });
    if (!run || run.lease_attempt_id !== call.attemptId) return stale;
    if (!isHeldRun(run, call)) return repeatedCompletion(run, call);
    if (completion.reportThrough > run.report_seq) return { gap: true, expected: run.report_seq + 1 };
    const committed = await commitWorkspace(tx, run, call.attemptId, completion.workspace);
    if (isRefusal(committed)) return committed;
    const subject = { ...run, attempt_id: call.attemptId, lease_id: call.leaseId };
    if (run.log_tail_open) await closeLogTails(tx, subject, run.report_seq);
    const state = await endAttempt(tx, context, subject, completion);
    if (run.in_mount_id !== null) {
      // The mount goes on: idle from now on, unless it was asked to go meanwhile.
      await mountNoteIdle(tx, run.workspace_id, context.mounts.idleMs);
      tx.afterCommit(() => {
        context.hints.send(topic.worker(call.worker.workerId));
        context.hints.send(topic.mount(run.workspace_id));
        context.hints.send(topic.reconcile("stop-idle-mounts"));
      });
    }
    return { state };
  });
}

/** Committed before under this lease: the answer that was lost. A lease that ended otherwise is stale. */
function repeatedCompletion(run: EndingRun, call: RunCall): Completed | Stale {
  const ended = run.attempt_state === "succeeded" || run.attempt_state === "failed" || run.attempt_state === "cancelled";
  if (run.lease_state !== "released" || !ended)
    return run.lease_state === "released" && run.attempt_id === call.attemptId ? { state: "retrying" } : stale;
  return { state: run.attempt_id === call.attemptId && run.state === "finished" ? "finished" : "retrying" };
}

/** Never merges: the head moves only from where the tree began. */
async function commitWorkspace(tx: Tx, run: EndingRun, attemptId: string, result: WorkspaceResult): Promise<undefined | Refusal> {
  const decision = decideCommit(result, run.base_version_id, run.head_version_id);
  if (decision.kind === "keep") {
    // What a mount of its own holds is the mount's to say.
    if (run.in_mount_id === null) await workspaceSetDirty(tx, run.workspace_id, "clean");
    return undefined;
  }
  if (decision.kind === "lost") {
    await workspaceSetDirty(tx, run.workspace_id, "capture_failed");
    return undefined;
  }
  if (result.status !== "captured") return undefined;
  const wrong = await checkArtifact(tx, run.org_id, result.artifact);
  if (wrong) return invalid(wrong);
  const version = {
    workspaceId: run.workspace_id,
    environmentId: run.environment_id,
    versionId: result.version_id,
    parentVersionId: run.base_version_id,
    artifactId: result.artifact.artifact_id,
    contentDigest: result.artifact.digest,
    sizeBytes: result.size_bytes,
    entryCount: result.entry_count,
    runId: run.id,
    attemptId,
  };
  await Promise.all([
    artifactInsert(tx, run.org_id, "workspace", result.artifact),
    decision.kind === "advance"
      ? workspaceAdvance(tx, version)
      : workspaceSetAside(tx, version, "the head of the workspace was advanced by somebody else while this attempt ran"),
    run.in_mount_id !== null && run.mount_id !== null && decision.kind === "advance"
      ? mountRunRebase(tx, run.mount_id, result.version_id)
      : undefined,
  ]);
  return undefined;
}

const released = { lease: "released", mount: "unmounted" } as const;

async function endAttempt(
  tx: Tx,
  context: EngineContext,
  run: EndingRun & { attempt_id: string; lease_id: string },
  completion: Completion,
): Promise<"finished" | "retrying"> {
  const { end } = completion;
  // Never more than the run may have: the worker's clock stops a little after the limit.
  const activeMs = run.active_ms + completion.activeMs;
  if (run.state === "cancelling" || end.status === "cancelled") {
    const attemptState = "cancelled" as const;
    await finishRun(tx, context, run, cancelledBy(run, { events: [], ending: released, attemptState, activeMs }));
    return "finished";
  }
  switch (end.status) {
    case "succeeded":
      await finishRun(tx, context, run, {
        outcome: "succeeded",
        attemptState: "succeeded",
        events: [{ kind: "run.completed", attributes: { exit_code: end.exit_code } }],
        ending: released,
        exitCode: end.exit_code,
        activeMs,
        ...(end.output ? { output: end.output } : {}),
      });
      return "finished";
    case "failed":
      return endFailed(tx, context, run, { ...end, activeMs });
    default:
      return assertNever(end);
  }
}

type Failed = Extract<AttemptEnd, { status: "failed" }>;

async function endFailed(
  tx: Tx,
  context: EngineContext,
  run: EndingRun & { attempt_id: string; lease_id: string },
  end: Failed & { activeMs: number },
): Promise<"finished" | "retrying"> {
  // The machine never came up: that is nothing the task did, so its policy is not asked yet.
  if (run.state === "leased" && end.failure_kind === "worker_failed" && run.lost_starts + 1 < engineLimits.lostStartsMax) {
    const lost = {
      kind: "run.execution_lost" as const,
      attributes: { reason: storableText(end.message), lease_id: run.lease_id, started: false },
    };
    await runRequeue(tx, run, { events: [lost], ending: released });
    await enqueueRun(tx, context, run, { delayMs: 0 });
    tx.afterCommit(() => {
      announceRun(context, run);
      context.gates.release({ lane: run.lane });
    });
    return "retrying";
  }
  const state = await endFailedAttempt(tx, context, run, {
    failure: { kind: end.failure_kind, exitCode: end.exit_code, detail: failureDetail(end, run) },
    attemptState: "failed",
    activeMs: end.activeMs,
    ending: released,
  });
  if (state === "retrying") tx.afterCommit(() => context.gates.release({ lane: run.lane }));
  return state;
}

/** http §7.4: task_failed has its exit code, max_duration its limit; all have words. */
function failureDetail(end: Failed, run: EndingRun): Record<string, unknown> {
  const detail: Record<string, unknown> = { message: storableText(end.message), reason: storableText(end.reason) };
  if (end.signal !== undefined) detail["signal"] = end.signal;
  if (end.failure_kind === "task_failed") detail["exit_code"] = end.exit_code;
  if (end.failure_kind === "max_duration") detail["limit_seconds"] = run.max_duration_seconds;
  return detail;
}
