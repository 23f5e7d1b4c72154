/** Events of runs and deployments, and what each kind carries (http §7.4). */
import * as z from "zod";
import { cursor, id, json, jsonMembers, tagList, timestamp } from "./fields.ts";

export const waitKinds = ["token", "stream", "timer"] as const;
export type WaitKind = (typeof waitKinds)[number];

/** Events of runs and of deployments have one shape (http §7.4, §9.3). */
export const eventView = z
  .object({
    id: z.string().meta({ description: "sequence as text; without gaps per subject" }),
    run_id: id.optional(),
    deployment_id: id.optional(),
    run_lease_id: id.optional(),
    attempt_id: id.optional(),
    attempt_number: z.int().optional(),
    trace: z.object({ trace_id: z.string(), span_id: z.string().optional(), traceparent: z.string().optional() }),
    category: z.string(),
    severity: z.enum(["debug", "info", "warn", "error"]),
    source: z.string(),
    kind: z.string(),
    message: z.string(),
    at: timestamp,
    occurred_at: timestamp,
    redaction_class: z.string(),
    attributes: json,
  })
  .meta({ id: "RunEvent" });
export type RunEvent = z.output<typeof eventView>;

export const terminalRunEventKinds = ["run.completed", "run.failed", "run.cancelled", "run.expired", "run.dead_lettered"] as const;
export type TerminalRunEventKind = (typeof terminalRunEventKinds)[number];
export const runEventKinds = [
  "run.created",
  "run_wait.created",
  "run_wait.completed",
  "run_wait.timed_out",
  "run.metadata.updated",
  "log.stdout",
  "log.stderr",
  "log",
  "run.execution_lost",
  "run.retry_scheduled",
  "run.cancel_requested",
  ...terminalRunEventKinds,
] as const;
export type RunEventKind = (typeof runEventKinds)[number];

export function isTerminalRunEvent(kind: string): kind is TerminalRunEventKind {
  return (terminalRunEventKinds as readonly string[]).includes(kind);
}

export const failureKinds = [
  "task_failed",
  "max_duration",
  "task_not_found",
  "duplicate_task_id",
  "missing_config",
  "task_parse_failed",
  "worker_failed",
  "worker_lease_expired",
] as const;
export type FailureKind = (typeof failureKinds)[number];

/** With redaction class `sensitive` the attributes of an event are this value. */
export const redactedAttributes = { redacted: true } as const;
const redacted = z.object({ redacted: z.literal(true) });

const reason = z.string().optional();

/**
 * What an event of each kind carries in `attributes` (http §7.4). Metadata updates and lost executions are for display and have no fixed
 * shape; logs are always redacted.
 */
export const runEventAttributes = {
  "run.created": z.object({
    /** For a continuation `{kind: "stream_record", record_id, stream_id, sequence}`. */
    cause: json,
    max_duration_seconds: z.int(),
    metadata: jsonMembers,
    payload: json,
    reason: z.string(),
    retry_policy: json,
    secret_names: z.array(z.string()),
    tags: tagList,
    task_id: z.string(),
  }),
  "run_wait.created": z.object({
    run_wait_id: z.string(),
    kind: z.enum(waitKinds),
    params: json,
    metadata: json,
    tags: tagList,
    timeout: z.number().optional().meta({ description: "seconds" }),
  }),
  "run_wait.completed": z.object({ run_wait_id: z.string(), kind: z.enum(waitKinds), payload: json }),
  "run_wait.timed_out": z.object({ run_wait_id: z.string(), kind: z.enum(waitKinds) }),
  "run.metadata.updated": json,
  "log.stdout": redacted,
  "log.stderr": redacted,
  log: redacted,
  "run.execution_lost": json,
  "run.retry_scheduled": z.object({
    reason: z.string(),
    previous_attempt_id: id,
    previous_attempt_number: z.int(),
    next_attempt_id: id,
    next_attempt_number: z.int(),
    retry_after: timestamp,
    delay_ms: z.int().min(0),
  }),
  "run.cancel_requested": z.object({ reason, force: z.boolean().optional() }),
  "run.cancelled": z.object({ reason, force: z.boolean().optional(), origin: z.string().optional() }),
  "run.completed": z.object({ exit_code: z.int() }),
  "run.failed": z.object({ failure_kind: z.enum(failureKinds), detail: jsonMembers }),
  "run.expired": z.object({ ttl: z.string().optional(), message: z.string() }),
  "run.dead_lettered": z.object({ message: z.string() }),
} as const satisfies Record<RunEventKind, z.ZodType>;
export type RunEventAttributes<Kind extends RunEventKind> = z.output<(typeof runEventAttributes)[Kind]>;

/** The `cause` of a run that an unread input record started; its `reason` is `input` (http §4.5). */
export const streamRecordCause = z.object({ kind: z.literal("stream_record"), record_id: id, stream_id: id, sequence: z.int().min(1) });
export type StreamRecordCause = z.output<typeof streamRecordCause>;

export const eventPageView = z
  .object({ events: z.array(eventView), cursor, next_cursor: cursor.optional().meta({ description: "present only when more exist" }) })
  .meta({ id: "EventPage" });
export type EventPage = z.output<typeof eventPageView>;
