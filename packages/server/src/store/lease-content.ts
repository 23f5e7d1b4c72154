/**
 * What a granted lease carries to its worker, read after it was granted: the rows it is made of do not change while it is held (deployments are
 * immutable, the mount's base version is fixed), so that it can be read again when the first answer was lost.
 */
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface ArtifactColumns {
  artifact_id: string;
  manifest_key: string;
  digest: string;
  length_bytes: number;
}

export interface RunLeaseRow {
  lease_id: string;
  fence: number;
  ttl_ms: number;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  run_id: string;
  session_id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  deployment_id: string;
  attempt_id: string;
  attempt_number: number;
  report_seq: number;
  task_id: string;
  module_path: string;
  export_name: string;
  payload: unknown;
  max_duration_seconds: number;
  active_ms: number;
  secrets: { name: string; env?: string; file?: string; dir?: string; mode?: string; owner?: string }[];
  trace_id: string;
  image_ref: string;
  image_config: { env?: Record<string, string>; workdir?: string; user?: string };
  network: { internet: boolean; allow?: string[]; deny?: string[] };
  sandbox_disk_mib: number | null;
  workspace_path: string;
  workspace_id: string;
  mount_id: string;
  mount_fence: number;
  base_version_id: string;
  checkpoint_id: string | null;
  /** Lease of the mount whose machine it uses. */
  in_mount_lease_id: string | null;
  task_tree: ArtifactColumns | null;
  image: ArtifactColumns | null;
  base: ArtifactColumns | null;
  log_streams: { stream: "stdout" | "stderr" | "logger"; length: number }[] | null;
}

const artifact = (alias: string) =>
  `case when ${alias}.id is not null then json_build_object('artifact_id', ${alias}.id, 'manifest_key', ${alias}.manifest_key, 'digest', ${alias}.digest,
          'length_bytes', ${alias}.length_bytes) end`;

const ttl = "greatest(0, extract(epoch from l.deadline - now()) * 1000)::bigint as ttl_ms";

const ofRuns = statement<{ lease_ids: string[] }, RunLeaseRow>(
  "lease_content_runs",
  `select l.id as lease_id, l.fence, ${ttl}, l.milli_cpu, l.memory_mib, l.disk_mib,
          r.id as run_id, r.session_id, r.org_id, r.project_id, r.environment_id, r.deployment_id, a.id as attempt_id, a.number as attempt_number, a.report_seq,
          r.task_id, t.module_path, t.export_name, r.payload, r.max_duration_seconds, r.active_ms, r.secrets, r.trace_id,
          b.image_ref, b.image_config, b.network, b.disk_mib as sandbox_disk_mib, b.workspace_path,
          m.workspace_id, m.id as mount_id, m.fence as mount_fence, m.base_version_id, r.checkpoint_id,
          case when l.in_mount_id is not null then m.lease_id end as in_mount_lease_id,
          ${artifact("tt")} as task_tree, ${artifact("ia")} as image, ${artifact("va")} as base,
          (select json_agg(json_build_object('stream', s.stream, 'length', s.length - s.attempt_start)) from run_log_streams s
            where s.run_id = r.id and s.attempt_id = a.id) as log_streams
     from leases l
     join runs r on r.id = l.run_id
     join run_attempts a on a.id = l.attempt_id
     join deployments d on d.id = r.deployment_id
     join deployment_tasks t on t.id = r.deployment_task_id
     join deployment_sandboxes b on b.id = t.sandbox_id
     join workspace_mounts m on m.workspace_id = r.workspace_id and (m.lease_id = l.id or m.id = l.in_mount_id) and m.state in ('requested', 'mounting', 'mounted', 'unmounting')
     left join workspace_versions v on v.id = m.base_version_id
     left join artifacts va on va.id = v.artifact_id
     left join artifacts tt on tt.id = d.task_artifact_id
     left join artifacts ia on ia.id = b.image_artifact_id
    where l.id = any($lease_ids::uuid[]) and l.state = 'held'`,
);

export interface BuildLeaseRow {
  lease_id: string;
  fence: number;
  ttl_ms: number;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  deployment_id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  version: string;
  content_hash: string;
  source_size_bytes: number;
  build_attempts: number;
}

const ofBuilds = statement<{ lease_ids: string[] }, BuildLeaseRow>(
  "lease_content_builds",
  `select l.id as lease_id, l.fence, ${ttl}, l.milli_cpu, l.memory_mib, l.disk_mib, d.id as deployment_id, d.org_id, d.project_id, d.environment_id,
          d.version, d.content_hash, d.source_size_bytes, d.build_attempts
     from leases l join deployments d on d.id = l.deployment_id
    where l.id = any($lease_ids::uuid[]) and l.state = 'held'`,
);

export const leaseContentRuns = (on: Queryable, leaseIds: string[]) => on.all(ofRuns, { lease_ids: leaseIds });
export const leaseContentBuilds = (on: Queryable, leaseIds: string[]) => on.all(ofBuilds, { lease_ids: leaseIds });
