/** Deployments, tasks, sandboxes and deployment events as the API shows them (http §9.2). */
import type { Deployment, DeploymentTask, RunEvent, Sandbox } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import { sourceMediaType } from "../../operations/create-deployment.ts";
import type { DeploymentEventRow, DeploymentRow, DeploymentTaskRow, SandboxRow } from "../../operations/read-deployments.ts";

export function deploymentView(row: DeploymentRow, tasks: DeploymentTaskRow[] = []): Deployment {
  return {
    id: row.id,
    version: row.version,
    api_version: row.api_version,
    ...(row.sdk_version === null ? {} : { sdk_version: row.sdk_version }),
    ...(row.cli_version === null ? {} : { cli_version: row.cli_version }),
    bundle_format_version: row.bundle_format_version,
    worker_protocol_version: row.worker_protocol_version,
    project_id: row.project_id,
    environment_id: row.environment_id,
    content_hash: row.content_hash,
    deployment_source: { digest: row.content_hash, size_bytes: row.source_size_bytes, media_type: sourceMediaType },
    ...(row.build_manifest_digest === null ? {} : { build_manifest_digest: row.build_manifest_digest }),
    ...(row.deployment_manifest_digest === null ? {} : { deployment_manifest_digest: row.deployment_manifest_digest }),
    status: row.state,
    ...(row.error === null ? {} : { error: row.error }),
    tasks: tasks.map(deploymentTaskView),
    created_at: row.created_at,
    building_at: row.building_at,
    built_at: row.built_at,
    deployed_at: row.deployed_at,
    failed_at: row.failed_at,
  };
}

export function deploymentTaskView(row: DeploymentTaskRow): DeploymentTask {
  return {
    id: row.id,
    task_id: row.task_id,
    file_path: row.file_path,
    export_name: row.export_name,
    handler_entrypoint: `${row.module_path}#${row.export_name}`,
    ...(row.bundle_digest === null ? {} : { bundle_digest: row.bundle_digest }),
    bundle_format_version: row.bundle_format_version,
    queue_name: row.queue_name,
    ...(row.concurrency_limit === null ? {} : { concurrency_limit: row.concurrency_limit }),
    ...(row.ttl === null ? {} : { ttl: row.ttl }),
    created_at: row.created_at,
  };
}

/** The built-in base image is part of every worker: it has no artifact of its own, so its id and digests are fixed. */
const builtIn = { artifactId: "00000000-0000-7000-8000-000000000000", digest: (ref: string) => `builtin:${ref}` } as const;

export function sandboxView(row: SandboxRow): Sandbox {
  const digest = row.image_digest ?? builtIn.digest(row.image_ref);
  return {
    id: row.id,
    deployment_id: row.deployment_id,
    sandbox_id: row.sandbox_id,
    fingerprint: row.fingerprint,
    image_artifact_id: row.image_artifact_id ?? builtIn.artifactId,
    image_artifact_format: "helmr.blocks.v1",
    rootfs_digest: digest,
    image_digest: row.image_artifact_id === null ? digest : row.image_ref,
    image_format: "helmr.rootfs.v1",
    workspace_mount_path: row.workspace_path,
    resource_floor: { milli_cpu: row.milli_cpu, memory_mib: row.memory_mib, disk_mib: row.disk_mib ?? 0, execution_slots: 1 },
    disk_floor_mib: row.disk_mib ?? 0,
    network_policy: row.network,
    runtime_abi: "helmr.runtime.v1",
    guestd_abi: "helmr.guest.v1",
    adapter_abi: "helmr.adapter.v1",
    filesystem_format: "tar",
    default_workdir: row.image_config.workdir ?? "/workspace",
    contract_version: 1,
    created_at: row.created_at,
  };
}

/** On deployment events the message is human text (http §7.4). */
export function deploymentEventView(deployment: { id: string; trace_id: string }, row: DeploymentEventRow): RunEvent {
  return {
    id: String(row.seq),
    deployment_id: deployment.id,
    trace: { trace_id: deployment.trace_id },
    category: "deployment",
    severity: row.severity,
    source: row.kind.startsWith("deployment.build") && row.kind !== "deployment.building" ? "worker" : "control_plane",
    kind: row.kind,
    message: row.message,
    at: row.created_at,
    occurred_at: row.occurred_at,
    redaction_class: "none",
    attributes: row.attributes as Json,
  };
}
