/** Runs, their operations and events as the API shows them (http §7.1, §7.4). Axes of the wire are projections of the one state (domain/run.ts). */
import { type Blocked, redactedAttributes, type Run, type RunEvent, type RunOperation } from "@helmr/protocol/api";
import type { Json, JsonObject } from "@helmr/protocol/shared";
import { projectRun } from "../../domain/run.ts";
import { waitDisplayStatus } from "../../domain/wait.ts";
import type { cancelRun } from "../../operations/cancel-run.ts";
import type { RunEventRow, RunRow } from "../../operations/read-runs.ts";
import type { Refusal } from "../../outcome.ts";

export function runView(row: RunRow, more: { blocked?: Blocked | undefined; idempotencyHit?: boolean } = {}): Run {
  const wait = pendingWait(row);
  return {
    id: row.id,
    project_id: row.project_id,
    environment_id: row.environment_id,
    deployment_id: row.deployment_id,
    deployment_task_id: row.deployment_task_id,
    session_id: row.session_id,
    version: row.deployment_version,
    deployment_version: row.deployment_version,
    api_version: row.api_version,
    ...(row.sdk_version === null ? {} : { sdk_version: row.sdk_version }),
    ...(row.cli_version === null ? {} : { cli_version: row.cli_version }),
    task_id: row.task_id,
    status: projectRun(row.state, row.outcome).status,
    metadata: row.metadata as JsonObject,
    exit_code: row.exit_code,
    ...(row.has_output ? { output: row.output as Json } : {}),
    created_at: row.created_at,
    updated_at: row.updated_at,
    ...(row.attempt_number === null ? {} : { attempt_number: row.attempt_number }),
    ...(wait ? { pending_wait: wait } : {}),
    ...(more.idempotencyHit ? { idempotency_hit: true } : {}),
    ...(more.blocked ? { blocked: more.blocked } : {}),
  };
}

function pendingWait(row: RunRow): Run["pending_wait"] {
  if (row.wait_id === null || row.wait_created_at === null) return undefined;
  return {
    id: row.wait_id,
    ...(row.wait_kind === null ? {} : { kind: row.wait_kind }),
    ...(row.wait_suspension === null ? {} : { status: waitDisplayStatus(row.wait_suspension) }),
    params: row.wait_params as Json,
    metadata: row.wait_metadata as Json,
    tags: row.wait_tags ?? [],
    ...(row.wait_timeout_seconds === null ? {} : { timeout: row.wait_timeout_seconds }),
    created_at: row.wait_created_at,
  };
}

type OperationRow = Exclude<Awaited<ReturnType<typeof cancelRun>>, Refusal>["operation"];

export function runOperationView(row: OperationRow): RunOperation {
  return {
    id: row.id,
    run_id: row.run_id,
    kind: row.kind,
    status: row.state,
    ...(row.reason === null ? {} : { reason: row.reason }),
    created_at: row.created_at,
    ...(row.applied_at === null ? {} : { applied_at: row.applied_at }),
  };
}

/** On run events the message is the kind; sensitive attributes are never shown. */
export function runEventView(run: { id: string; traceId: string }, row: RunEventRow): RunEvent {
  const attributes = row.kind === "run.created" ? { ...row.attributes, payload: row.payload as Json } : row.attributes;
  return {
    id: String(row.seq),
    run_id: run.id,
    ...(row.lease_id === null ? {} : { run_lease_id: row.lease_id }),
    ...(row.attempt_id === null ? {} : { attempt_id: row.attempt_id }),
    ...(row.attempt_number === null ? {} : { attempt_number: row.attempt_number }),
    trace: { trace_id: run.traceId },
    category: row.category,
    severity: row.severity,
    source: row.source,
    kind: row.kind,
    message: row.kind,
    at: row.created_at,
    occurred_at: row.occurred_at,
    redaction_class: row.redaction,
    attributes: (row.redaction === "sensitive" ? redactedAttributes : attributes) as Json,
  };
}
