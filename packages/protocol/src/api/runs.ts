/** Runs, their events and logs (http §7). There is no POST: runs come from sessions and schedules. */
import * as z from "zod";
import { cursorQuery, followQuery, idempotencyKey, limitQuery, oneOf, plainText, uuidParam, uuidValue } from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { count, cursor, exampleId, exampleTime, id, json, jsonMembers, tagList, timestamp } from "./fields.ts";
import { eventPageView, eventView, waitKinds } from "./run-events.ts";

export const runStatuses = ["queued", "running", "waiting", "succeeded", "failed", "cancelled", "expired"] as const;
export const runStatus = z.enum(runStatuses).meta({ id: "RunStatus" });
export type RunStatus = z.output<typeof runStatus>;

export function isTerminalRunStatus(status: RunStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled" || status === "expired";
}

export const executionStatuses = ["created", "queued", "leased", "executing", "waiting", "pending_cancel", "finished"] as const;
export const terminalOutcomes = ["succeeded", "failed", "cancelled", "expired", "dead_lettered"] as const;

export const pendingWaitView = z
  .object({
    id: z.string(),
    kind: z.enum(waitKinds).optional(),
    /** For display: `live` or `parked`. */
    status: z.string().optional(),
    params: json.optional(),
    metadata: json.optional(),
    tags: tagList.optional(),
    timeout: z.number().optional().meta({ description: "seconds" }),
    created_at: timestamp,
  })
  .meta({ id: "PendingWait" });
export type PendingWait = z.output<typeof pendingWaitView>;

/**
 * Why a queued or waiting run does not run (engine §3). `details` holds the numbers of the sentence and `released_by`, a sentence that
 * says what would change it. Further codes may be added: clients show the sentence.
 */
export const blockedCodes = [
  "queue_concurrency_limit",
  "concurrency_key_busy",
  "environment_concurrency_limit",
  "earlier_turn_active",
  "workspace_writer_active",
  "retry_delay",
  "no_worker",
  "no_capacity",
  "placement_pending",
  "resume_pending",
  "wait_token",
  "wait_stream",
  "wait_timer",
] as const;
export type BlockedCode = (typeof blockedCodes)[number];

export const blockedView = z
  .object({
    code: z.string().meta({ description: `one of ${blockedCodes.join(", ")}, or one added later` }),
    message: z.string(),
    details: jsonMembers,
  })
  .meta({ id: "Blocked" });
export type Blocked = z.output<typeof blockedView>;

export const runView = z
  .object({
    id,
    project_id: id,
    environment_id: id,
    deployment_id: id,
    deployment_task_id: id,
    session_id: id,
    version: z.string(),
    deployment_version: z.string(),
    api_version: z.string(),
    sdk_version: z.string().optional(),
    cli_version: z.string().optional(),
    task_id: z.string(),
    status: runStatus,
    metadata: jsonMembers.optional(),
    exit_code: z.int().nullable(),
    output: json.optional(),
    created_at: timestamp,
    updated_at: timestamp,
    attempt_number: z.int().min(1).optional().meta({ description: "absent before the first attempt" }),
    pending_wait: pendingWaitView.optional(),
    idempotency_hit: z.boolean().optional(),
    blocked: blockedView.optional().meta({ description: "why the run does not run; only while it is queued or waiting" }),
  })
  .meta({ id: "Run" });
export type Run = z.output<typeof runView>;

export const exampleRun: Run = {
  id: exampleId.run,
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  deployment_id: exampleId.deployment,
  deployment_task_id: exampleId.deploymentTask,
  session_id: exampleId.session,
  version: "20260606.1",
  deployment_version: "20260606.1",
  api_version: "2026-06-06",
  sdk_version: "0.1.0",
  task_id: "hello",
  status: "succeeded",
  metadata: { requested_by: "ada" },
  exit_code: 0,
  output: { greeting: "Hello, Ada" },
  created_at: exampleTime,
  updated_at: exampleTime,
  attempt_number: 1,
};

export const runOperationView = z
  .object({
    id,
    run_id: id,
    kind: z.literal("cancel"),
    status: z.enum(["requested", "applied", "rejected"]),
    reason: z.string().optional(),
    created_at: timestamp,
    applied_at: timestamp.optional(),
  })
  .meta({ id: "RunOperation" });
export type RunOperation = z.output<typeof runOperationView>;

export const runCountsView = z
  .object({ queued: count, running: count, waiting: count, succeeded: count, failed: count, cancelled: count, expired: count })
  .meta({ id: "RunCounts" });
export type RunCounts = z.output<typeof runCountsView>;

export const logSnapshotView = z
  .object({
    stdout_base64: z.string().meta({ contentEncoding: "base64" }),
    stderr_base64: z.string().meta({ contentEncoding: "base64" }),
    cursor: z.string(),
    stdout_bytes: count,
    stderr_bytes: count,
    truncated: z.boolean(),
  })
  .meta({ id: "LogSnapshot" });
export type LogSnapshot = z.output<typeof logSnapshotView>;

