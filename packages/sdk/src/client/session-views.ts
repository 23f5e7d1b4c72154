/** From the wire's sessions and records to results (sdk §11). */
import type { Session, SessionRun as WireSessionRun, StreamAppendResult } from "@helmr/protocol/api";
import { streamRecord } from "../running/stream-record.ts";
import { optional } from "./body-members.ts";
import type { SessionInputSendResult, SessionRun, SessionSnapshot } from "./session-shapes.ts";

export function sessionSnapshot(wire: Session): SessionSnapshot {
  return {
    id: wire.id,
    projectId: wire.project_id,
    environmentId: wire.environment_id,
    taskId: wire.task_id,
    initialDeploymentId: wire.initial_deployment_id,
    activeDeploymentId: wire.active_deployment_id,
    ...optional("externalId", wire.external_id),
    status: wire.status,
    activity: wire.activity,
    canClose: wire.can_close,
    currentRunId: wire.current_run_id ?? null,
    workspaceId: wire.workspace_id ?? null,
    metadata: wire.metadata ?? {},
    tags: wire.tags ?? [],
    ...optional("result", wire.result),
    ...optional("error", wire.error),
    timedOut: wire.timed_out ?? false,
    ...optional("terminalReason", wire.terminal_reason),
    expiresAt: wire.expires_at ?? null,
    expiredAt: wire.expired_at ?? null,
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
  };
}

export function sessionRun(wire: WireSessionRun): SessionRun {
  return {
    id: wire.id,
    runId: wire.run_id,
    deploymentId: wire.deployment_id,
    ...optional("previousRunId", wire.previous_run_id),
    turnIndex: wire.turn_index,
    status: wire.status,
    executionStatus: wire.execution_status,
    ...optional("terminalOutcome", wire.terminal_outcome),
    createdAt: wire.created_at,
    ...optional("endedAt", wire.ended_at),
  };
}

export function sendResult(wire: StreamAppendResult): SessionInputSendResult {
  return { ...streamRecord(wire.record), idempotencyStatus: wire.idempotency_status };
}
