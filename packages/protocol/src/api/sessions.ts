/** Sessions (http §4). */
import * as z from "zod";
import {
  concurrencyKey,
  durationText,
  externalId,
  idempotencyKey,
  int32Max,
  int32Min,
  integer,
  jsonObject,
  jsonValue,
  limitQuery,
  maxDurationSeconds,
  oneOf,
  plainText,
  queueName,
  refused,
  scopeFields,
  tags,
  taskId,
  textFilter,
  timestampValue,
  uuidParam,
  uuidValue,
} from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, json, jsonMembers, tagList, timestamp } from "./fields.ts";
import { blockedView, exampleRun, executionStatuses, runStatus, runView, terminalOutcomes } from "./runs.ts";

export const sessionStatuses = ["open", "closed", "cancelled", "expired"] as const;
export type SessionStatus = (typeof sessionStatuses)[number];
export const sessionActivities = ["idle", "queued", "running", "waiting"] as const;
export type SessionActivity = (typeof sessionActivities)[number];

export type RetryPolicy =
  | { enabled: false }
  | { enabled?: true; maxAttempts: number; backoff?: { minMs?: number; maxMs?: number; factor?: number; jitter?: "none" | "full" } };

/** Keys are camelCase on the wire. Unknown keys are ignored because session start ignores them; a deployment's own check is stricter. */
export const retryPolicy = z
  .object({
    enabled: z.boolean().optional(),
    maxAttempts: integer(1, 10).optional(),
    backoff: z
      .object({
        minMs: integer(1, int32Max).optional(),
        maxMs: integer(1, int32Max).optional(),
        factor: z
          .number()
          .refine((factor) => factor > 0, "must be greater than zero")
          .optional(),
        jitter: oneOf(["none", "full"]).optional(),
      })
      .optional(),
  })
  .superRefine((policy, context) => {
    if (policy.enabled !== false && policy.maxAttempts === undefined) {
      context.addIssue({ code: "custom", path: ["maxAttempts"], message: "is required unless enabled is false" });
    }
  })
  .transform((policy): RetryPolicy => {
    if (policy.enabled === false || policy.maxAttempts === undefined) return { enabled: false };
    return { enabled: true, maxAttempts: policy.maxAttempts, ...(policy.backoff === undefined ? {} : { backoff: policy.backoff }) };
  });

const notForStart = (key: string) => refused(`${key} is not accepted for session start`);

/** Not strict (http §1.1): unknown fields are ignored, but these five are refused by name. */
export const sessionStartBody = z.object({
  options: notForStart("options"),
  bundle: notForStart("bundle"),
  source: notForStart("source"),
  deployment_id: notForStart("deployment_id"),
  version: notForStart("version"),
  ...scopeFields,
  task_id: taskId(),
  payload: jsonValue().default({}),
  external_id: externalId().optional(),
  queue: z.object({ name: queueName().optional() }).optional(),
  concurrency_key: concurrencyKey().optional(),
  priority: integer(int32Min, int32Max).optional(),
  ttl: durationText().optional(),
  max_duration_seconds: maxDurationSeconds().optional(),
  retry: retryPolicy.optional(),
  metadata: jsonObject().default({}),
  tags: tags().default([]),
  idempotency_key: idempotencyKey().optional(),
  idempotency_key_ttl: durationText().optional().meta({ description: "default 30d" }),
  expires_at: timestampValue().optional(),
  workspace_id: uuidValue().optional(),
});
export type SessionStartBody = z.output<typeof sessionStartBody>;
export type SessionStartInput = z.input<typeof sessionStartBody>;

export const startWaitSecondsDefault = 30;
export const startWaitSecondsMax = 300;
const timeoutSecondsText = "must be an integer that is not negative";

export const sessionStartAndWaitBody = sessionStartBody.extend({
  timeout_seconds: z
    .int(timeoutSecondsText)
    .min(0, timeoutSecondsText)
    .default(0)
    .transform((seconds) => (seconds === 0 ? startWaitSecondsDefault : Math.min(seconds, startWaitSecondsMax)))
    .meta({ description: `0 or absent is ${startWaitSecondsDefault}; above ${startWaitSecondsMax} counts as ${startWaitSecondsMax}` }),
});
export type SessionStartAndWaitBody = z.output<typeof sessionStartAndWaitBody>;
export type SessionStartAndWaitInput = z.input<typeof sessionStartAndWaitBody>;

