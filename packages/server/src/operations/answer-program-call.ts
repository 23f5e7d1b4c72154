/**
 * What a program asks of the control plane and needs an answer for (protocol/worker/runs.ts): waits, giving a wait up, peeking, appending to an output
 * stream, creating a token. The call is fenced by the lease of its run, and its id makes a repeat harmless: the answer of a call does not change, and
 * nothing is done twice. Locks: run → stream, or run → token.
 */
import { createHash } from "node:crypto";
import { canonicalJson, limits } from "@helmr/protocol/shared";
import type { ProgramCallRequest } from "@helmr/protocol/worker";
import { defaultContentType, tokenTimeoutMsDefault } from "@helmr/protocol/api";
import { assertNever } from "../assert.ts";
import { storableJson, storableText } from "../domain/storable.ts";
import { streamId } from "../domain/stream.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { isRefusal } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { leaseHeldRun } from "../store/lease.ts";
import { waitByCall, waitOpenGivenUp, type WaitRow } from "../store/run-wait.ts";
import type { LockedRun } from "../store/run.ts";
import { streamDeclared } from "../store/stream.ts";
import type { TokenRow } from "../store/token.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";
import { takeRecord } from "./append-stream-record.ts";
import { createTokenIn } from "./create-token.ts";
import { answerKnownWait, openWait, readForRun, type WaitAnswer } from "./open-wait.ts";
import { type CallRefused, parseTags, refuseCall, refusedAs } from "./program-call-values.ts";
import { resolveLocked } from "./resolve-wait.ts";
import { recordView } from "./wait-outcome.ts";

type Body = ProgramCallRequest["call"];
type CallingRun = LockedRun & { attempt_id: string };

/** A token is shown with its secrets by whoever answers. */
export type CallAnswer = WaitAnswer | { state: "answered"; value: unknown } | { state: "token"; token: TokenRow } | CallRefused;

export async function answerProgramCall(
  context: EngineContext,
  call: RunCall,
  request: { callId: number; call: Body },
): Promise<CallAnswer | Stale> {
  return context.db.tx(async (tx) => {
    const [run, known] = await Promise.all([
      leaseHeldRun(tx, { lease_id: call.leaseId, run_id: call.runId, worker_id: call.worker.workerId, fence: call.fence }),
      waitByCall(tx, call.attemptId, request.callId),
    ]);
    if (!run || !isHeldRun(run, call)) return stale;
    if (run.state !== "executing" && run.state !== "cancelling") return refuseCall("the attempt has not started");
    return answer(tx, context, { ...run, attempt_id: call.attemptId }, { ...request, known });
  });
}

interface Asked {
  callId: number;
  call: Body;
  known: WaitRow | undefined;
}

async function answer(tx: Tx, context: EngineContext, run: CallingRun, { callId, call, known }: Asked): Promise<CallAnswer> {
  switch (call.kind) {
    case "wait":
      return known ? answerKnownWait(tx, known, call) : openWait(tx, context, run, { callId, call });
    case "wait.cancel":
      return giveUpWait(tx, context, run, call.wait_call_id);
    case "stream.peek":
      return peek(tx, run, call);
    case "stream.append":
      return append(tx, context, run, { callId, call });
    case "token.create":
      return createToken(tx, context, run, { callId, call });
    default:
      return assertNever(call);
  }
}

const done: CallAnswer = { state: "answered", value: null };

/** The wait's own answer says that it was cancelled. A wait that has not arrived yet finds that it was given up. */
async function giveUpWait(tx: Tx, context: EngineContext, run: CallingRun, waitCallId: number): Promise<CallAnswer> {
  const wait = await waitByCall(tx, run.attempt_id, waitCallId);
  if (!wait) {
    await waitOpenGivenUp(tx, {
      id: newId(),
      environment_id: run.environment_id,
      run_id: run.id,
      attempt_id: run.attempt_id,
      call_id: waitCallId,
    });
    return done;
  }
  if (wait.condition === "open")
    await resolveLocked(tx, context, run, { wait, decided: { condition: "cancelled", by: { kind: "given_up" } } });
  return done;
}

async function peek(tx: Tx, run: CallingRun, call: Extract<Body, { kind: "stream.peek" }>): Promise<CallAnswer> {
  const correlationId = call.correlation_id === undefined || call.correlation_id === "" ? null : storableText(call.correlation_id);
  const found = await readForRun(tx, run, { name: call.stream, afterSequence: call.after_sequence ?? 0, correlationId });
  if ("state" in found) return found;
  return { state: "answered", value: found.record ? recordView(found.record) : null };
}

interface Called<K extends Body["kind"]> {
  callId: number;
  call: Extract<Body, { kind: K }>;
}

async function append(tx: Tx, context: EngineContext, run: CallingRun, { callId, call }: Called<"stream.append">): Promise<CallAnswer> {
  const name = storableText(call.stream);
  const data = storableJson(call.data ?? null);
  const bytes = Buffer.byteLength(JSON.stringify(data));
  if (bytes > limits.jsonValueBytesMax)
    return refuseCall(`data of a record must be at most ${limits.jsonValueBytesMax} bytes, and has ${bytes}`);
  if (!(await streamDeclared(tx, { deployment_id: run.deployment_id, direction: "output", name })))
    return refuseCall(`the session's deployment declares no output stream "${name}"`, "stream_not_found");
  const contentType =
    call.content_type === undefined || call.content_type.trim() === "" ? defaultContentType : storableText(call.content_type);
  const taken = await takeRecord(tx, {
    streamId: streamId({ sessionId: run.session_id, direction: "output", name }),
    sessionId: run.session_id,
    direction: "output",
    name,
    data,
    contentType,
    correlationId: null,
    keyHash: ownKey("call", run.attempt_id, callId),
    fingerprint: hash(canonicalJson({ data, content_type: contentType })),
  });
  if (isRefusal(taken)) return refusedAs(taken);
  tx.afterCommit(() => context.hints.send(topic.session(run.session_id)));
  return { state: "answered", value: recordView(taken.record) };
}

/** A key of the program's own is one of its run: a retry attempt gets the same token, another run another one. */
async function createToken(tx: Tx, context: EngineContext, run: CallingRun, { callId, call }: Called<"token.create">): Promise<CallAnswer> {
  const tags = parseTags(call.tags ?? []);
  if ("state" in tags) return tags;
  const metadata = storableJson(call.metadata ?? {}) as Record<string, unknown>;
  if (Buffer.byteLength(JSON.stringify(metadata)) > limits.waitMetadataBytesMax)
    return refuseCall(`metadata of a token must be at most ${limits.waitMetadataBytesMax} bytes`);
  const key = call.idempotency_key?.trim();
  const created = await createTokenIn(tx, context, {
    environmentId: run.environment_id,
    timeoutMs: call.timeout_ms ?? tokenTimeoutMsDefault,
    tags: tags.tags,
    metadata,
    keyHash: key ? ownKey("run", run.id, key) : ownKey("call", run.attempt_id, callId),
    runId: run.id,
  });
  return isRefusal(created) ? refusedAs(created) : { state: "token", token: created.token };
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
/** No key of a caller can be the same: theirs have no NUL. */
const ownKey = (scope: "call" | "run", id: string, key: string | number): Buffer => hash(`${scope}\0${id}\0${key}`);
