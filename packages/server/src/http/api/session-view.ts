/** Sessions as the API shows them (http §4.1). */
import type { Blocked, Session, SessionRun } from "@helmr/protocol/api";
import type { Json, JsonObject } from "@helmr/protocol/shared";
import { projectRun } from "../../domain/run.ts";
import { canClose, sessionActivity } from "../../domain/session.ts";
import { factsOf, type SessionRow, type SessionRunRow } from "../../operations/read-sessions.ts";

export function sessionView(row: SessionRow, blocked?: Blocked): Session {
  const facts = factsOf(row);
  return {
    id: row.id,
    project_id: row.project_id,
    environment_id: row.environment_id,
    task_id: row.task_id,
    initial_deployment_id: row.initial_deployment_id,
    active_deployment_id: row.active_deployment_id,
    ...(row.external_id === null ? {} : { external_id: row.external_id }),
    status: row.state,
    activity: sessionActivity(facts),
    can_close: canClose(facts),
    ...(row.current_run_id === null ? {} : { current_run_id: row.current_run_id }),
    workspace_id: row.workspace_id,
    metadata: row.metadata as JsonObject,
    tags: row.tags,
    ...outcome(row.result),
    ...(row.terminal_reason === null ? {} : { terminal_reason: row.terminal_reason }),
    ...(row.expires_at === null ? {} : { expires_at: row.expires_at }),
    ...(row.expired_at === null ? {} : { expired_at: row.expired_at }),
    created_at: row.created_at,
    updated_at: row.updated_at,
    ...(blocked ? { blocked } : {}),
  };
}

/** A stored result is an envelope {ok, value | error} (http §4.4). */
function outcome(result: SessionRow["result"]): { result?: Json; error?: Json } {
  if (result === null) return {};
  if (result.ok) return { result: (result.value ?? null) as Json };
  return { error: (result.error ?? { name: "TaskFailed", message: "task failed" }) as Json };
}

export function sessionRunView(row: SessionRunRow): SessionRun {
  const { status, execution } = projectRun(row.state, row.outcome);
  return {
    id: row.id,
    run_id: row.id,
    deployment_id: row.deployment_id,
    ...(row.previous_run_id === null ? {} : { previous_run_id: row.previous_run_id }),
    turn_index: row.turn_index,
    status,
    execution_status: execution,
    ...(row.outcome === null ? {} : { terminal_outcome: row.outcome }),
    created_at: row.created_at,
    ...(row.finished_at === null ? {} : { ended_at: row.finished_at }),
  };
}
