/** Workspaces and versions as the API shows them (http §11, §12). */
import type { Workspace, WorkspaceVersion } from "@helmr/protocol/api";
import type { JsonObject } from "@helmr/protocol/shared";
import { versionEncoding } from "../../domain/workspace.ts";
import type { VersionRow, WorkspaceRow } from "../../operations/read-workspaces.ts";

export function workspaceView(row: WorkspaceRow): Workspace {
  return {
    id: row.id,
    project_id: row.project_id,
    environment_id: row.environment_id,
    deployment_sandbox_id: row.deployment_sandbox_id,
    sandbox_id: row.sandbox_id,
    sandbox_fingerprint: row.sandbox_fingerprint,
    ...present({ external_id: row.external_id, current_version_id: row.current_version_id }),
    state: row.state,
    desired_state: row.desired_state,
    dirty_state: row.dirty_state,
    ...present({ last_workspace_mount_id: row.last_mount_id }),
    metadata: row.metadata as JsonObject,
    tags: row.tags,
    ...present({ auto_stop_at: row.auto_stop_at, auto_archive_at: row.auto_archive_at, auto_delete_at: row.auto_delete_at }),
    last_activity_at: row.last_activity_at,
    created_at: row.created_at,
    updated_at: row.updated_at,
    ...present({ archived_at: row.archived_at, deleted_at: row.deleted_at }),
  };
}

export function versionView(row: VersionRow): WorkspaceVersion {
  return {
    id: row.id,
    workspace_id: row.workspace_id,
    ...present({ parent_version_id: row.parent_version_id }),
    kind: row.kind,
    state: row.state,
    content_digest: row.content_digest,
    size_bytes: row.size_bytes,
    artifact_encoding: versionEncoding,
    artifact_entry_count: row.entry_count,
    ...present({ message: row.message, promoted_at: row.promoted_at }),
    created_at: row.created_at,
  };
}

/** Members without a value are absent on the wire. */
function present<T extends Record<string, string | null>>(members: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null)) as { [K in keyof T]?: string };
}
