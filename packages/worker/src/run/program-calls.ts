/**
 * What the program asks of the control plane, relayed. A call is repeated to the end of the lease under the same id; a wait that stays open is
 * answered later, by a directive or with a renewal, whichever comes first. Secret values are masked in what goes out.
 *
 *   received ──▶ asked ──▶ answered
 *                  └─▶ waiting ──directive──▶ answered
 */
import { type ProgramAnswer, type ProgramCallBody, type ProgramCallMessage, openCallsMax } from "@helmr/protocol/guest";
import { type Json, jsonProblem, limits, type Masker } from "@helmr/protocol/shared";
import type { ProgramCallRequest } from "@helmr/protocol/worker";
import { assertNever } from "../assert.ts";
import type { WorkerClient } from "../control/client.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { MetadataOperation } from "./spool-records.ts";

export interface ProgramCallsOptions {
  client: WorkerClient;
  held: HeldLease;
  runId: string;
  attemptId: string;
  masker: Masker;
  answer: (answer: ProgramAnswer) => void;
  /** Resolves when the operation is kept. */
  spoolMetadata: (operation: MetadataOperation) => Promise<void>;
  onWait: (change: "opened" | "closed") => void;
  /** What is open has changed: see `parkable`. */
  onChange: () => void;
  /** The program asks more at once than a program may. */
  onFlood: () => void;
}

type Outcome = ProgramAnswer["outcome"];
type WireCall = ProgramCallRequest["call"];

interface OpenCall {
  /** Undefined: being asked. */
  waitId: string | undefined;
  isWait: boolean;
  /** When its live window ends, on the clock of `performance.now()`; undefined: it never parks. */
  liveUntil: number | undefined;
}

/** The only thing that the program waits for. */
export interface ParkableWait {
  callId: number;
  waitId: string;
  liveUntil: number;
}

export class ProgramCalls {
  private readonly options: ProgramCallsOptions;
  private readonly open = new Map<number, OpenCall>();
  /** Outcomes that came with the lease, by call: what a resumed program asks again is answered at once. */
  private readonly known = new Map<number, unknown>();
  private stopped = false;
  /** Records of one stream are appended in the order in which the program wrote them. */
  private readonly appends = new Map<string, Promise<unknown>>();

  constructor(options: ProgramCallsOptions) {
    this.options = options;
  }

  /** Ids of waits that have no answer yet. */
  openWaits(): number[] {
    return [...this.open].filter(([, call]) => call.waitId !== undefined).map(([id]) => id);
  }

  /** The one wait for which the run may be parked: nothing else is open. */
  parkable(): ParkableWait | undefined {
    if (this.open.size !== 1) return undefined;
    const [[callId, { waitId, liveUntil }]] = [...this.open] as [[number, OpenCall]];
    return waitId === undefined || liveUntil === undefined ? undefined : { callId, waitId, liveUntil };
  }

  expect(callId: number, outcome: unknown): void {
    this.known.set(callId, outcome);
  }

  /** The run is parked: nothing is answered here any more. */
  stop(): void {
    this.stopped = true;
  }

  receive(message: ProgramCallMessage): void {
    const { callId, call } = message;
    if (message.attemptId !== this.options.attemptId || this.open.has(callId)) return;
    if (this.open.size >= openCallsMax) {
      this.options.onFlood();
      return;
    }
    const isWait = call.kind === "wait";
    this.open.set(callId, { waitId: undefined, isWait, liveUntil: undefined });
    if (isWait) this.options.onWait("opened");
    this.options.onChange();
    if (this.known.has(callId)) {
      this.close(callId, { ok: true, value: this.known.get(callId) });
      return;
    }
    void this.perform(callId, call).then((outcome) => outcome !== "waiting" && this.close(callId, outcome));
  }

  /** A wait that was open has its outcome. Safe to repeat. */
  resolved(callId: number, outcome: unknown): void {
    this.close(callId, { ok: true, value: outcome });
  }

  private close(callId: number, outcome: Outcome): void {
    const call = this.open.get(callId);
    if (call === undefined || this.stopped) return;
    this.open.delete(callId);
    if (call.isWait) this.options.onWait("closed");
    this.options.answer({ type: "program.answer", callId, outcome });
    this.options.onChange();
  }

  private async perform(callId: number, call: ProgramCallBody): Promise<Outcome | "waiting"> {
    if (call.kind === "metadata") return this.metadata(call.operation);
    const wire = this.translate(call);
    if ("problem" in wire) return { ok: false, code: "refused", message: wire.problem };
    return wire.kind === "stream.append" ? this.inOrder(wire.stream, () => this.ask(callId, wire)) : this.ask(callId, wire);
  }

