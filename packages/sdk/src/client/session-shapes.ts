/** Sessions and their streams as the client gives them (sdk §9.2, §11). */
import type { Task, NoPayload, SessionStartPayload, TaskOutput } from "../authoring/task.ts";
import type { QueueDefinition } from "../authoring/queue.ts";
import type { RetryPolicy } from "../authoring/retry.ts";
import type { IdempotencyKeyInput } from "../idempotency-keys.ts";
import type { Json, JsonObject } from "../json-value.ts";
import type { InputStreamDefinition, InputStreamPeekOptions, InputStreamWaitOptions } from "../running/input-stream.ts";
import type { OutputStreamDefinition, StreamListOptions, StreamReadOptions, StreamWriter } from "../running/output-stream.ts";
import type { StreamRecord } from "../running/stream-record.ts";
import type { RequestOptions } from "./request-options.ts";
import type { RunHandle, RunSnapshot, RunStatus } from "./run-shapes.ts";

export type SessionStatus = "open" | "closed" | "cancelled" | "expired";
export type SessionActivity = "idle" | "queued" | "running" | "waiting";

export interface SessionSnapshot {
  readonly id: string;
  readonly projectId: string;
  readonly environmentId: string;
  readonly taskId: string;
  readonly initialDeploymentId: string;
  readonly activeDeploymentId: string;
  readonly externalId?: string;
  readonly status: SessionStatus;
  readonly activity: SessionActivity;
  readonly canClose: boolean;
  readonly currentRunId: string | null;
  readonly workspaceId: string | null;
  readonly metadata: JsonObject;
  readonly tags: readonly string[];
  readonly result?: Json;
  readonly error?: Json;
  readonly timedOut: boolean;
  readonly terminalReason?: { readonly reason?: string; readonly origin?: string };
  readonly expiresAt: string | null;
  readonly expiredAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** One turn of a session. */
export interface SessionRun {
  readonly id: string;
  readonly runId: string;
  readonly deploymentId: string;
  readonly previousRunId?: string;
  readonly turnIndex: number;
  readonly status: RunStatus;
  readonly executionStatus: "created" | "queued" | "leased" | "executing" | "waiting" | "pending_cancel" | "finished";
  readonly terminalOutcome?: "succeeded" | "failed" | "cancelled" | "expired" | "dead_lettered";
  readonly createdAt: string;
  readonly endedAt?: string;
}

export interface SessionHandle {
  readonly id: string;
}

export interface SessionExternalIdAddress {
  readonly externalId: string;
}

/** Of an object with both, the id counts. */
export type SessionAddress = string | SessionHandle | SessionSnapshot | OpenSessionHandle | SessionExternalIdAddress;

export interface SessionStartOptions extends RequestOptions {
  readonly externalId?: string;
  /** An existing workspace; otherwise the session gets a new one. */
  readonly workspaceId?: string;
  readonly expiresAt?: string | Date;
  readonly queue?: string | { readonly name?: string } | QueueDefinition;
  readonly concurrencyKey?: string;
  /** Larger first. */
  readonly priority?: number;
  /** How long the run may stay queued, such as `10m`. */
  readonly ttl?: string;
  readonly retry?: RetryPolicy;
  readonly metadata?: JsonObject;
  readonly tags?: readonly string[];
  /** A text or list is hashed; see `idempotencyKeys.create`. */
  readonly idempotencyKey?: IdempotencyKeyInput;
  readonly idempotencyKeyTTL?: string;
}

export interface SessionStartAndWaitOptions extends SessionStartOptions {
  /** Default 30, at most 300. */
  readonly timeoutSeconds?: number;
}

export interface SessionStartResult<O = unknown> {
  readonly session: SessionSnapshot;
  readonly run: RunHandle<O>;
  /** The session existed already. */
  readonly isCached: boolean;
}

export interface SessionStartAndWaitResult<O = unknown> {
  readonly session: SessionSnapshot;
  readonly run: RunSnapshot<O>;
  readonly isCached: boolean;
  /** The time was over before the run was. */
  readonly timedOut: boolean;
}

export interface SessionListOptions extends RequestOptions {
  readonly status?: SessionStatus | "all";
  readonly taskId?: string;
  readonly externalId?: string;
  readonly limit?: number;
}

export interface SessionCloseOptions extends RequestOptions {
  readonly reason?: string;
}
export interface SessionCancelOptions extends RequestOptions {
  readonly reason?: string;
}

export interface SessionInputSendOptions extends RequestOptions {
  readonly correlationId?: string;
  readonly idempotencyKey?: string;
  /** Sends with this token in place of the key; not together with projectId and environmentId. */
  readonly publicAccessToken?: string;
}
export type InputStreamSendOptions = SessionInputSendOptions;

export interface SessionOutputAppendOptions extends RequestOptions {
  readonly contentType?: string;
  readonly correlationId?: string;
  readonly idempotencyKey?: string;
}

export interface SessionStreamListOptions extends RequestOptions, StreamListOptions {}

export interface SessionStreamReadOptions extends RequestOptions, StreamReadOptions {
  readonly publicAccessToken?: string;
}

export type SessionInputSendResult<T = unknown> = StreamRecord<T> & { readonly idempotencyStatus: "created" | "duplicate" };

/** `T`: data as readers get it; `I`: data as senders write it. */
export interface SessionInputStreamApi<T = unknown, I = T> {
  send(data: I, options?: SessionInputSendOptions): Promise<SessionInputSendResult<T>>;
  list(options?: SessionStreamListOptions): Promise<readonly StreamRecord<T>[]>;
  /** Inside a task only: on the client these four throw UnsupportedTransportError. */
  wait(options?: InputStreamWaitOptions): never;
  once(options?: InputStreamWaitOptions): never;
  on(handler: (data: T) => unknown, options?: InputStreamWaitOptions): never;
  peek(options?: InputStreamPeekOptions): never;
}

export interface SessionOutputStreamApi<T = unknown, I = T> {
  append(data: I, options?: SessionOutputAppendOptions): Promise<SessionInputSendResult<T>>;
  pipe(source: Iterable<I> | AsyncIterable<I>, options?: SessionOutputAppendOptions): Promise<void>;
  writer(options?: SessionOutputAppendOptions): StreamWriter<I>;
  /** The first record after the cursor, or null; never blocks. */
  read(options?: SessionStreamReadOptions): Promise<StreamRecord<T> | null>;
  list(options?: SessionStreamListOptions): Promise<readonly StreamRecord<T>[]>;
}

interface OpenSessionMethods {
  retrieve(options?: RequestOptions): Promise<SessionSnapshot>;
  close(options?: SessionCloseOptions): Promise<SessionSnapshot>;
  cancel(options?: SessionCancelOptions): Promise<SessionSnapshot>;
  runs(options?: RequestOptions): Promise<readonly SessionRun[]>;
  input<T, I>(stream: InputStreamDefinition<T, I>): SessionInputStreamApi<T, I>;
  input(stream: string): SessionInputStreamApi;
  output<T, I>(stream: OutputStreamDefinition<T, I>): SessionOutputStreamApi<T, I>;
  output(stream: string): SessionOutputStreamApi;
}

export interface OpenSessionApi extends OpenSessionMethods {
  readonly id: string;
}

export interface OpenSessionByExternalIdApi extends OpenSessionMethods {
  readonly externalId: string;
}

export type OpenSessionHandle = OpenSessionApi | OpenSessionByExternalIdApi;

/** A task without payload is started with two arguments, one with payload with three. */
type StartArguments<T, Options> = T extends { readonly "~helmr.types"?: { readonly payload: infer P } }
  ? 0 extends 1 & P
    ? [options: Options] | [payload: unknown, options: Options]
    : [P] extends [NoPayload]
      ? [options: Options]
      : [payload: SessionStartPayload<T>, options: Options]
  : never;

export interface SessionsApi {
  start<T extends Task>(task: T, ...values: StartArguments<T, SessionStartOptions>): Promise<SessionStartResult<TaskOutput<T>>>;
  start(
    taskId: string,
    ...values: [options: SessionStartOptions] | [payload: unknown, options: SessionStartOptions]
  ): Promise<SessionStartResult>;
  startAndWait<T extends Task>(
    task: T,
    ...values: StartArguments<T, SessionStartAndWaitOptions>
  ): Promise<SessionStartAndWaitResult<TaskOutput<T>>>;
  startAndWait(
    taskId: string,
    ...values: [options: SessionStartAndWaitOptions] | [payload: unknown, options: SessionStartAndWaitOptions]
  ): Promise<SessionStartAndWaitResult>;
  /** No request. */
  open(address: SessionExternalIdAddress & { readonly id?: undefined }): OpenSessionByExternalIdApi;
  open(address: string | SessionHandle): OpenSessionApi;
  open(address: SessionAddress): OpenSessionHandle;
  retrieve(address: SessionAddress, options?: RequestOptions): Promise<SessionSnapshot>;
  list(options?: SessionListOptions): Promise<readonly SessionSnapshot[]>;
}
