/** An attempt that failed, whoever says so: tried again as the policy has it, or the end of the run (http §7.6). The run is locked with its parents. */
import { decideRetry, type FailureKind } from "../domain/retry.ts";
import type { NewRunEvent } from "../domain/event.ts";
import { required } from "../assert.ts";
import { newId } from "../new-id.ts";
import type { Tx } from "../store/db.ts";
import { type HolderEnding, runRetry } from "../store/run-write.ts";
import type { LockedRun } from "../store/run.ts";
import { enqueueRun } from "./enqueue-run.ts";
import type { EngineContext } from "../engine-context.ts";
import { announceRun, finishRun } from "./finish-run.ts";

export interface FailedAttempt {
  failure: { kind: FailureKind; exitCode: number | null; detail: Record<string, unknown> };
  attemptState: "failed" | "lost";
  activeMs: number;
  ending: HolderEnding;
  /** Events that come before the one of this end. */
  before?: NewRunEvent[];
  /** The task wants the next attempt whatever its retry policy says (`onCheckpointLost: "restart"`). */
  restart?: { reason: string };
}

export async function endFailedAttempt(
  tx: Tx,
  context: EngineContext,
  run: LockedRun,
  end: FailedAttempt,
): Promise<"retrying" | "finished"> {
  const { failure, attemptState, activeMs, ending, before = [], restart } = end;
  const attemptNumber = required(run.attempt_number, "A run that failed had an attempt");
  const attemptId = required(run.attempt_id, "A run that failed had an attempt");
  const decision = restart
    ? { retry: true as const, reason: restart.reason, delayMs: 0 }
    : decideRetry({ policy: run.retry, attemptNumber, failure: failure.kind, random: Math.random() });
  const stored = { kind: failure.kind, detail: failure.detail };
  if (!decision.retry) {
    const failed = { kind: "run.failed" as const, attributes: { failure_kind: failure.kind, detail: failure.detail } };
    await finishRun(tx, context, run, {
      outcome: "failed",
      attemptState,
      events: [...before, failed],
      ending,
      exitCode: failure.exitCode,
      failure: stored,
      activeMs,
    });
    return "finished";
  }
  const next = { id: newId(), number: attemptNumber + 1 };
  const scheduled = {
    kind: "run.retry_scheduled" as const,
    attributes: {
      reason: decision.reason,
      previous_attempt_id: attemptId,
      previous_attempt_number: attemptNumber,
      next_attempt_id: next.id,
      next_attempt_number: next.number,
      retry_after: new Date(Date.now() + decision.delayMs).toISOString(),
      delay_ms: decision.delayMs,
    },
  };
  await runRetry(
    tx,
    { ...run, attempt_id: attemptId },
    {
      attemptState,
      events: [...before, scheduled],
      ending,
      exitCode: failure.exitCode,
      failure: stored,
      activeMs,
      nextAttempt: next,
    },
  );
  await enqueueRun(tx, context, { ...run, checkpoint_id: null }, { delayMs: decision.delayMs });
  tx.afterCommit(() => announceRun(context, run));
  return "retrying";
}