export const sessionView = z
  .object({
    id,
    project_id: id,
    environment_id: id,
    task_id: z.string(),
    initial_deployment_id: id,
    active_deployment_id: id,
    external_id: z.string().optional(),
    status: z.enum(sessionStatuses),
    activity: z.enum(sessionActivities),
    can_close: z.boolean(),
    current_run_id: id.optional(),
    workspace_id: id.optional(),
    metadata: jsonMembers.optional(),
    tags: tagList.optional(),
    result: json.optional(),
    error: json.optional(),
    timed_out: z.literal(true).optional().meta({ description: "reserved; never sent on the session object" }),
    terminal_reason: z.object({ reason: z.string().optional(), origin: z.string().optional() }).optional(),
    expires_at: timestamp.optional(),
    expired_at: timestamp.optional(),
    created_at: timestamp,
    updated_at: timestamp,
    blocked: blockedView.optional().meta({ description: "why the session's run does not run; only while activity is queued or waiting" }),
  })
  .meta({ id: "Session" });
export type Session = z.output<typeof sessionView>;

export const exampleSession: Session = {
  id: exampleId.session,
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  task_id: "hello",
  initial_deployment_id: exampleId.deployment,
  active_deployment_id: exampleId.deployment,
  external_id: "order-4711",
  status: "open",
  activity: "idle",
  can_close: true,
  current_run_id: exampleId.run,
  workspace_id: exampleId.workspace,
  metadata: { requested_by: "ada" },
  tags: ["demo"],
  created_at: exampleTime,
  updated_at: exampleTime,
};

export const sessionStartView = z
  .object({ session: sessionView, run: runView, is_cached: z.literal(true).optional(), timed_out: z.literal(true).optional() })
  .meta({ id: "SessionStartResult" });
export type SessionStartResult = z.output<typeof sessionStartView>;

export const sessionRunView = z
  .object({
    id,
    run_id: id,
    deployment_id: id,
    previous_run_id: id.optional(),
    turn_index: z.int().min(0),
    status: runStatus,
    execution_status: z.enum(executionStatuses),
    terminal_outcome: z.enum(terminalOutcomes).optional(),
    created_at: timestamp,
    ended_at: timestamp.optional(),
  })
  .meta({ id: "SessionRun" });
export type SessionRun = z.output<typeof sessionRunView>;

/** What is given replaces what is stored. */
export const sessionUpdateBody = z.strictObject({
  metadata: jsonObject().optional(),
  tags: tags().optional(),
  expires_at: timestampValue().optional(),
});
export type SessionUpdateBody = z.output<typeof sessionUpdateBody>;
export type SessionUpdateInput = z.input<typeof sessionUpdateBody>;

/** Body of close and cancel. */
export const sessionEndBody = z.strictObject({ reason: plainText().optional() });
export type SessionEndBody = z.output<typeof sessionEndBody>;
export type SessionEndInput = z.input<typeof sessionEndBody>;

export const sessionParams = z.object({ id: uuidParam("session") });

const exampleStart = { task_id: "hello", payload: { name: "Ada" }, external_id: "order-4711", tags: ["demo"] };

const startErrors = [
  "idempotency_pending",
  "coordination_unavailable",
  "task_archived",
  "task_not_deployed",
  "sandbox_not_deployed",
  "workspace_sandbox_incompatible",
  "workspace_resource_floor_unsatisfied",
  "session_fingerprint_mismatch",
  "idempotency_fingerprint_mismatch",
  "idempotency_external_id_mismatch",
  "session_terminal",
  "session_has_no_current_run",
] as const;

