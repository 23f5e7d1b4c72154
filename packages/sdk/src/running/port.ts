/**
 * The seam between the SDK and the guest's program. The program implements `RunRuntime` as a thin transport; everything a task author can
 * observe (lazy handles, one blocking call at a time, cursors, schemas, limits) is done above it, in this folder.
 *
 * The active runtime lives in one slot on globalThis, so that every copy of the SDK in the process shares it together with the state
 * that must exist once per process: which blocking call is in flight, and the last sequence per (stream, correlation id).
 * `installRuntime` is the only writer of the slot.
 *
 * Across a checkpoint and restore nothing here changes: the memory is the same and the answer of the open call arrives later.
 */
import { sharedSlot } from "../brand.ts";
import type { Json, JsonObject } from "../json-value.ts";

/** Raised whenever the port changes incompatibly; an SDK that finds another version in the slot says so instead of guessing. */
export const runRuntimeVersion = 1;

export type WaitCondition =
  | { kind: "token"; tokenId: string }
  | { kind: "stream"; stream: string; afterSequence?: number; correlationId?: string }
  | { kind: "timer"; delayMs: number };

/** The calls of `program.call` in the guest protocol, member for member. `json` members are JSON text that was checked for size. */
export type ProgramCall =
  | {
      kind: "wait";
      on: WaitCondition;
      /** false: `once()` and `on()`, which read live and never park. */
      parkable: boolean;
      timeoutSeconds?: number;
      idleTimeoutSeconds?: number;
      metadata?: JsonObject;
      tags?: string[];
    }
  | { kind: "stream.peek"; stream: string; afterSequence?: number; correlationId?: string }
  | { kind: "stream.append"; stream: string; json: string; contentType?: string }
  | {
      kind: "token.create";
      timeoutMs?: number;
      tags?: string[];
      metadata?: JsonObject;
      idempotencyKey?: string;
    }
  | { kind: "metadata"; operation: MetadataOperation }
  | { kind: "wait.cancel"; waitCallId: number };

export type MetadataOperation =
  | { op: "set"; key: string; json: string }
  | { op: "patch"; json: string }
  | { op: "increment"; key: string; amount: number };

/** What the answer of a `wait` call resolves to. `record` is a StreamRecord as on the wire (http §5.1, snake_case). */
export type WaitOutcome =
  | { kind: "token"; status: "completed" | "timed_out" | "cancelled"; data?: unknown }
  | { kind: "stream"; status: "completed" | "timed_out" | "cancelled"; record?: unknown }
  | { kind: "timer"; status: "completed" | "cancelled" };

export interface OpenCall {
  /** Unique in the attempt; names the call in `wait.cancel`. */
  readonly callId: number;
  /**
   * wait: a WaitOutcome, as soon as the condition is decided (never the intermediate `{ waitId }`).
   * stream.peek: a wire StreamRecord or null. stream.append: anything, once the record is stored. token.create: a wire Token (http §6).
   * metadata, wait.cancel: anything, as soon as the call was handed to the supervisor; they are not acknowledged.
   * Rejects with a RunCallError when the call was refused, with any other error when the transport is gone.
   */
  readonly answer: Promise<unknown>;
}

export interface LogEntry {
  level: "info" | "warn" | "error";
  message: string;
  fields?: JsonObject;
  /** RFC 3339 with milliseconds. */
  at: string;
}

export interface RunRuntime {
  readonly version: typeof runRuntimeVersion;
  readonly run: {
    readonly id: string;
    readonly attemptId?: string;
    readonly attemptNumber?: number;
    readonly runLeaseId?: string;
    readonly snapshotVersion?: number;
  };
  readonly task: { readonly id: string };
  readonly session: { readonly id: string };
  /** `path`: the mount path and working directory; `projectPath`: where the project source is. */
  readonly workspace: { readonly path: string; readonly projectPath: string };
  /** Aborted once by a cancel without force (sdk §8.4). */
  readonly signal: AbortSignal;
  /** Sends at once, in the order of the calls. */
  call(call: ProgramCall): OpenCall;
  /** Synchronous: the entry is in the supervisor's hands, or in a bounded buffer on its way there, when this returns. */
  log(entry: LogEntry): void;
}

/** A refusal of the control plane (`program.answer` with `ok: false`). */
export class RunCallError extends Error {
  override name = "RunCallError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What all copies of the SDK share. */
export interface InstalledRuntime {
  readonly runtime: RunRuntime;
  /** Words for the blocking call in flight, for the sentence of ConcurrentWaitError. */
  blocking: string | undefined;
  /** Last sequence that `wait` gave, by stream and correlation id. */
  readonly cursors: Map<string, number>;
  /** Calls on their way that need no turn of their own, and those that wait for a place (bounded-calls.ts). */
  readonly line: { open: number; readonly waiting: (() => void)[] };
}

const slot = sharedSlot<InstalledRuntime>("runRuntime");

/** Makes the run APIs of every copy of the SDK in this process work. Returns the undo. */
export function installRuntime(runtime: RunRuntime): () => void {
  const installed: InstalledRuntime = { runtime, blocking: undefined, cursors: new Map(), line: { open: 0, waiting: [] } };
  slot.set(installed);
  return () => {
    if (slot.get() === installed) slot.set(undefined);
  };
}

export class RunRuntimeMissingError extends Error {
  override name = "RunRuntimeMissingError";
}

export function isTaskRunning(): boolean {
  return slot.get() !== undefined;
}

/** The runtime of the running task; outside a task this throws (sdk §3). */
export function activeRuntime(): InstalledRuntime {
  const installed = slot.get();
  if (installed === undefined) throw new RunRuntimeMissingError("Helmr run APIs can only be used while a task is running");
  const offered: number = installed.runtime.version;
  if (offered !== runRuntimeVersion) {
    throw new RunRuntimeMissingError(
      `This @helmr/sdk speaks run runtime ${runRuntimeVersion}, and the guest offers ${offered}; use the @helmr/sdk of the server's version`,
    );
  }
  return installed;
}

export type { Json, JsonObject };
