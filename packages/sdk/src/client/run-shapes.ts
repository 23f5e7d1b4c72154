/** Runs as the client gives them (sdk §9.3, §11). */
import type { JsonObject } from "../json-value.ts";
import type { RequestOptions } from "./request-options.ts";

export type RunStatus = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled" | "expired";

/** `O` is the output of the task, carried as a type only. */
export interface RunHandle<O = unknown> {
  readonly id: string;
  readonly taskId: string;
  readonly "~helmr.output"?: O;
}

/** The output type of a run handle or snapshot. */
export type RunOutput<H> = H extends { readonly "~helmr.output"?: infer O } ? O : unknown;

export interface RunSummary<O = unknown> {
  readonly id: string;
  readonly taskId: string;
  readonly status: RunStatus;
  readonly metadata: JsonObject;
  readonly exitCode: number | null;
  readonly createdAt: string | null;
  readonly updatedAt: string | null;
  readonly attemptNumber: number | null;
  readonly version?: string;
  readonly deploymentVersion?: string;
  readonly apiVersion?: string;
  readonly sdkVersion?: string;
  readonly cliVersion?: string;
  readonly output?: O;
  readonly "~helmr.output"?: O;
}

export interface RunSnapshot<O = unknown> extends RunSummary<O> {
  readonly isQueued: boolean;
  /** Status `running` alone. */
  readonly isRunning: boolean;
  readonly isWaiting: boolean;
  readonly isTerminal: boolean;
  readonly isSuccess: boolean;
  readonly isFailed: boolean;
  readonly isCancelled: boolean;
}

export interface LogSnapshot {
  readonly stdout: string;
  readonly stderr: string;
  readonly cursor: string;
  readonly truncated: boolean;
}

interface RunLogRecord {
  readonly id: string;
  readonly at: string;
  readonly stream: "stdout" | "stderr" | "logger";
  readonly level?: "info" | "warn" | "error";
  readonly message: string;
  readonly fields?: JsonObject;
}

export interface RunLogRecordPage {
  readonly records: readonly RunLogRecord[];
  /** For the next page; null on the last one. */
  readonly nextCursor: number | null;
}

type WaitKind = "token" | "stream" | "timer";

/** What happened in a run, mapped from its event records. Members as on the wire. */
export type RunEvent =
  | {
      readonly type: "log";
      readonly run_id: string;
      readonly stream: "stdout" | "stderr";
      readonly bytes: number;
      readonly observed_seq: number;
      readonly at: string;
    }
  | {
      readonly type: "token_wait" | "stream_wait" | "timer_wait";
      readonly run_id: string;
      readonly wait_id: string;
      readonly kind: WaitKind;
      readonly params: unknown;
      readonly metadata: unknown;
      readonly tags: readonly string[];
      /** Seconds. */
      readonly timeout?: number;
      readonly at: string;
    }
  | {
      readonly type: "token_wait_completed" | "stream_wait_completed" | "timer_wait_completed";
      readonly run_id: string;
      readonly wait_id: string;
      readonly kind: WaitKind;
      readonly payload: unknown;
      readonly at: string;
    }
  | {
      readonly type: "token_wait_timed_out" | "stream_wait_timed_out" | "timer_wait_timed_out";
      readonly run_id: string;
      readonly wait_id: string;
      readonly kind: WaitKind;
      readonly at: string;
    }
  | { readonly type: "task_result"; readonly run_id: string; readonly exit_code: number; readonly at: string }
  | { readonly type: "run_failed"; readonly run_id: string; readonly failure_kind: string; readonly detail?: unknown; readonly at: string }
  | { readonly type: "run_cancelled"; readonly run_id: string; readonly reason?: string; readonly at: string }
  | { readonly type: "run_expired"; readonly run_id: string; readonly ttl?: string; readonly message?: string; readonly at: string };

/** An event as the API sends it (http §7.4). */
export interface RunEventRecord {
  /** Sequence as text. */
  readonly id: string;
  readonly run_id?: string;
  readonly attempt_number?: number;
  readonly category?: string;
  readonly severity?: string;
  readonly source?: string;
  readonly kind: string;
  readonly message: string;
  readonly at: string;
  readonly occurred_at?: string;
  readonly redaction_class?: string;
  readonly attributes?: unknown;
}

export interface RunEventRecordPage {
  readonly events: readonly RunEventRecord[];
  readonly cursor: number;
  /** Present only when more exist. */
  readonly next_cursor?: number;
}

export interface RetrieveRunOptions extends RequestOptions {}

export interface RunWaitOptions extends RequestOptions {
  /** Then TimeoutError; the run goes on. */
  readonly timeoutMs?: number;
}

export interface RunCancelOptions extends RequestOptions {
  readonly reason?: string;
  /** Stops the task without notice. */
  readonly force?: boolean;
  readonly idempotencyKey?: string;
}

export interface ListRunsOptions extends RequestOptions {
  /** Default `live`: queued, running and waiting. */
  readonly status?: RunStatus | "live" | "all";
  readonly limit?: number;
}

export interface ListRunEventsOptions extends RequestOptions {
  /** Events after this sequence. */
  readonly cursor?: number;
  readonly pageSize?: number;
}

export interface SubscribeRunEventsOptions extends RequestOptions {
  readonly cursor?: number;
}

interface ListRunLogRecordsOptions extends RequestOptions {
  readonly cursor?: number;
  readonly limit?: number;
}

type RunAddress<O> = string | RunHandle<O> | RunSummary<O>;

export interface RunsApi {
  retrieve<O = unknown>(run: RunAddress<O>, options?: RetrieveRunOptions): Promise<RunSnapshot<O>>;
  /** Until the run is terminal; retried attempts do not end it. */
  wait<O = unknown>(run: RunAddress<O>, options?: RunWaitOptions): Promise<RunSnapshot<O>>;
  cancel<O = unknown>(run: RunAddress<O>, options?: RunCancelOptions): Promise<RunSnapshot<O>>;
  list(options?: ListRunsOptions): Promise<readonly RunSnapshot[]>;
  readonly logs: {
    /** The last 1 MiB of stdout and stderr. */
    retrieve(run: RunAddress<unknown>, options?: RequestOptions): Promise<LogSnapshot>;
    /** One page of log records: lines of stdout and stderr, and logger entries. */
    records(run: RunAddress<unknown>, options?: ListRunLogRecordsOptions): Promise<RunLogRecordPage>;
  };
  readonly events: {
    /** All events after the cursor; kinds this SDK does not know are left out. */
    list(run: RunAddress<unknown>, options?: ListRunEventsOptions): Promise<readonly RunEvent[]>;
    /** Until the run is terminal; survives lost connections. */
    subscribe(run: RunAddress<unknown>, options?: SubscribeRunEventsOptions): AsyncIterable<RunEvent>;
  };
}
