/** The two statements of a continuation run: what its task says now, and its rows (http §4.5). The session and the run before it are locked. */
import type { RetryPolicy } from "../domain/retry.ts";
import type { Tx } from "./db.ts";
import { type EventParams, eventInsert } from "./run-event.ts";
import { statement } from "./statement.ts";

/** Of the pinned deployment: what a start said differently is not repeated. */
export interface ContinuedTask {
  task_id: string;
  ttl: string | null;
  max_duration_seconds: number;
  retry: RetryPolicy;
  secrets: { name: string }[];
  metadata: Record<string, unknown>;
  tags: string[];
}

const context = statement<{ session_id: string }, ContinuedTask>(
  "session_continue_context",
  `select s.task_id, t.ttl, t.max_duration_seconds, t.retry, t.secrets, s.metadata, s.tags
     from sessions s join deployment_tasks t on t.deployment_id = s.active_deployment_id and t.task_id = s.task_id
    where s.id = $session_id`,
);

interface ContinueParams extends EventParams {
  session_id: string;
  ttl_ms: number | null;
  trace_id: string;
}

/** Payload and versions are those of the run before; the rest is the task's and the session's. */
const insert = statement<ContinueParams>(
  "session_continue_insert",
  `with run as (
          insert into runs (id, org_id, project_id, environment_id, session_id, deployment_id, deployment_task_id, task_id, workspace_id, turn_index, previous_run_id,
                            state, payload, queue_name, concurrency_limit, ttl_ms, ttl_text, max_duration_seconds, retry, secrets, api_version, sdk_version, cli_version,
                            deployment_version, trace_id, metadata, tags, event_seq)
          select $run_id, s.org_id, s.project_id, s.environment_id, s.id, d.id, t.id, s.task_id, s.workspace_id, s.turn_count, before.id,
                 'queued', before.payload, t.queue_name, q.concurrency_limit, $ttl_ms, t.ttl, t.max_duration_seconds, t.retry, t.secrets, before.api_version,
                 before.sdk_version, before.cli_version, d.version, $trace_id, s.metadata, s.tags, cardinality($event_kinds::text[])
            from sessions s
            join runs before on before.id = s.current_run_id
            join deployments d on d.id = s.active_deployment_id
            join deployment_tasks t on t.deployment_id = d.id and t.task_id = s.task_id
            left join deployment_queues q on q.deployment_id = d.id and q.name = t.queue_name
           where s.id = $session_id),
        appended as (${eventInsert})
   update sessions set current_run_id = $run_id, turn_count = turn_count + 1, updated_at = now() where id = $session_id`,
);

export const sessionContinueContext = (tx: Tx, sessionId: string) => tx.one(context, { session_id: sessionId });
export const sessionContinueInsert = (tx: Tx, params: ContinueParams) => tx.run(insert, params);
