/**
 * Appends a record to a stream of a session (http §5.2).
 *
 * Input: the waits of the live run that the record satisfies are resolved in the same transaction; without one, a continuation is requested, and started at
 * once when no run is live. Locks: session → workspace → current run → stream → waits; a run that opens a wait holds its own lock while it looks for records,
 * so a record is either found by it or finds its wait.
 *
 * Output: only the stream is locked; a session in any state takes it. What a program appends is fenced by its lease, and its call id is the idempotency key,
 * so that a repeated call appends nothing twice.
 */
import { createHash } from "node:crypto";
import type { StreamAppendBody } from "@helmr/protocol/api";
import { canonicalJson } from "@helmr/protocol/shared";
import { assertNever, required } from "../assert.ts";
import { decideInput, type StreamDirection, streamId } from "../domain/stream.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { isRefusal, type Refusal, refuse } from "../outcome.ts";
import { continuationInsert } from "../store/continuation.ts";
import { json, type Tx } from "../store/db.ts";
import { waitFitting } from "../store/run-wait.ts";
import { type LockedRun, runLock } from "../store/run.ts";
import { sessionFacts, sessionGet, type SessionKey, sessionLock, type SessionRow } from "../store/session.ts";
import { type RecordRow, streamDeclared, streamEnsure, streamLock, streamRecordByKey, streamRecordInsert } from "../store/stream.ts";
import { continueLocked } from "./continue-session.ts";
import { expireLocked } from "./expire-session.ts";
import { noSession } from "./read-sessions.ts";
import { resolveLocked } from "./resolve-wait.ts";

export interface Append {
  environmentId: string;
  key: SessionKey;
  stream: string;
  body: StreamAppendBody;
}

export interface Appended {
  record: RecordRow;
  created: boolean;
  continuation?: "accepted_run_pending" | "created" | "duplicate";
}

export const noStream = (name: string, direction: StreamDirection): Refusal =>
  refuse("stream_not_found", `the session's deployment declares no ${direction} stream "${name}"`);

export async function appendOutput(context: EngineContext, { environmentId, key, stream, body }: Append): Promise<Appended | Refusal> {
  return context.db.tx(async (tx) => {
    const session = await sessionGet(tx, environmentId, key);
    if (!session) return noSession();
    if (!(await isDeclared(tx, session, "output", stream))) return noStream(stream, "output");
    const taken = await takeRecord(tx, newAppend(session.id, { direction: "output", stream, body }));
    if (isRefusal(taken)) return taken;
    tx.afterCommit(() => context.hints.send(topic.session(session.id)));
    return { record: taken.record, created: taken.created };
  });
}

export async function appendInput(context: EngineContext, append: Append): Promise<Appended | Refusal> {
  return context.db.tx((tx) => appendInputIn(tx, context, append));
}

/** For a caller whose own row is locked in the same transaction (public access tokens). A refusal has changed nothing but an expiry that was due. */
export async function appendInputIn(
  tx: Tx,
  context: EngineContext,
  { environmentId, key, stream, body }: Append,
): Promise<Appended | Refusal> {
  const session = await sessionLock(tx, environmentId, key);
  if (!session) return noSession();
  if (!(await isDeclared(tx, session, "input", stream))) return noStream(stream, "input");
  const decision = decideInput(sessionFacts(session));
  switch (decision) {
    case "terminal":
      return refuse("session_terminal", `the session is ${session.state}`);
    case "expire":
      await expireLocked(tx, context, session);
      return refuse("session_expired");
    case "expired":
      return refuse("session_expired");
    case "append":
      return takeInput(tx, context, session, newAppend(session.id, { direction: "input", stream, body }));
    default:
      return assertNever(decision);
  }
}

