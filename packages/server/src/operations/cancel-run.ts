/**
 * Cancels a run (http §7.3). Where nothing runs, or with `force`, it is finished at once and a holder is fenced: its machine is killed and what it wrote
 * since its base version is not kept. Where user code runs without `force` the holder is told, and ends the run with its report; a holder that does not
 * within limits.cancelTotalMs is stopped by the reconciler expire-leases.
 *
 * Locks: session → workspace → run.
 */
import { createHash } from "node:crypto";
import type { RunCancelBody } from "@helmr/protocol/api";
import { canonicalJson, limits } from "@helmr/protocol/shared";
import { assertNever, required } from "../assert.ts";
import { decideCancel } from "../domain/run.ts";
import { newId } from "../new-id.ts";
import { isRefusal, notFound, type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { leaseHolder } from "../store/lease.ts";
import { runOperationByKey, runOperationInsert, type RunOperationRow } from "../store/run-operation.ts";
import { type Finish, runRequestCancel } from "../store/run-write.ts";
import { type LockedRun, runGet, runLock, type RunRow } from "../store/run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { announceRun, finishRun } from "./finish-run.ts";

export const noRun = (): Refusal => notFound("run not found");

export interface Cancellation {
  /** Given by the caller; absent: the default text. */
  reason: string | undefined;
  force: boolean;
}

const defaultReason = "cancelled";

/** The run is locked with its session and workspace. Returns whether the cancel took effect; a finished run rejects it. */
export async function cancelLockedRun(
  tx: Tx,
  context: EngineContext,
  run: LockedRun,
  { reason = defaultReason, force }: Cancellation,
): Promise<boolean> {
  const decision = decideCancel(run.state, force);
  const forced = force ? { force: true as const } : {};
  switch (decision.kind) {
    case "reject":
      return false;
    case "repeat":
      return true;
    case "request": {
      const cancel = { reason, ...forced, origin: "cancel_operation" };
      await runRequestCancel(tx, run, {
        cancel,
        totalMs: limits.cancelTotalMs,
        events: [{ kind: "run.cancel_requested", attributes: { reason, ...forced } }],
      });
      const holder = run.lease_id === null ? undefined : await leaseHolder(tx, run.lease_id);
      tx.afterCommit(() => {
        announceRun(context, run);
        if (holder) context.hints.send(topic.worker(holder.worker_id));
        context.hints.send(topic.reconcile("expire-leases"));
      });
      return true;
    }
    case "finish":
      await finishRun(tx, context, run, {
        outcome: "cancelled",
        attemptState: "cancelled",
        events: [{ kind: "run.cancelled", attributes: { reason, ...forced } }],
        ending: { lease: "fenced", mount: "lost" },
      });
      return true;
    default:
      return assertNever(decision);
  }
}

export async function cancelRun(
  context: EngineContext,
  { environmentId, runId, body }: { environmentId: string; runId: string; body: RunCancelBody },
): Promise<{ run: RunRow; operation: RunOperationRow } | Refusal> {
  const keyHash = body.idempotency_key === undefined ? null : createHash("sha256").update(body.idempotency_key).digest();
  const fingerprint = createHash("sha256")
    .update(canonicalJson({ reason: body.reason, force: body.force ?? false }))
    .digest();
  const operation = await context.db.tx(async (tx): Promise<RunOperationRow | Refusal> => {
    const run = await runLock(tx, environmentId, runId);
    if (!run) return noRun();
    const known = keyHash && (await runOperationByKey(tx, runId, keyHash));
    if (known) return known.idempotency_fingerprint?.equals(fingerprint) ? known : refuse("idempotency_fingerprint_mismatch");
    const applied = await cancelLockedRun(tx, context, run, { reason: body.reason, force: body.force ?? false });
    return required(
      await runOperationInsert(tx, {
        id: newId(),
        environment_id: environmentId,
        run_id: runId,
        state: applied ? "applied" : "rejected",
        reason: body.reason ?? null,
        idempotency_key_hash: keyHash,
        idempotency_fingerprint: keyHash && fingerprint,
      }),
      "An insert returns its row",
    );
  });
  if (isRefusal(operation)) return operation;
  return { run: required(await runGet(context.db, environmentId, runId), "A locked run exists"), operation };
}

/** The end of a run whose cancel was asked for before; the reason is the one that was given then. */
export function cancelledBy(run: LockedRun, end: Pick<Finish, "events" | "ending" | "attemptState"> & { activeMs?: number }): Finish {
  const { reason, force, origin } = run.cancel ?? { reason: "cancelled", origin: "cancel_operation" };
  const attributes = { reason, ...(force ? { force } : {}), origin };
  return { outcome: "cancelled", ...end, events: [...end.events, { kind: "run.cancelled", attributes }] };
}
