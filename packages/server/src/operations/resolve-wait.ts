/**
 * Ends an open wait, once, and takes the outcome to where its process is (domain/wait.ts): to the holder of the run, or, when the run is parked, by queueing
 * it again. Whoever comes second finds the wait decided and changes nothing.
 *
 * Two ways lead here. Who appends a record holds the locks of the session and its run, and resolves what fits in the same transaction. Who decides a token
 * holds only the token: it tells the waits on it to look (`wake_at`), commits, and then `lookAtWait` takes the locks of each run in turn; what a crash leaves
 * behind, and timers and timeouts, are woken by the loop wake-waits. Locks: session → workspace → run → wait.
 */
import { assertNever, required } from "../assert.ts";
import type { NewRunEvent } from "../domain/event.ts";
import { tokenStatus } from "../domain/token.ts";
import { decideCondition, resolutionDelivery, type WaitEnd } from "../domain/wait.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { sessionLimits } from "../session-limits.ts";
import { continuationRead } from "../store/continuation.ts";
import type { Queryable, Tx } from "../store/db.ts";
import { leaseHolder } from "../store/lease.ts";
import { waitLock, waitResolve, waitResumeRun, waitRun, type WaitRow } from "../store/run-wait.ts";
import { type LockedRun, runLock } from "../store/run.ts";
import { type RecordRow, streamRecordFirst } from "../store/stream.ts";
import { enqueueRun } from "./enqueue-run.ts";
import { announceRun } from "./finish-run.ts";

export type DecidedCondition = { condition: "open" } | { condition: WaitEnd; record?: RecordRow; by: object };

/** Looks at the world for an open wait. Its run is locked; a token is read as it is, because who decides it will look again. */
export async function lookAtCondition(on: Queryable, wait: WaitRow): Promise<DecidedCondition> {
  const record =
    wait.kind === "stream"
      ? await streamRecordFirst(on, {
          streamId: required(wait.stream_id, "A wait on a stream names it"),
          after: wait.after_sequence ?? 0,
          correlationId: wait.correlation_id,
        })
      : undefined;
  const token = wait.token_state === null ? null : tokenStatus({ state: wait.token_state, pastTimeout: wait.token_past_timeout });
  const condition = decideCondition({ token, record: record !== undefined, due: wait.due, timedOut: wait.timed_out });
  if (condition === "open") return { condition };
  if (record) return { condition, record, by: { kind: "record", record_id: record.id } };
  if (token !== null && token !== "pending") return { condition, by: { kind: "token", token_id: wait.token_id } };
  return { condition, by: { kind: wait.due ? "timer" : "timeout" } };
}

/** The run is locked with its session and workspace, and goes on with the next sequence of its timeline in place. */
export async function resolveLocked(
  tx: Tx,
  context: EngineContext,
  run: LockedRun,
  { wait, decided }: { wait: WaitRow; decided: Exclude<DecidedCondition, { condition: "open" }> },
): Promise<void> {
  const { condition, record, by } = decided;
  const delivery = resolutionDelivery(wait.condition, wait.suspension);
  if (delivery === "none") return;
  const events = endEvents(wait, decided);
  await Promise.all([
    waitResolve(tx, run, { waitId: wait.id, condition, recordId: record?.id ?? null, resolvedBy: by }, events),
    record ? continuationRead(tx, record.id) : 0,
  ]);
  run.event_seq += events.length;
  tx.afterCommit(() => announceRun(context, run));
  switch (delivery) {
    case "to_holder": {
      const holder = run.lease_id === null ? undefined : await leaseHolder(tx, run.lease_id);
      if (holder) tx.afterCommit(() => context.hints.send(topic.worker(holder.worker_id)));
      return;
    }
    case "resume":
      if ((await waitResumeRun(tx, run.id)) === 0) return;
      run.state = "queued";
      required(run.checkpoint_id, "A parked run has a checkpoint");
      await enqueueRun(tx, context, run, { delayMs: 0 });
      return;
    default:
      assertNever(delivery);
  }
}

/** A wait that was cancelled, with its token or given up, leaves nothing in the timeline (http §7.4). */
export function endEvents(
  wait: Pick<WaitRow, "id" | "kind" | "token_data">,
  { condition, record }: { condition: WaitEnd; record?: RecordRow },
): NewRunEvent[] {
  const ids = { run_wait_id: wait.id, kind: wait.kind };
  if (condition === "timed_out") return [{ kind: "run_wait.timed_out", attributes: ids }];
  if (condition === "cancelled") return [];
  const payload = wait.kind === "stream" ? record?.data : wait.kind === "token" ? wait.token_data : null;
  return [{ kind: "run_wait.completed", attributes: { ...ids, payload: shownPayload(payload ?? null) } }];
}

/** What is too large for a timeline is at its source: the record, the token. */
function shownPayload(payload: unknown): unknown {
  const bytes = Buffer.byteLength(JSON.stringify(payload));
  return bytes <= sessionLimits.eventPayloadBytesMax ? payload : { omitted: true, bytes };
}

/** True when the wait was open and is decided now. */
export async function lookAtWait(context: EngineContext, waitId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const subject = await waitRun(tx, waitId);
    const run = subject && (await runLock(tx, subject.environment_id, subject.run_id));
    const wait = run && (await waitLock(tx, waitId));
    if (!run || wait?.condition !== "open") return false;
    const decided = await lookAtCondition(tx, wait);
    if (decided.condition === "open") return false;
    await resolveLocked(tx, context, run, { wait, decided });
    return true;
  });
}

/**
 * After the commit of whoever decided a token: what it says is true already, so nothing may fail here. The first waits are looked at before the caller is
 * answered; the loop finds the rest.
 */
export async function lookAtWoken(context: EngineContext, waitIds: readonly string[]): Promise<void> {
  let complete = waitIds.length <= sessionLimits.resolveInlineMax;
  for (const id of waitIds.slice(0, sessionLimits.resolveInlineMax)) {
    await lookAtWait(context, id).catch(() => {
      complete = false;
    });
  }
  if (!complete) context.hints.send(topic.reconcile("wake-waits"));
}
