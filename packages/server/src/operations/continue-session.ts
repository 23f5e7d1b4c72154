/**
 * The next run of a session, for its oldest unread input record (http §4.5; step 9 of the data flow). Asked for whenever a request may have become the next
 * one: with the append of a record, with the end of a run, and by the loop continue-sessions. The session is locked with its workspace and current run, so
 * one request gives one run. Locks: session → workspace → run.
 */
import { randomBytes } from "node:crypto";
import { parseDurationMs } from "@helmr/protocol/shared";
import { assertNever, required } from "../assert.ts";
import { decideContinue } from "../domain/continuation.ts";
import type { RunState } from "../domain/run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { continuationOldest, continuationSkip, continuationStart, type OldestContinuation } from "../store/continuation.ts";
import type { Tx } from "../store/db.ts";
import { eventParams } from "../store/run-event.ts";
import { type LockedRun, runLock } from "../store/run.ts";
import { sessionContinueContext, sessionContinueInsert } from "../store/session-continue.ts";
import { sessionLock } from "../store/session.ts";
import { enqueueRun } from "./enqueue-run.ts";

export interface Continue {
  environmentId: string;
  sessionId: string;
  /** Where the session's current run stands; null: there never was one. */
  run: RunState | null;
}

export interface Continued {
  runId: string;
  recordId: string;
}

export async function continueLocked(
  tx: Tx,
  context: EngineContext,
  { environmentId, sessionId, run }: Continue,
): Promise<Continued | undefined> {
  if (run !== null && run !== "finished") return undefined;
  const oldest = await continuationOldest(tx, sessionId);
  if (!oldest) return undefined;
  const decision = decideContinue({ state: oldest.session_state, pastExpiry: oldest.past_expiry }, run);
  switch (decision) {
    case "hold":
      return undefined;
    case "skip":
      await continuationSkip(tx, sessionId);
      return undefined;
    case "start": {
      const runId = await startRun(tx, sessionId, oldest);
      const next = required(await runLock(tx, environmentId, runId), "A run that was inserted is there");
      await enqueueRun(tx, context, next, { delayMs: 0 });
      tx.afterCommit(() => context.hints.send(topic.session(sessionId)));
      return { runId, recordId: oldest.record_id };
    }
    default:
      return assertNever(decision);
  }
}

async function startRun(tx: Tx, sessionId: string, { record_id, stream_id, sequence }: OldestContinuation): Promise<string> {
  const task = required(await sessionContinueContext(tx, sessionId), "A session is pinned to a deployment that has its task");
  const runId = newId();
  const created = {
    kind: "run.created" as const,
    attributes: {
      reason: "input",
      cause: { kind: "stream_record", record_id, stream_id, sequence },
      task_id: task.task_id,
      max_duration_seconds: task.max_duration_seconds,
      metadata: task.metadata,
      retry_policy: task.retry,
      secret_names: task.secrets.map((secret) => secret.name),
      tags: task.tags,
    },
  };
  const subject = { id: runId, event_seq: 0, lease_id: null, attempt_id: null, attempt_number: null };
  await sessionContinueInsert(tx, {
    ...eventParams(subject, [created]),
    session_id: sessionId,
    ttl_ms: task.ttl === null ? null : (parseDurationMs(task.ttl) ?? null),
    trace_id: randomBytes(16).toString("hex"),
  });
  await continuationStart(tx, record_id, runId);
  return runId;
}

/** Joins the end of every run: the rows of its session, workspace and run are locked. */
export function continueAfterRun(context: () => EngineContext): (tx: Tx, run: LockedRun) => Promise<void> {
  return async (tx, run) => {
    await continueLocked(tx, context(), { environmentId: run.environment_id, sessionId: run.session_id, run: "finished" });
  };
}

/** For the loop: true when something changed. */
export async function continueSession(context: EngineContext, environmentId: string, sessionId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const session = await sessionLock(tx, environmentId, { id: sessionId });
    if (!session?.continuation_pending) return false;
    const run = session.current_run_id === null ? undefined : await runLock(tx, environmentId, session.current_run_id);
    if (run && run.state !== "finished") return false;
    await continueLocked(tx, context, { environmentId, sessionId, run: run?.state ?? null });
    return true;
  });
}
