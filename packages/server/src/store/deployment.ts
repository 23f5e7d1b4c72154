/** Deployments as they are created, read, promoted. What a build writes is in deployment-build.ts. */
import type { DeploymentState } from "../domain/deployment.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface DeploymentRow {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  version: string;
  content_hash: string;
  source_size_bytes: number;
  api_version: string;
  sdk_version: string | null;
  cli_version: string | null;
  bundle_format_version: number;
  worker_protocol_version: string;
  state: DeploymentState;
  error: { message?: string } | null;
  build_manifest_digest: string | null;
  deployment_manifest_digest: string | null;
  trace_id: string;
  event_seq: number;
  created_at: string;
  building_at: string | null;
  built_at: string | null;
  deployed_at: string | null;
  failed_at: string | null;
}

const columns = `d.id, d.org_id, d.project_id, d.environment_id, d.version, d.content_hash, d.source_size_bytes, d.api_version, d.sdk_version, d.cli_version,
       d.bundle_format_version, d.worker_protocol_version, d.state, d.error, d.build_manifest_digest, d.deployment_manifest_digest, d.trace_id, d.event_seq,
       d.created_at, d.building_at, d.built_at, d.deployed_at, d.failed_at`;

const get = statement<{ environment_id: string; id: string }, DeploymentRow>(
  "deployment_get",
  `select ${columns} from deployments d where d.environment_id = $environment_id and d.id = $id`,
);
const getByVersion = statement<{ environment_id: string; version: string }, DeploymentRow>(
  "deployment_get_by_version",
  `select ${columns} from deployments d where d.environment_id = $environment_id and d.version = $version`,
);
const getByContent = statement<{ environment_id: string; content_hash: string }, DeploymentRow>(
  "deployment_get_by_content",
  `select ${columns} from deployments d where d.environment_id = $environment_id and d.content_hash = $content_hash and d.state <> 'failed'`,
);
const current = statement<{ environment_id: string }, DeploymentRow>(
  "deployment_current",
  `select ${columns} from environments e join deployments d on d.id = e.current_deployment_id where e.id = $environment_id`,
);
const list = statement<{ environment_id: string; row_limit: number }, DeploymentRow>(
  "deployment_list",
  `select ${columns} from deployments d where d.environment_id = $environment_id order by d.created_at desc, d.id desc limit $row_limit`,
);

export interface DeploymentTaskRow {
  id: string;
  deployment_id: string;
  task_id: string;
  file_path: string;
  export_name: string;
  module_path: string;
  bundle_digest: string | null;
  bundle_format_version: number;
  queue_name: string;
  concurrency_limit: number | null;
  ttl: string | null;
  created_at: string;
}

const taskColumns = `t.id, t.deployment_id, t.task_id, t.file_path, t.export_name, t.module_path, t.bundle_digest, d.bundle_format_version, t.queue_name,
       t.concurrency_limit, t.ttl, t.created_at`;
const tasks = statement<{ deployment_id: string }, DeploymentTaskRow>(
  "deployment_task_list",
  `select ${taskColumns} from deployment_tasks t join deployments d on d.id = t.deployment_id where t.deployment_id = $deployment_id order by t.task_id`,
);
const currentTasks = statement<{ environment_id: string; task_id: string | null }, DeploymentTaskRow>(
  "deployment_current_tasks",
  `select ${taskColumns} from environments e join deployments d on d.id = e.current_deployment_id join deployment_tasks t on t.deployment_id = d.id
    where e.id = $environment_id and ($task_id::text is null or t.task_id = $task_id) order by t.task_id`,
);

export interface SandboxRow {
  id: string;
  deployment_id: string;
  sandbox_id: string;
  fingerprint: string;
  image_artifact_id: string | null;
  image_digest: string | null;
  image_ref: string;
  image_config: { env?: Record<string, string>; workdir?: string; user?: string };
  workspace_path: string;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number | null;
  network: { internet: boolean; allow?: string[]; deny?: string[] };
  created_at: string;
}

const sandboxes = statement<{ environment_id: string; deployment_id: string | null; sandbox_id: string | null }, SandboxRow>(
  "deployment_sandbox_list",
  `select b.id, b.deployment_id, b.sandbox_id, b.fingerprint, b.image_artifact_id, a.digest as image_digest, b.image_ref, b.image_config, b.workspace_path,
          b.milli_cpu, b.memory_mib, b.disk_mib, b.network, b.created_at
     from environments e
     join deployments d on d.environment_id = e.id and d.id = coalesce($deployment_id::uuid, e.current_deployment_id)
     join deployment_sandboxes b on b.deployment_id = d.id
     left join artifacts a on a.id = b.image_artifact_id
    where e.id = $environment_id and ($sandbox_id::text is null or b.sandbox_id = $sandbox_id) order by b.sandbox_id`,
);

/** Numbers a version: counts per environment and UTC day, under the lock of the row. */
const nextVersion = statement<{ environment_id: string }, { day: string; count: number }>(
  "deployment_next_version",
  `insert into deployment_days as c (environment_id, day, count) values ($environment_id, (now() at time zone 'utc')::date, 1)
   on conflict (environment_id, day) do update set count = c.count + 1 returning day, count`,
);

interface InsertParams {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  version: string;
  content_hash: string;
  source_size_bytes: number;
  api_version: string;
  sdk_version: string | null;
  cli_version: string | null;
  bundle_format_version: number;
  worker_protocol_version: string;
  trace_id: string;
  media_type: string;
}