export const sessionEndpoints = {
  start: endpoint({
    id: "sessions.start",
    method: "POST",
    path: "/sessions",
    family: "environment",
    permission: "runs.create",
    summary: "Start a session and its first run",
    body: sessionStartBody,
    response: sessionStartView,
    statuses: [201, 200],
    errors: startErrors,
    example: { body: exampleStart, response: { session: exampleSession, run: exampleRun } },
  }),
  startAndWait: endpoint({
    id: "sessions.startAndWait",
    method: "POST",
    path: "/sessions/start-and-wait",
    family: "environment",
    permission: { all: ["runs.create", "runs.read"] },
    summary: "Start a session and wait until its run has ended",
    body: sessionStartAndWaitBody,
    response: sessionStartView,
    statuses: [200],
    errors: startErrors,
    example: { body: { ...exampleStart, timeout_seconds: 60 }, response: { session: exampleSession, run: exampleRun } },
  }),
  list: endpoint({
    id: "sessions.list",
    method: "GET",
    path: "/sessions",
    family: "environment",
    permission: "runs.read",
    summary: "List sessions, last changed first",
    query: z.object({
      status: oneOf(["all", ...sessionStatuses]).default("all"),
      task_id: textFilter(),
      external_id: textFilter(),
      limit: limitQuery(200, 100),
    }),
    response: z.object({ sessions: z.array(sessionView) }),
    statuses: [200],
    example: { response: { sessions: [exampleSession] } },
  }),
  get: endpoint({
    id: "sessions.get",
    method: "GET",
    path: "/sessions/{id}",
    family: "environment",
    permission: "runs.read",
    summary: "Get a session",
    params: sessionParams,
    response: sessionView,
    statuses: [200],
    byExternalId: true,
    example: { response: exampleSession },
  }),
  update: endpoint({
    id: "sessions.update",
    method: "PATCH",
    path: "/sessions/{id}",
    family: "environment",
    permission: "runs.manage",
    summary: "Replace metadata or tags of a session, or extend its expiry",
    params: sessionParams,
    body: sessionUpdateBody,
    response: sessionView,
    statuses: [200],
    errors: ["session_expires_at_not_extendable"],
    byExternalId: true,
    example: { body: { metadata: { requested_by: "ada" }, tags: ["demo"] }, response: exampleSession },
  }),
  close: endpoint({
    id: "sessions.close",
    method: "POST",
    path: "/sessions/{id}/close",
    family: "environment",
    permission: "runs.manage",
    summary: "Close a session whose work is done",
    params: sessionParams,
    body: sessionEndBody,
    response: sessionView,
    statuses: [200],
    errors: ["close_run_active", "session_terminal"],
    byExternalId: true,
    example: {
      body: { reason: "done" },
      response: { ...exampleSession, status: "closed", can_close: false, terminal_reason: { reason: "done", origin: "api" } },
    },
  }),
  cancel: endpoint({
    id: "sessions.cancel",
    method: "POST",
    path: "/sessions/{id}/cancel",
    family: "environment",
    permission: "runs.manage",
    summary: "Cancel a session and its current run",
    params: sessionParams,
    body: sessionEndBody,
    response: sessionView,
    statuses: [200],
    errors: ["session_terminal"],
    byExternalId: true,
    example: {
      body: { reason: "customer left" },
      response: {
        ...exampleSession,
        status: "cancelled",
        can_close: false,
        error: { name: "TaskCancelled", message: "customer left", details: { origin: "api" } },
        terminal_reason: { reason: "customer left", origin: "api" },
      },
    },
  }),
  runs: endpoint({
    id: "sessions.runs",
    method: "GET",
    path: "/sessions/{id}/runs",
    family: "environment",
    permission: "runs.read",
    summary: "List the runs of a session by turn",
    params: sessionParams,
    response: z.object({ runs: z.array(sessionRunView) }),
    statuses: [200],
    byExternalId: true,
    example: {
      response: {
        runs: [
          {
            id: exampleId.other,
            run_id: exampleId.run,
            deployment_id: exampleId.deployment,
            turn_index: 0,
            status: "succeeded",
            execution_status: "finished",
            terminal_outcome: "succeeded",
            created_at: exampleTime,
            ended_at: exampleTime,
          },
        ],
      },
    },
  }),
};

/** Default lifetime of a start's idempotency key. */
export const startIdempotencyTtl = "30d";