export const logChunkView = z
  .object({
    id: z.string().meta({ description: "chunk sequence as text" }),
    run_id: id,
    run_lease_id: id,
    attempt_number: z.int(),
    stream: z.enum(["stdout", "stderr"]),
    content_base64: z.string().meta({ contentEncoding: "base64" }),
    bytes: count,
    observed_seq: count,
    at: timestamp,
  })
  .meta({ id: "LogChunk" });
export type LogChunk = z.output<typeof logChunkView>;

export const logRecordView = z
  .object({
    id: z.string().meta({ description: "ascending sequence as text; not a chunk sequence" }),
    at: timestamp,
    stream: z.enum(["stdout", "stderr", "logger"]),
    level: z.enum(["info", "warn", "error"]).optional(),
    message: z.string(),
    fields: jsonMembers.optional(),
  })
  .meta({ id: "LogRecord" });
export type LogRecord = z.output<typeof logRecordView>;

export const logRecordPageView = z
  .object({ records: z.array(logRecordView), cursor, next_cursor: cursor.optional().meta({ description: "present only when more exist" }) })
  .meta({ id: "LogRecordPage" });
export type LogRecordPage = z.output<typeof logRecordPageView>;

export const runCancelBody = z.strictObject({
  reason: plainText().optional(),
  force: z.boolean().optional(),
  idempotency_key: idempotencyKey().optional(),
});
export type RunCancelBody = z.output<typeof runCancelBody>;
export type RunCancelInput = z.input<typeof runCancelBody>;

export const runCancelView = z.object({ run: runView, operation: runOperationView }).meta({ id: "RunCancelResult" });
export type RunCancelResult = z.output<typeof runCancelView>;

const runParams = z.object({ id: uuidParam("run") });
const tail = { cursor: cursorQuery(), limit: limitQuery(200, 200), follow: followQuery() };

export const runEndpoints = {
  list: endpoint({
    id: "runs.list",
    method: "GET",
    path: "/runs",
    family: "environment",
    permission: "runs.read",
    summary: "List runs, newest first",
    query: z.object({
      status: oneOf(["live", "all", ...runStatuses]).default("live"),
      session_id: uuidValue().optional(),
      limit: limitQuery(200, 100),
    }),
    response: z.object({ runs: z.array(runView) }),
    statuses: [200],
    example: { response: { runs: [exampleRun] } },
  }),
  counts: endpoint({
    id: "runs.counts",
    method: "GET",
    path: "/runs/counts",
    family: "environment",
    permission: "runs.read",
    summary: "Count runs by status",
    response: runCountsView,
    statuses: [200],
    example: { response: { queued: 1, running: 2, waiting: 0, succeeded: 40, failed: 3, cancelled: 0, expired: 0 } },
  }),
  get: endpoint({
    id: "runs.get",
    method: "GET",
    path: "/runs/{id}",
    family: "environment",
    permission: "runs.read",
    summary: "Get a run",
    params: runParams,
    response: runView,
    statuses: [200],
    example: { response: exampleRun },
  }),
  cancel: endpoint({
    id: "runs.cancel",
    method: "POST",
    path: "/runs/{id}/cancel",
    family: "environment",
    permission: "runs.manage",
    summary: "Cancel a run",
    params: runParams,
    body: runCancelBody,
    response: runCancelView,
    statuses: [200],
    errors: ["idempotency_fingerprint_mismatch"],
    example: {
      body: { reason: "no longer needed" },
      response: {
        run: { ...exampleRun, status: "cancelled", exit_code: null, output: undefined },
        operation: {
          id: exampleId.other,
          run_id: exampleId.run,
          kind: "cancel",
          status: "applied",
          created_at: exampleTime,
          applied_at: exampleTime,
        },
      },
    },
  }),
  events: endpoint({
    id: "runs.events",
    method: "GET",
    path: "/runs/{id}/events",
    family: "environment",
    permission: "runs.read",
    summary: "List or follow the events of a run",
    params: runParams,
    query: z.object(tail),
    response: eventPageView,
    statuses: [200],
    events: { run_event: eventView },
    example: {
      response: {
        events: [
          {
            id: "7",
            run_id: exampleId.run,
            attempt_number: 1,
            trace: { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" },
            category: "run",
            severity: "info",
            source: "control_plane",
            kind: "run.completed",
            message: "run.completed",
            at: exampleTime,
            occurred_at: exampleTime,
            redaction_class: "none",
            attributes: { exit_code: 0 },
          },
        ],
        cursor: 6,
      },
    },
  }),
  logs: endpoint({
    id: "runs.logs",
    method: "GET",
    path: "/runs/{id}/logs",
    family: "environment",
    permission: "runs.read",
    summary: "Read or follow the logs of a run: a byte snapshot, or records with format=records",
    params: runParams,
    query: z.object({ ...tail, format: oneOf(["records"]).optional() }),
    response: z.union([logSnapshotView, logRecordPageView]),
    statuses: [200],
    events: { run_log: logChunkView, run_log_record: logRecordView },
    example: {
      response: { records: [{ id: "1", at: exampleTime, stream: "stdout", message: "Hello, Ada" }], cursor: 0 },
    },
  }),
};
