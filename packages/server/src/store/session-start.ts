/** The two statements of a session start: what it depends on, and everything it makes. */
import type { RetryPolicy } from "../domain/retry.ts";
import type { Gate } from "../domain/queue.ts";
import type { Queryable, Tx } from "./db.ts";
import { type EventParams, eventInsert } from "./run-event.ts";
import { statement } from "./statement.ts";

export interface StartContext {
  worker_group: string;
  deployment_id: string | null;
  deployment_version: string | null;
  deployment_task_id: string | null;
  queue_name: string | null;
  ttl: string | null;
  max_duration_seconds: number | null;
  retry: RetryPolicy | null;
  secrets: { name: string }[] | null;
  sandbox_row_id: string | null;
  sandbox_id: string | null;
  sandbox_fingerprint: string | null;
  milli_cpu: number | null;
  memory_mib: number | null;
  disk_mib: number | null;
  image_ref: string | null;
  /** Of the wanted queue, or of the task's; `queue_declared` says whether it exists. */
  queue_declared: boolean;
  queue_limit: number | null;
}

const context = statement<{ environment_id: string; task_id: string; queue_name: string | null }, StartContext>(
  "session_start_context",
  `select e.worker_group, d.id as deployment_id, d.version as deployment_version, t.id as deployment_task_id, t.queue_name, t.ttl, t.max_duration_seconds, t.retry,
          t.secrets, b.id as sandbox_row_id, b.sandbox_id, b.fingerprint as sandbox_fingerprint, b.milli_cpu, b.memory_mib, b.disk_mib, b.image_ref,
          q.name is not null as queue_declared, q.concurrency_limit as queue_limit
     from environments e
     left join deployments d on d.id = e.current_deployment_id
     left join deployment_tasks t on t.deployment_id = d.id and t.task_id = $task_id
     left join deployment_sandboxes b on b.id = t.sandbox_id
     left join deployment_queues q on q.deployment_id = d.id and q.name = coalesce($queue_name, t.queue_name)
    where e.id = $environment_id`,
);

/** A workspace that a start was given: locked, with what its resources are. */
export interface GivenWorkspace {
  id: string;
  state: string;
  sandbox_fingerprint: string;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number | null;
}

const givenWorkspace = statement<{ environment_id: string; id: string }, GivenWorkspace>(
  "session_start_workspace",
  `select w.id, w.state, w.sandbox_fingerprint, b.milli_cpu, b.memory_mib, b.disk_mib
     from workspaces w join deployment_sandboxes b on b.id = w.deployment_sandbox_id
    where w.environment_id = $environment_id and w.id = $id for share of w`,
);

export interface StartParams extends EventParams {
  org_id: string;
  project_id: string;
  environment_id: string;
  session_id: string;
  task_id: string;
  deployment_id: string;
  deployment_task_id: string;
  deployment_version: string;
  external_id: string | null;
  fingerprint: Buffer;
  metadata: string;
  tags: string[];
  expires_at: string | null;
  workspace_id: string;
  /** null: the workspace was given. */
  version_id: string | null;
  sandbox_row_id: string;
  sandbox_id: string;
  sandbox_fingerprint: string;
  empty_digest: string;
  payload: string;
  queue_name: string;
  concurrency_key: string | null;
  concurrency_limit: number | null;
  priority: number;
  ttl_ms: number | null;
  ttl_text: string | null;
  max_duration_seconds: number;
  retry: string;
  secrets: string;
  api_version: string;
  sdk_version: string | null;
  cli_version: string | null;
  trace_id: string;
  worker_group: string;
  lane: string | null;
  gate: Gate;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  image_ref: string;
}

const insert = statement<StartParams, { created_at: string; expires_at: string | null; past_expiry: boolean }>(
  "session_start_insert",
  `with tree as (
          insert into workspaces (id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, current_version_id, state)
          select $workspace_id, $org_id, $project_id, $environment_id, $sandbox_row_id, $sandbox_id, $sandbox_fingerprint, $version_id::uuid, 'active'
           where $version_id::uuid is not null),
        empty as (
          insert into workspace_versions (id, environment_id, workspace_id, kind, state, content_digest, promoted_at)
          select $version_id::uuid, $environment_id, $workspace_id, 'system', 'ready', $empty_digest, now() where $version_id::uuid is not null),
        run as (
          insert into runs (id, org_id, project_id, environment_id, session_id, deployment_id, deployment_task_id, task_id, workspace_id, turn_index, state, payload,
                            queue_name, concurrency_key, concurrency_limit, priority, ttl_ms, ttl_text, max_duration_seconds, retry, secrets, api_version,
                            sdk_version, cli_version, deployment_version, trace_id, metadata, tags, event_seq)
          values ($run_id, $org_id, $project_id, $environment_id, $session_id, $deployment_id, $deployment_task_id, $task_id, $workspace_id, 0, 'queued', $payload::json,
                  $queue_name, $concurrency_key, $concurrency_limit, $priority, $ttl_ms, $ttl_text, $max_duration_seconds, $retry::jsonb, $secrets::jsonb, $api_version,
                  $sdk_version, $cli_version, $deployment_version, $trace_id, $metadata::jsonb, $tags::text[], cardinality($event_kinds::text[]))),
        appended as (${eventInsert}),
        queued as (
          insert into run_queue (run_id, environment_id, worker_group, workspace_id, lane, lane_limit, gate, priority, ready_at, expires_at, milli_cpu, memory_mib,
                                 disk_mib, image_ref)
          values ($run_id, $environment_id, $worker_group, $workspace_id, $lane, $concurrency_limit, $gate, $priority, now(),
                  now() + $ttl_ms * interval '1 millisecond', $milli_cpu, $memory_mib, $disk_mib, $image_ref))
   insert into sessions (id, org_id, project_id, environment_id, task_id, initial_deployment_id, active_deployment_id, external_id, fingerprint, state, current_run_id,
                         turn_count, workspace_id, metadata, tags, expires_at)
   values ($session_id, $org_id, $project_id, $environment_id, $task_id, $deployment_id, $deployment_id, $external_id, $fingerprint, 'open', $run_id,
           1, $workspace_id, $metadata::jsonb, $tags::text[], $expires_at::timestamptz)
   returning created_at, expires_at, coalesce(expires_at <= now(), false) as past_expiry`,
);

export const sessionStartContext = (on: Queryable, params: { environment_id: string; task_id: string; queue_name: string | null }) =>
  on.one(context, params);
export const sessionStartWorkspace = (tx: Tx, environmentId: string, id: string) =>
  tx.one(givenWorkspace, { environment_id: environmentId, id });
export const sessionStartInsert = (tx: Tx, params: StartParams) => tx.one(insert, params);