async function takeInput(tx: Tx, context: EngineContext, session: SessionRow, append: NewAppend): Promise<Appended | Refusal> {
  const run = session.current_run_id === null ? undefined : await runLock(tx, session.environment_id, session.current_run_id);
  const taken = await takeRecord(tx, append);
  if (isRefusal(taken)) return taken;
  const { record } = taken;
  if (!taken.created) return { record, created: false, ...(taken.continued ? { continuation: "duplicate" as const } : {}) };
  tx.afterCommit(() => context.hints.send(topic.session(session.id)));
  if (run && run.state !== "finished" && (await resolveFitting(tx, context, run, record))) return { record, created: true };
  await continuationInsert(tx, { record_id: record.id, session_id: session.id, stream_id: record.stream_id, sequence: record.sequence });
  // Older requests come first, if there are any: then this one waits behind the run that they get.
  const started = await continueLocked(tx, context, {
    environmentId: session.environment_id,
    sessionId: session.id,
    run: run?.state ?? null,
  });
  return { record, created: true, continuation: started?.recordId === record.id ? "created" : "accepted_run_pending" };
}

/** Whether a wait took the record. */
async function resolveFitting(tx: Tx, context: EngineContext, run: LockedRun, record: RecordRow): Promise<boolean> {
  const { stream_id, sequence, correlation_id } = record;
  const waits = await waitFitting(tx, { run_id: run.id, stream_id, sequence, correlation_id });
  const decided = { condition: "satisfied" as const, record, by: { kind: "record", record_id: record.id } };
  for (const wait of waits) await resolveLocked(tx, context, run, { wait, decided });
  return waits.length > 0;
}

const isDeclared = (tx: Tx, session: SessionRow, direction: StreamDirection, name: string) =>
  streamDeclared(tx, { deployment_id: session.active_deployment_id, direction, name });

export interface NewAppend {
  streamId: string;
  sessionId: string;
  direction: StreamDirection;
  name: string;
  data: unknown;
  contentType: string;
  correlationId: string | null;
  keyHash: Buffer | null;
  fingerprint: Buffer | null;
}

function newAppend(
  sessionId: string,
  { direction, stream, body }: { direction: StreamDirection; stream: string; body: StreamAppendBody },
): NewAppend {
  const { data, content_type: contentType, correlation_id: correlationId, idempotency_key: key } = body;
  const identity = { data, correlation_id: correlationId, content_type: contentType };
  return {
    streamId: streamId({ sessionId, direction, name: stream }),
    sessionId,
    direction,
    name: stream,
    data,
    contentType,
    correlationId: correlationId ?? null,
    keyHash: key === undefined ? null : createHash("sha256").update(key).digest(),
    fingerprint: key === undefined ? null : createHash("sha256").update(canonicalJson(identity)).digest(),
  };
}

type Taken = { record: RecordRow; created: true } | { record: RecordRow; created: false; continued: boolean };

/** The next record of the stream, or the one that its key made before. Locks the stream. */
export async function takeRecord(tx: Tx, append: NewAppend): Promise<Taken | Refusal> {
  const { streamId: id, keyHash, fingerprint } = append;
  const [, stream, known] = await Promise.all([
    streamEnsure(tx, { id, session_id: append.sessionId, direction: append.direction, name: append.name }),
    streamLock(tx, id),
    keyHash === null ? undefined : streamRecordByKey(tx, id, keyHash),
  ]);
  if (known && fingerprint) {
    if (!known.idempotency_fingerprint.equals(fingerprint)) return refuse("idempotency_fingerprint_mismatch");
    return { record: known, created: false, continued: known.continued };
  }
  const row = {
    id: newId(),
    stream_id: id,
    sequence: required(stream, "A stream that was ensured is there").sequence + 1,
    content_type: append.contentType,
    correlation_id: append.correlationId,
  };
  const stored = required(
    await streamRecordInsert(tx, { ...row, data: json(append.data), idempotency_key_hash: keyHash, idempotency_fingerprint: fingerprint }),
    "An insert returns its row",
  );
  return { record: { ...row, data: append.data, created_at: stored.created_at }, created: true };
}
