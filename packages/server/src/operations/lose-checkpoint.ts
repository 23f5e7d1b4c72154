/**
 * A parked run that cannot be brought back, for a reason that its timeline names (domain/checkpoint.ts): the task decides whether its attempt fails, which its
 * retry policy may still answer, or the next attempt begins on the last committed version. The run is locked with its session and workspace.
 */
import type { RestoreFailure } from "../domain/checkpoint.ts";
import type { EngineContext } from "../engine-context.ts";
import { checkpointSpoil, type CheckpointRow } from "../store/checkpoint.ts";
import type { Tx } from "../store/db.ts";
import type { LockedRun } from "../store/run.ts";
import { storableText } from "../domain/storable.ts";
import { endFailedAttempt } from "./end-attempt.ts";

export interface LostCheckpoint {
  checkpoint: Pick<CheckpointRow, "id" | "policy">;
  reason: RestoreFailure | "workspace_advanced" | "no_worker";
  message: string;
}

const released = { lease: "released", mount: "unmounted" } as const;

export async function loseCheckpoint(
  tx: Tx,
  context: EngineContext,
  run: LockedRun,
  { checkpoint, reason, message }: LostCheckpoint,
): Promise<"failed" | "restarting"> {
  await checkpointSpoil(tx, checkpoint.id);
  const code = `checkpoint_${reason}`;
  const text = storableText(message);
  const restart = checkpoint.policy.onCheckpointLost === "restart";
  const state = await endFailedAttempt(tx, context, run, {
    failure: { kind: "worker_failed", exitCode: null, detail: { reason: code, message: text } },
    attemptState: "lost",
    activeMs: run.active_ms,
    before: [{ kind: "run.execution_lost", attributes: { reason: text, code, checkpoint_id: checkpoint.id, started: true } }],
    ending: released,
    ...(restart ? { restart: { reason: code } } : {}),
  });
  return state === "finished" ? "failed" : "restarting";
}