const insert = statement<InsertParams, DeploymentRow>(
  "deployment_insert",
  `with source as (insert into blobs (org_id, digest, media_type, size_bytes) values ($org_id, $content_hash, $media_type, $source_size_bytes)
                   on conflict (org_id, digest) do update set size_bytes = excluded.size_bytes, unreferenced_since = null)
   insert into deployments as d (id, org_id, project_id, environment_id, version, content_hash, source_size_bytes, api_version, sdk_version, cli_version,
                            bundle_format_version, worker_protocol_version, state, trace_id)
   values ($id, $org_id, $project_id, $environment_id, $version, $content_hash, $source_size_bytes, $api_version, $sdk_version, $cli_version,
           $bundle_format_version, $worker_protocol_version, 'queued', $trace_id)
   returning ${columns}`,
);

const promote = statement<{ environment_id: string; deployment_id: string }>(
  "deployment_promote",
  "update environments set current_deployment_id = $deployment_id, updated_at = now() where id = $environment_id",
);
/** Promotions of one environment are one after the other; the deployment cannot change while its environment is locked. */
const lockEnvironment = statement<{ environment_id: string }, { id: string; worker_group: string; current_deployment_id: string | null }>(
  "environment_lock",
  "select id, worker_group, current_deployment_id from environments where id = $environment_id for no key update",
);

const groupOf = statement<{ environment_id: string }, { worker_group: string }>(
  "environment_worker_group",
  "select worker_group from environments where id = $environment_id",
);

export interface DeploymentEvent {
  kind: string;
  severity: "debug" | "info" | "warn" | "error";
  message: string;
  attributes: Record<string, unknown>;
  ageMs?: number;
}

/** The deployment is locked, or nobody else can know it yet. */
const appendEvents = statement<
  { deployment_id: string; kinds: string[]; severities: string[]; messages: string[]; attributes: string[]; ages: number[] },
  { event_seq: number }
>(
  "deployment_event_append",
  `with subject as (select id, event_seq from deployments where id = $deployment_id for no key update),
        appended as (
          insert into deployment_events (deployment_id, seq, kind, severity, message, attributes, occurred_at)
          select s.id, s.event_seq + e.n, e.kind, e.severity, e.message, e.attributes::jsonb, now() - e.age * interval '1 millisecond'
            from subject s, unnest($kinds::text[], $severities::text[], $messages::text[], $attributes::text[], $ages::bigint[]) with ordinality
              as e (kind, severity, message, attributes, age, n)
          returning 1)
   update deployments set event_seq = event_seq + (select count(*) from appended), updated_at = now() where id = $deployment_id returning event_seq`,
);

export interface DeploymentEventRow {
  seq: number;
  kind: string;
  severity: "debug" | "info" | "warn" | "error";
  message: string;
  attributes: Record<string, unknown>;
  occurred_at: string;
  created_at: string;
}

const events = statement<{ deployment_id: string; after: number; row_limit: number }, DeploymentEventRow>(
  "deployment_event_list",
  `select seq, kind, severity, message, attributes, occurred_at, created_at from deployment_events
    where deployment_id = $deployment_id and seq > $after order by seq limit $row_limit`,
);

export const deploymentGet = (on: Queryable, environmentId: string, id: string) => on.one(get, { environment_id: environmentId, id });
export const deploymentGetByVersion = (on: Queryable, environmentId: string, version: string) =>
  on.one(getByVersion, { environment_id: environmentId, version });
export const deploymentGetByContent = (on: Queryable, environmentId: string, contentHash: string) =>
  on.one(getByContent, { environment_id: environmentId, content_hash: contentHash });
export const deploymentCurrent = (on: Queryable, environmentId: string) => on.one(current, { environment_id: environmentId });
export const deploymentList = (on: Queryable, environmentId: string, limit: number) =>
  on.all(list, { environment_id: environmentId, row_limit: limit });
export const deploymentTasks = (on: Queryable, deploymentId: string) => on.all(tasks, { deployment_id: deploymentId });
export const deploymentCurrentTasks = (on: Queryable, environmentId: string, taskId: string | null) =>
  on.all(currentTasks, { environment_id: environmentId, task_id: taskId });
/** Of the given deployment, or of the current one. */
export const deploymentSandboxes = (on: Queryable, environmentId: string, options: { deploymentId?: string; sandboxId?: string } = {}) =>
  on.all(sandboxes, { environment_id: environmentId, deployment_id: options.deploymentId ?? null, sandbox_id: options.sandboxId ?? null });
export const deploymentNextVersion = (tx: Tx, environmentId: string) => tx.one(nextVersion, { environment_id: environmentId });
export const deploymentInsert = (tx: Tx, row: InsertParams) => tx.one(insert, row);
export const deploymentPromote = (tx: Tx, environmentId: string, deploymentId: string) =>
  tx.run(promote, { environment_id: environmentId, deployment_id: deploymentId });
export const environmentLock = (tx: Tx, environmentId: string) => tx.one(lockEnvironment, { environment_id: environmentId });
export const environmentGroup = async (on: Queryable, environmentId: string) =>
  (await on.one(groupOf, { environment_id: environmentId }))?.worker_group;
export const deploymentEventAppend = (tx: Tx, deploymentId: string, list: DeploymentEvent[]) =>
  tx.one(appendEvents, {
    deployment_id: deploymentId,
    kinds: list.map((event) => event.kind),
    severities: list.map((event) => event.severity),
    messages: list.map((event) => event.message),
    attributes: list.map((event) => json(event.attributes)),
    ages: list.map((event) => event.ageMs ?? 0),
  });
export const deploymentEvents = (on: Queryable, deploymentId: string, after: number, limit: number) =>
  on.all(events, { deployment_id: deploymentId, after, row_limit: limit });
