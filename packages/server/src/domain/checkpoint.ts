/**
 * A saved machine that a parked run resumes from. It is made true by the transaction that parks its run, and used up by the one that lets the run go on: a
 * machine is never brought back twice, because what it did meanwhile would happen twice.
 *
 *   ready ──use──▶ deleted      the run goes on from it, or has ended
 *     └──spoil──▶ invalid       it cannot be restored: missing, corrupt, no worker can, the workspace went on without it
 *
 * What a checkpoint is made of is stored before (chunks, encrypted); rows in `creating` are not written. What is not `ready` is garbage to the chunk store.
 *
 * Who cannot restore says why. A reason that another try may heal puts the run back into the queue, with a pause that grows; the rest, and too many tries, is
 * decided by the task (`onCheckpointLost`): the attempt fails, or the next one begins on the last committed version.
 */
import type { Transitions } from "./transitions.ts";

export const checkpointStates = ["creating", "ready", "invalid", "deleted"] as const;
export type CheckpointState = (typeof checkpointStates)[number];

export const checkpointTransitions = {
  use: { from: ["ready"], to: "deleted" },
  spoil: { from: ["ready"], to: "invalid" },
} as const satisfies Transitions<CheckpointState>;

export type RestoreFailure = "missing" | "corrupt" | "incompatible" | "restore_failed";

export interface CheckpointPolicy {
  onConflict?: "fail" | "fork";
  onCheckpointLost?: "fail" | "restart";
}

export type RestoreDecision = { kind: "again"; delayMs: number } | { kind: "lost" };

const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** `failures`: with this one. Bytes that are gone or wrong do not come back; a worker that cannot may not be the only one. */
export function decideRestoreFailure(reason: RestoreFailure, failures: number, failuresMax: number): RestoreDecision {
  if (reason === "missing" || reason === "corrupt" || failures >= failuresMax) return { kind: "lost" };
  return { kind: "again", delayMs: Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1)) };
}
