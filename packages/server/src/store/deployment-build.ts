/** What the build of a deployment writes: its catalog, its end, and the lease it was made under. The deployment is locked before its lease. */
import type { CheckedProject } from "../domain/declarations.ts";
import { deploymentTransitions } from "../domain/deployment.ts";
import { leaseTransitions } from "../domain/lease.ts";
import { inStates } from "../domain/transitions.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface BuildingRow {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  version: string;
  state: string;
  lease_id: string | null;
  fence: number;
  build_attempts: number;
  build_report_seq: number;
  trace_id: string;
  lease_state: string;
  in_time: boolean;
  worker_group: string;
  content_hash: string;
  source_size_bytes: number;
}

const columns = `d.id, d.org_id, d.project_id, d.environment_id, d.version, d.state, d.lease_id, d.fence, d.build_attempts, d.build_report_seq, d.trace_id, d.content_hash,
       d.source_size_bytes, l.state as lease_state, l.deadline > now() as in_time, e.worker_group`;
const source = "from leases l join deployments d on d.id = l.deployment_id join environments e on e.id = d.environment_id";

interface HeldParams {
  lease_id: string;
  deployment_id: string;
  worker_id: string;
  fence: number;
}

const held = statement<HeldParams, BuildingRow>(
  "deployment_held_build",
  `select ${columns} ${source} where l.id = $lease_id and l.deployment_id = $deployment_id and l.worker_id = $worker_id and l.fence = $fence for no key update of d`,
);
/** Without a lock: to read the source under a lease. */
const peek = statement<HeldParams, BuildingRow>(
  "deployment_peek_build",
  `select ${columns} ${source} where l.id = $lease_id and l.deployment_id = $deployment_id and l.worker_id = $worker_id and l.fence = $fence`,
);
const byLease = statement<{ lease_id: string }, BuildingRow>(
  "deployment_build_by_lease",
  `select ${columns} ${source} where l.id = $lease_id for no key update of d`,
);

const reported = statement<{ id: string; report_seq: number }>(
  "deployment_reported",
  "update deployments set build_report_seq = $report_seq where id = $id",
);

interface EndParams {
  id: string;
  lease_id: string | null;
  lease_state: string;
  error: string | null;
}

const endLease = `lease as (update leases set state = $lease_state, ended_at = now() where id = $lease_id::uuid and state ${inStates(leaseTransitions.release.from)})`;

const fail = statement<EndParams>(
  "deployment_fail",
  `with ${endLease}
   update deployments set state = '${deploymentTransitions.fail.to}', error = $error::jsonb, lease_id = null, failed_at = now(), updated_at = now()
    where id = $id and state ${inStates(deploymentTransitions.fail.from)}`,
);
const requeue = statement<Omit<EndParams, "error">>(
  "deployment_requeue",
  `with ${endLease}
   update deployments set state = '${deploymentTransitions.requeue.to}', lease_id = null, updated_at = now()
    where id = $id and state ${inStates(deploymentTransitions.requeue.from)}`,
);
const deploy = statement<
  Omit<EndParams, "error"> & { task_artifact_id: string; build_manifest_digest: string; deployment_manifest_digest: string }
>(
  "deployment_deploy",
  `with ${endLease}
   update deployments
      set state = '${deploymentTransitions.deploy.to}', lease_id = null, task_artifact_id = $task_artifact_id, build_manifest_digest = $build_manifest_digest,
          deployment_manifest_digest = $deployment_manifest_digest, built_at = now(), deployed_at = now(), updated_at = now()
    where id = $id and state ${inStates(deploymentTransitions.deploy.from)}`,
);

export interface CatalogSandbox {
  id: string;
  sandbox_id: string;
  fingerprint: string;
  image_artifact_id: string | null;
  image_ref: string;
  image_config: object;
  workspace_path: string;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number | null;
  network: object;
}

export interface CatalogTask {
  id: string;
  sandbox: string;
  task_id: string;
  file_path: string;
  export_name: string;
  module_path: string;
  queue_name: string;
  concurrency_limit: number | null;
  ttl: string | null;
  max_duration_seconds: number;
  retry: object;
  secrets: object;
  checkpoint_policy: object;
}