  private async inOrder<T>(stream: string, work: () => Promise<T>): Promise<T> {
    const before = this.appends.get(stream) ?? Promise.resolve();
    const mine = before.then(work);
    const tail = mine.catch(() => {});
    this.appends.set(stream, tail);
    try {
      return await mine;
    } finally {
      if (this.appends.get(stream) === tail) this.appends.delete(stream);
    }
  }

  private async ask(callId: number, call: WireCall): Promise<Outcome | "waiting"> {
    const { client, held, runId, attemptId } = this.options;
    const body = { ...held.fenced, attempt_id: attemptId, call_id: callId, call };
    const result = await client.call("call", body, { id: runId, deadline: held.deadline, signal: held.lost });
    switch (result.kind) {
      case "ok":
        break;
      case "stale":
        held.lose("stale");
        return "waiting";
      case "lost":
        // The lease is over, and with it the program: it needs no answer.
        return "waiting";
      case "gap":
        return { ok: false, code: "refused", message: "The control plane refused the call" };
      case "refused":
        return { ok: false, code: result.code === "" ? "refused" : result.code, message: result.message };
    }
    const { value } = result;
    if (value.state === "answered") return { ok: true, value: value.value ?? null };
    if (value.state === "refused") return { ok: false, code: value.code.slice(0, 64), message: value.message };
    const waiting = this.open.get(callId);
    if (waiting !== undefined) {
      waiting.waitId = value.wait_id;
      waiting.liveUntil = value.live_ms === undefined ? undefined : performance.now() + value.live_ms;
      this.options.onChange();
    }
    return "waiting";
  }

  private async metadata(operation: Extract<ProgramCallBody, { kind: "metadata" }>["operation"]): Promise<Outcome> {
    const read = readOperation(operation, this.options.masker);
    if ("problem" in read) return { ok: false, code: "refused", message: read.problem };
    await this.options.spoolMetadata(read);
    return { ok: true, value: null };
  }

  private translate(call: Exclude<ProgramCallBody, { kind: "metadata" }>): WireCall | { problem: string } {
    switch (call.kind) {
      case "wait": {
        const { on, timeoutSeconds, idleTimeoutSeconds, metadata, tags, parkable } = call;
        return {
          kind: "wait",
          on: condition(on),
          parkable,
          timeout_seconds: timeoutSeconds,
          idle_timeout_seconds: idleTimeoutSeconds,
          metadata: this.masked(metadata),
          tags,
        };
      }
      case "wait.cancel":
        return { kind: "wait.cancel", wait_call_id: call.waitCallId };
      case "stream.peek":
        return { kind: "stream.peek", stream: call.stream, after_sequence: call.afterSequence, correlation_id: call.correlationId };
      case "stream.append": {
        const parsed = parseJson(call.json);
        if ("problem" in parsed) return parsed;
        return {
          kind: "stream.append",
          stream: call.stream,
          data: this.options.masker.maskJson(parsed.value),
          content_type: call.contentType,
        };
      }
      case "token.create":
        return {
          kind: "token.create",
          timeout_ms: call.timeoutMs,
          tags: call.tags,
          metadata: this.masked(call.metadata),
          idempotency_key: call.idempotencyKey,
        };
      default:
        return assertNever(call);
    }
  }

  private masked(value: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
    return value === undefined ? undefined : (this.options.masker.maskJson(value as Json) as Record<string, unknown>);
  }
}

function condition(on: Extract<ProgramCallBody, { kind: "wait" }>["on"]): Extract<WireCall, { kind: "wait" }>["on"] {
  switch (on.kind) {
    case "token":
      return { kind: "token", token_id: on.tokenId };
    case "stream":
      return { kind: "stream", stream: on.stream, after_sequence: on.afterSequence, correlation_id: on.correlationId };
    case "timer":
      return { kind: "timer", delay_ms: Math.max(1, on.delayMs) };
    default:
      return assertNever(on);
  }
}

function readOperation(
  operation: Extract<ProgramCallBody, { kind: "metadata" }>["operation"],
  masker: Masker,
): MetadataOperation | { problem: string } {
  if (operation.op === "increment") return operation;
  const parsed = parseJson(operation.json);
  if ("problem" in parsed) return parsed;
  const value = masker.maskJson(parsed.value);
  if (operation.op === "set") return { op: "set", key: operation.key, value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { problem: "A metadata patch must be a JSON object" };
  return { op: "patch", value };
}

function parseJson(text: string): { value: Json } | { problem: string } {
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.jsonValueBytesMax)
    return { problem: `The value has ${bytes} bytes as JSON; the limit is ${limits.jsonValueBytesMax}` };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "The value is no JSON" };
  }
  const problem = jsonProblem(value);
  return problem === undefined ? { value: value as Json } : { problem: `The value ${problem}` };
}
