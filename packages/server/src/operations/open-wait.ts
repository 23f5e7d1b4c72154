/**
 * A program waits: for a token, a record, or a time (sdk §3). The condition is looked at inside the transaction that opens the wait, under the lock of the
 * run: what is there already is the answer at once, what comes afterwards finds the open wait. A token is held with it (`for share`), because whoever decides
 * it locks the token alone. A repeat of the call gives the wait that it opened, or its outcome. Locks: run → token.
 */
import { limits } from "@helmr/protocol/shared";
import type { ProgramCallRequest, WaitOutcome } from "@helmr/protocol/worker";
import { assertNever } from "../assert.ts";
import { storableJson, storableText } from "../domain/storable.ts";
import { streamId } from "../domain/stream.ts";
import { tokenStatus } from "../domain/token.ts";
import { liveWindowMs, type WaitKind } from "../domain/wait.ts";
import { type EngineContext, type ParkingSettings, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { sessionLimits } from "../session-limits.ts";
import { continuationRead } from "../store/continuation.ts";
import type { Tx } from "../store/db.ts";
import { type NewWait, waitOpen, waitOpenCount, type WaitRow } from "../store/run-wait.ts";
import type { LockedRun } from "../store/run.ts";
import { type RecordRow, streamDeclared, streamEnsure, streamRecordFirst } from "../store/stream.ts";
import { tokenHold } from "../store/token.ts";
import { announceRun } from "./finish-run.ts";
import { type CallRefused, parseTags, refuseCall } from "./program-call-values.ts";
import { type DecidedCondition, endEvents } from "./resolve-wait.ts";
import { readOutcome, waitOutcome } from "./wait-outcome.ts";

export type WaitCall = Extract<ProgramCallRequest["call"], { kind: "wait" }>;

export type WaitAnswer =
  | { state: "answered"; value: WaitOutcome }
  | { state: "waiting"; waitId: string; liveMs: number | undefined }
  | CallRefused;

/** A wait that this call opened before. */
export async function answerKnownWait(tx: Tx, wait: WaitRow, call: WaitCall): Promise<WaitAnswer> {
  if (wait.condition === "open") return { state: "waiting", waitId: wait.id, liveMs: wait.live_ms ?? undefined };
  // Given up before it arrived: nothing of it was stored.
  if (wait.kind === null) return { state: "answered", value: { kind: call.on.kind, status: "cancelled" } };
  return { state: "answered", value: await readOutcome(tx, wait) };
}

export async function openWait(
  tx: Tx,
  context: EngineContext,
  run: LockedRun & { attempt_id: string },
  { callId, call }: { callId: number; call: WaitCall },
): Promise<WaitAnswer> {
  const tags = parseTags(call.tags ?? []);
  if ("state" in tags) return tags;
  const metadata = storableJson(call.metadata ?? {}) as Record<string, unknown>;
  if (Buffer.byteLength(JSON.stringify(metadata)) > limits.waitMetadataBytesMax)
    return refuseCall(`metadata of a wait must be at most ${limits.waitMetadataBytesMax} bytes`);
  if ((await waitOpenCount(tx, run.id)) >= sessionLimits.openWaitsMax)
    return refuseCall(`a run can have at most ${sessionLimits.openWaitsMax} open waits`);
  const target = await findTarget(tx, run, call);
  if ("state" in target) return target;
  const { decided } = target;
  // A live read that finds its record is no pause: it leaves no trace.
  if (decided.condition !== "open" && !call.parkable) return answerAtOnce(target, decided);
  const wait = newWait(run, { callId, call, target, metadata, tags: tags.tags, bounds: context.parking });
  const created = { run_wait_id: wait.wait_id, kind: wait.kind, params: wait.params, metadata, tags: tags.tags, ...timeoutOf(call) };
  const ends = decided.condition === "open" ? [] : endEvents({ id: wait.wait_id, kind: wait.kind, token_data: target.tokenData }, decided);
  await waitOpen(tx, run, wait, [{ kind: "run_wait.created", attributes: created }, ...ends]);
  tx.afterCommit(() => {
    announceRun(context, run);
    if (decided.condition === "open" && isSoon(call)) context.hints.send(topic.reconcile("wake-waits"));
  });
  if (decided.condition !== "open") return answerAtOnce(target, decided);
  return { state: "waiting", waitId: wait.wait_id, liveMs: wait.live_ms ?? undefined };
}

interface Target {
  kind: WaitKind;
  tokenId: string | null;
  tokenData: unknown;
  streamId: string | null;
  afterSequence: number | null;
  correlationId: string | null;
  delayMs: number | null;
  params: Record<string, unknown>;
  decided: DecidedCondition;
}

const nothing = { tokenId: null, tokenData: null, streamId: null, afterSequence: null, correlationId: null, delayMs: null };
const open = { condition: "open" } as const;
const atOnce = { kind: "at_once" };

async function findTarget(tx: Tx, run: LockedRun, { on }: WaitCall): Promise<Target | CallRefused> {
  switch (on.kind) {
    case "token":
      return findToken(tx, run, on.token_id);
    case "stream":
      return findStream(tx, run, {
        name: on.stream,
        afterSequence: on.after_sequence ?? 0,
        correlationId: on.correlation_id === undefined || on.correlation_id === "" ? null : storableText(on.correlation_id),
      });
    case "timer":
      return { ...nothing, kind: "timer", delayMs: on.delay_ms, params: { delay_ms: on.delay_ms }, decided: open };
    default:
      return assertNever(on);
  }
}

async function findToken(tx: Tx, run: LockedRun, tokenId: string): Promise<Target | CallRefused> {
  const token = uuid.test(tokenId) ? await tokenHold(tx, run.environment_id, tokenId.toLowerCase()) : undefined;
  if (!token) return refuseCall("token not found", "token_not_found");
  const status = tokenStatus({ state: token.state, pastTimeout: token.past_timeout });
  const target = { ...nothing, kind: "token" as const, tokenId: token.id, tokenData: token.data, params: { token_id: token.id } };
  if (status === "pending") return { ...target, decided: open };
  const condition = ({ completed: "satisfied", cancelled: "cancelled", expired: "timed_out" } as const)[status];
  return { ...target, decided: { condition, by: atOnce } };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface StreamFilter {
  name: string;
  afterSequence: number;
  correlationId: string | null;
}

async function findStream(tx: Tx, run: LockedRun, filter: StreamFilter): Promise<Target | CallRefused> {
  const found = await readForRun(tx, run, filter);
  if ("state" in found) return found;
  const { name, afterSequence, correlationId } = filter;
  const params = {
    stream: name,
    ...(afterSequence === 0 ? {} : { after_sequence: afterSequence }),
    ...(correlationId === null ? {} : { correlation_id: correlationId }),
  };
  const target = { ...nothing, kind: "stream" as const, streamId: found.streamId, afterSequence, correlationId, params };
  if (found.record) return { ...target, decided: { condition: "satisfied", record: found.record, by: atOnce } };
  await streamEnsure(tx, { id: found.streamId, session_id: run.session_id, direction: "input", name });
  return { ...target, decided: open };
}

/** The first record of an input stream that fits; a run that reads it takes its continuation away. The run is locked. */
export async function readForRun(
  tx: Tx,
  run: LockedRun,
  { name, afterSequence, correlationId }: StreamFilter,
): Promise<{ streamId: string; record: RecordRow | undefined } | CallRefused> {
  const declared = await streamDeclared(tx, { deployment_id: run.deployment_id, direction: "input", name: storableText(name) });
  if (!declared) return refuseCall(`the session's deployment declares no input stream "${name}"`, "stream_not_found");
  const id = streamId({ sessionId: run.session_id, direction: "input", name });
  const record = await streamRecordFirst(tx, { streamId: id, after: afterSequence, correlationId });
  if (record) await continuationRead(tx, record.id);
  return { streamId: id, record };
}

function newWait(
  run: LockedRun & { attempt_id: string },
  request: { callId: number; call: WaitCall; target: Target; metadata: object; tags: string[]; bounds: ParkingSettings },
): NewWait & { kind: WaitKind; params: Record<string, unknown> } {
  const { callId, call, target, metadata, tags, bounds } = request;
  const { decided } = target;
  const isOpen = decided.condition === "open";
  const timeoutSeconds = target.kind === "timer" ? null : (call.timeout_seconds ?? null);
  const live = liveWindowMs(
    {
      kind: target.kind,
      parkable: call.parkable,
      delayMs: target.delayMs,
      timeoutMs: timeoutSeconds === null ? null : timeoutSeconds * 1_000,
      idleTimeoutMs: call.idle_timeout_seconds === undefined ? null : call.idle_timeout_seconds * 1_000,
    },
    bounds,
  );
  return {
    wait_id: newId(),
    environment_id: run.environment_id,
    attempt_id: run.attempt_id,
    call_id: callId,
    kind: target.kind,
    condition: decided.condition,
    parkable: call.parkable,
    token_id: target.tokenId,
    stream_id: target.streamId,
    after_sequence: target.afterSequence,
    correlation_id: target.correlationId,
    delay_ms: target.delayMs,
    timeout_seconds: timeoutSeconds,
    live_ms: isOpen ? (live ?? null) : null,
    params: target.params,
    metadata,
    tags,
    record_id: isOpen ? null : (decided.record?.id ?? null),
    resolved_by: isOpen ? null : decided.by,
  };
}

function answerAtOnce(target: Target, decided: Exclude<DecidedCondition, { condition: "open" }>): WaitAnswer {
  const wait = { kind: target.kind, condition: decided.condition, token_data: target.tokenData };
  return { state: "answered", value: waitOutcome(wait, decided.record) };
}

/** In the timeline a timeout is in seconds (http §7.4). */
const timeoutOf = (call: WaitCall) =>
  call.timeout_seconds === undefined || call.on.kind === "timer" ? {} : { timeout: call.timeout_seconds };

/** Whether the loop that wakes waits has to hear of it before it looks by itself. */
function isSoon({ on, timeout_seconds: timeout }: WaitCall): boolean {
  const dueMs = on.kind === "timer" ? on.delay_ms : timeout === undefined ? Number.POSITIVE_INFINITY : timeout * 1_000;
  return dueMs <= sessionLimits.loopPeriodMs;
}