/** The whole catalog in one statement; its rows travel as JSON. */
const catalog = statement<{
  environment_id: string;
  deployment_id: string;
  sandboxes: string;
  tasks: string;
  queues: string;
  streams: string;
  schedules: string;
}>(
  "deployment_catalog_insert",
  `with boxes as (
          insert into deployment_sandboxes (id, environment_id, deployment_id, sandbox_id, fingerprint, image_artifact_id, image_ref, image_config, workspace_path,
                                            milli_cpu, memory_mib, disk_mib, network)
          select id, $environment_id::uuid, $deployment_id::uuid, sandbox_id, fingerprint, image_artifact_id, image_ref, image_config, workspace_path,
                 milli_cpu, memory_mib, disk_mib, network
            from jsonb_to_recordset($sandboxes::jsonb) as x (id uuid, sandbox_id text, fingerprint text, image_artifact_id uuid, image_ref text, image_config jsonb,
                 workspace_path text, milli_cpu int, memory_mib int, disk_mib int, network jsonb)
          returning id, sandbox_id),
        queues as (
          insert into deployment_queues (deployment_id, name, concurrency_limit)
          select $deployment_id::uuid, name, "limit" from jsonb_to_recordset($queues::jsonb) as x (name text, "limit" int)),
        streams as (
          insert into deployment_streams (deployment_id, direction, name, fingerprint)
          select $deployment_id::uuid, direction, name, fingerprint from jsonb_to_recordset($streams::jsonb) as x (direction text, name text, fingerprint text)),
        schedules as (
          insert into deployment_schedules (deployment_id, task_id, cron, timezone)
          select $deployment_id::uuid, task_id, cron, timezone from jsonb_to_recordset($schedules::jsonb) as x (task_id text, cron text, timezone text))
   insert into deployment_tasks (id, environment_id, deployment_id, task_id, sandbox_id, file_path, export_name, module_path, queue_name, concurrency_limit, ttl,
                                 max_duration_seconds, retry, secrets, checkpoint_policy)
   select x.id, $environment_id::uuid, $deployment_id::uuid, x.task_id, b.id, x.file_path, x.export_name, x.module_path, x.queue_name, x.concurrency_limit, x.ttl,
          x.max_duration_seconds, x.retry, x.secrets, x.checkpoint_policy
     from jsonb_to_recordset($tasks::jsonb) as x (id uuid, sandbox text, task_id text, file_path text, export_name text, module_path text, queue_name text,
          concurrency_limit int, ttl text, max_duration_seconds int, retry jsonb, secrets jsonb, checkpoint_policy jsonb)
     join boxes b on b.sandbox_id = x.sandbox`,
);

const queuedGroups = statement<Record<never, never>, { worker_group: string }>(
  "deployment_queued_groups",
  "select distinct e.worker_group from deployments d join environments e on e.id = d.environment_id where d.state = 'queued'",
);

export const deploymentHeldBuild = (tx: Tx, params: HeldParams) => tx.one(held, params);
export const deploymentPeekBuild = (on: Queryable, params: HeldParams) => on.one(peek, params);
export const deploymentBuildByLease = (tx: Tx, leaseId: string) => tx.one(byLease, { lease_id: leaseId });
export const deploymentReported = (tx: Tx, id: string, reportSeq: number) => tx.run(reported, { id, report_seq: reportSeq });
export const deploymentFail = (tx: Tx, row: { id: string; lease_id: string | null }, leaseState: string, message: string) =>
  tx.run(fail, { id: row.id, lease_id: row.lease_id, lease_state: leaseState, error: json({ message }) });
export const deploymentRequeue = (tx: Tx, row: { id: string; lease_id: string | null }, leaseState: string) =>
  tx.run(requeue, { id: row.id, lease_id: row.lease_id, lease_state: leaseState });
export const deploymentDeploy = (
  tx: Tx,
  row: { id: string; lease_id: string | null },
  result: { taskArtifactId: string; buildManifestDigest: string; deploymentManifestDigest: string },
) =>
  tx.run(deploy, {
    id: row.id,
    lease_id: row.lease_id,
    lease_state: leaseTransitions.release.to,
    task_artifact_id: result.taskArtifactId,
    build_manifest_digest: result.buildManifestDigest,
    deployment_manifest_digest: result.deploymentManifestDigest,
  });

export interface Catalog {
  environmentId: string;
  deploymentId: string;
  sandboxes: CatalogSandbox[];
  tasks: CatalogTask[];
  queues: CheckedProject["queues"];
  streams: CheckedProject["streams"];
  schedules: { task_id: string; cron: string; timezone: string }[];
}

export const deploymentCatalogInsert = (tx: Tx, rows: Catalog) =>
  tx.run(catalog, {
    environment_id: rows.environmentId,
    deployment_id: rows.deploymentId,
    sandboxes: json(rows.sandboxes),
    tasks: json(rows.tasks),
    queues: json(rows.queues),
    streams: json(rows.streams),
    schedules: json(rows.schedules),
  });
export const deploymentQueuedGroups = (on: Queryable) => on.all(queuedGroups, {});
