/** From the wire's workspaces, mounts, files and versions to results (sdk §9.7, §11). */
import type {
  FileDiff,
  FileEntry,
  FilePage,
  Mount,
  VersionDiff,
  Workspace as WireWorkspace,
  WorkspaceStopResult as WireStopResult,
  WorkspaceVersion as WireVersion,
} from "@helmr/protocol/api";
import { optional } from "./body-members.ts";
import type {
  Workspace,
  WorkspaceDiff,
  WorkspaceFileDiff,
  WorkspaceFileEntry,
  WorkspaceFileList,
  WorkspaceMaterialization,
  WorkspaceStopResult,
  WorkspaceVersion,
} from "./workspace-shapes.ts";

export function workspaceView(wire: WireWorkspace): Workspace {
  return {
    id: wire.id,
    projectId: wire.project_id,
    environmentId: wire.environment_id,
    deploymentSandboxId: wire.deployment_sandbox_id,
    sandboxId: wire.sandbox_id,
    sandboxFingerprint: wire.sandbox_fingerprint,
    ...optional("externalId", wire.external_id),
    currentVersionId: wire.current_version_id ?? null,
    state: wire.state,
    desiredState: wire.desired_state,
    dirtyState: wire.dirty_state,
    lastMaterializationId: wire.last_workspace_mount_id ?? null,
    metadata: wire.metadata ?? {},
    tags: wire.tags ?? [],
    autoStopAt: wire.auto_stop_at ?? null,
    autoArchiveAt: wire.auto_archive_at ?? null,
    autoDeleteAt: wire.auto_delete_at ?? null,
    lastActivityAt: wire.last_activity_at,
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
    archivedAt: wire.archived_at ?? null,
    deletedAt: wire.deleted_at ?? null,
  };
}

export function materializationView(wire: Mount): WorkspaceMaterialization {
  return {
    id: wire.id,
    projectId: wire.project_id,
    environmentId: wire.environment_id,
    workspaceId: wire.workspace_id,
    deploymentSandboxId: wire.deployment_sandbox_id,
    baseVersionId: wire.base_version_id ?? null,
    workerInstanceId: wire.worker_instance_id ?? null,
    state: wire.state,
    fencingGeneration: wire.fencing_generation,
    dirtyGeneration: wire.dirty_generation,
    reservationExpiresAt: wire.reservation_expires_at ?? null,
    lastHeartbeatAt: wire.last_heartbeat_at ?? null,
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
  };
}

export function stopView(wire: WireStopResult): WorkspaceStopResult {
  return {
    workspaceId: wire.workspace_id,
    state: wire.state,
    materialization: wire.mount === undefined ? null : materializationView(wire.mount),
  };
}

export function fileEntryView(wire: FileEntry): WorkspaceFileEntry {
  return {
    path: wire.path,
    name: wire.name ?? null,
    kind: wire.kind,
    sizeBytes: wire.size_bytes,
    mode: wire.mode,
    linkTarget: wire.link_target ?? null,
    modTime: wire.mod_time ?? null,
  };
}

export function fileListView(wire: FilePage): WorkspaceFileList {
  return { path: wire.path, entries: wire.entries.map(fileEntryView), nextCursor: wire.next_cursor ?? null };
}

export function versionView(wire: WireVersion): WorkspaceVersion {
  return {
    id: wire.id,
    workspaceId: wire.workspace_id,
    parentVersionId: wire.parent_version_id ?? null,
    kind: wire.kind,
    state: wire.state,
    contentDigest: wire.content_digest,
    sizeBytes: wire.size_bytes,
    artifactEncoding: wire.artifact_encoding,
    artifactEntryCount: wire.artifact_entry_count,
    message: wire.message ?? "",
    promotedAt: wire.promoted_at ?? null,
    createdAt: wire.created_at,
  };
}

export function diffView(wire: VersionDiff): WorkspaceDiff {
  return {
    fromVersionId: wire.from_version_id ?? null,
    toVersionId: wire.to_version_id,
    path: wire.path,
    changes: wire.changes.map(({ path, change, before, after }) => ({
      path,
      change,
      before: before === undefined ? null : fileEntryView(before),
      after: after === undefined ? null : fileEntryView(after),
    })),
    nextCursor: wire.next_cursor ?? null,
  };
}

export function fileDiffView(wire: FileDiff): WorkspaceFileDiff {
  return {
    fromVersionId: wire.from_version_id ?? null,
    toVersionId: wire.to_version_id,
    path: wire.path,
    change: wire.change,
    format: wire.format,
    unified: wire.unified ?? null,
  };
}
