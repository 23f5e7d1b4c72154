/** Workspaces, their versions and mounts as metadata. A workspace is locked after its session and before its runs. */
import { mountTransitions, type MountState, type WorkspaceState } from "../domain/workspace.ts";
import { inStates } from "../domain/transitions.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { stoppedState } from "./mount.ts";
import { statement } from "./statement.ts";

export interface WorkspaceRow {
  id: string;
  project_id: string;
  environment_id: string;
  deployment_sandbox_id: string;
  sandbox_id: string;
  sandbox_fingerprint: string;
  external_id: string | null;
  current_version_id: string | null;
  state: WorkspaceState;
  desired_state: "active" | "stopped" | "archived" | "deleted";
  dirty_state: "clean" | "dirty" | "capturing" | "capture_failed" | "dirty_state_lost";
  last_mount_id: string | null;
  metadata: Record<string, unknown>;
  tags: string[];
  auto_stop_at: string | null;
  auto_archive_at: string | null;
  auto_delete_at: string | null;
  last_activity_at: string;
  created_at: string;
  updated_at: string;
  archived_at: string | null;
  deleted_at: string | null;
}

const columns = `w.id, w.project_id, w.environment_id, w.deployment_sandbox_id, w.sandbox_id, w.sandbox_fingerprint, w.external_id, w.current_version_id, w.state,
       w.desired_state, w.dirty_state, w.last_mount_id, w.metadata, w.tags, w.auto_stop_at, w.auto_archive_at, w.auto_delete_at, w.last_activity_at,
       w.created_at, w.updated_at, w.archived_at, w.deleted_at`;

const get = statement<{ environment_id: string; id: string }, WorkspaceRow>(
  "workspace_get",
  `select ${columns} from workspaces w where w.environment_id = $environment_id and w.id = $id`,
);
const lock = statement<{ environment_id: string; id: string }, WorkspaceRow>(
  "workspace_lock",
  `select ${columns} from workspaces w where w.environment_id = $environment_id and w.id = $id for no key update`,
);
const lockById = statement<{ id: string }, { id: string }>(
  "workspace_lock_by_id",
  "select id from workspaces where id = $id for no key update",
);

const list = statement<{ environment_id: string; state: string | null; tag: string | null; row_limit: number }, WorkspaceRow>(
  "workspace_list",
  `select ${columns} from workspaces w
    where w.environment_id = $environment_id and ($state::text is null or w.state = $state) and ($tag::text is null or w.tags @> array[$tag])
    order by w.created_at desc, w.id desc limit $row_limit`,
);
const listByExternalId = statement<{ environment_id: string; external_id: string; state: string | null; tag: string | null }, WorkspaceRow>(
  "workspace_list_by_external_id",
  `select ${columns} from workspaces w
    where w.environment_id = $environment_id and w.external_id = $external_id and ($state::text is null or w.state = $state)
      and ($tag::text is null or w.tags @> array[$tag])`,
);

interface InsertParams {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  deployment_sandbox_id: string;
  sandbox_id: string;
  sandbox_fingerprint: string;
  external_id: string | null;
  version_id: string;
  empty_digest: string;
  metadata: string;
  tags: string[];
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
  idempotency_ttl_ms: number | null;
}

/** With its empty first version, which is also the head (the foreign key between the two is deferred). */
const insert = statement<InsertParams>(
  "workspace_insert",
  `with made as (
     insert into workspaces (id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, external_id, current_version_id,
                             state, metadata, tags, idempotency_key_hash, idempotency_fingerprint, idempotency_expires_at)
     values ($id, $org_id, $project_id, $environment_id, $deployment_sandbox_id, $sandbox_id, $sandbox_fingerprint, $external_id, $version_id,
             'active', $metadata::jsonb, $tags::text[], $idempotency_key_hash, $idempotency_fingerprint,
             now() + $idempotency_ttl_ms::bigint * interval '1 millisecond'))
   insert into workspace_versions (id, environment_id, workspace_id, kind, state, content_digest, promoted_at)
   values ($version_id, $environment_id, $id, 'system', 'ready', $empty_digest, now())`,
);

const byExternalId = statement<{ environment_id: string; external_id: string }, { id: string }>(
  "workspace_id_of_external_id",
  "select id from workspaces where environment_id = $environment_id and external_id = $external_id",
);

const byKey = statement<{ environment_id: string; key_hash: Buffer }, { id: string; idempotency_fingerprint: Buffer; expired: boolean }>(
  "workspace_of_key",
  `select id, idempotency_fingerprint, idempotency_expires_at <= now() as expired from workspaces
    where environment_id = $environment_id and idempotency_key_hash = $key_hash`,
);
const forgetKey = statement<{ id: string }>(
  "workspace_forget_key",
  "update workspaces set idempotency_key_hash = null, idempotency_fingerprint = null, idempotency_expires_at = null where id = $id",
);

const update = statement<{ environment_id: string; id: string; metadata: string | null; tags: string[] | null }, WorkspaceRow>(
  "workspace_update",
  `update workspaces w set metadata = coalesce($metadata::jsonb, metadata), tags = coalesce($tags::text[], tags), updated_at = now()
    where w.environment_id = $environment_id and w.id = $id returning ${columns}`,
);

const setState = statement<{ id: string; state: WorkspaceState; desired_state: string }>(
  "workspace_set_state",
  `update workspaces
      set state = $state, desired_state = $desired_state, archived_at = case when $state = 'archived' then coalesce(archived_at, now()) else archived_at end,
          deleted_at = case when $state = 'deleted' then coalesce(deleted_at, now()) else deleted_at end, updated_at = now()
    where id = $id`,
);

/** What hinders an archive: a live mount, and runs that want or have the workspace. */
const users = statement<{ id: string }, { mount_state: MountState | null; live_runs: number }>(
  "workspace_users",
  `select (select state from workspace_mounts where workspace_id = $id and state in ('requested', 'mounting', 'mounted', 'unmounting')) as mount_state,
          (select count(*)::int from runs where workspace_id = $id and outcome is null) as live_runs`,
);
const liveRuns = statement<{ id: string; row_limit: number }, { id: string; environment_id: string; session_id: string }>(
  "workspace_live_runs",
  "select id, environment_id, session_id from runs where workspace_id = $id and outcome is null order by id limit $row_limit",
);
const requestUnmount = statement<{ id: string }, { worker_id: string | null }>(
  "workspace_request_unmount",
  `update workspace_mounts m
      set stop_requested_at = coalesce(stop_requested_at, now()), updated_at = now(),
          state = ${stoppedState}
    where workspace_id = $id and state in ('requested', 'mounting', 'mounted') returning worker_id`,
);

/** The attempt's tree becomes the new head; the parent is the version it began from, which is the head right now (checked under the lock). */
const advance = statement<{
  workspace_id: string;
  environment_id: string;
  version_id: string;
  parent_version_id: string | null;
  artifact_id: string;
  content_digest: string;
  size_bytes: number;
  entry_count: number;
  run_id: string | null;
  attempt_id: string | null;
}>(
  "workspace_advance",
  `with made as (
     insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, artifact_id, content_digest, size_bytes, entry_count,
                                     run_id, attempt_id, promoted_at)
     values ($version_id, $environment_id, $workspace_id, $parent_version_id, 'system', 'ready', $artifact_id, $content_digest, $size_bytes, $entry_count,
             $run_id, $attempt_id, now()))
   update workspaces set current_version_id = $version_id, dirty_state = 'clean', last_activity_at = now(), updated_at = now()
    where id = $workspace_id and current_version_id is not distinct from $parent_version_id`,
);

/** Kept aside: it can be looked at and forked, and is nobody's base. */
const setAside = statement<{
  workspace_id: string;
  environment_id: string;
  version_id: string;
  parent_version_id: string | null;
  artifact_id: string;
  content_digest: string;
  size_bytes: number;
  entry_count: number;
  run_id: string | null;
  attempt_id: string | null;
  message: string;
}>(
  "workspace_set_aside",
  `insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, artifact_id, content_digest, size_bytes, entry_count, message,
                                   run_id, attempt_id)
   values ($version_id, $environment_id, $workspace_id, $parent_version_id, 'system', 'failed', $artifact_id, $content_digest, $size_bytes, $entry_count, $message,
           $run_id, $attempt_id)`,
);

const setDirty = statement<{ workspace_id: string; dirty_state: string }>(
  "workspace_set_dirty",
  "update workspaces set dirty_state = $dirty_state, last_activity_at = now(), updated_at = now() where id = $workspace_id",
);

/** The guest runs: what was being mounted is mounted. */
const mountReady = statement<{ lease_id: string; workspace_id: string }>(
  "workspace_mount_ready",
  `update workspace_mounts set state = '${mountTransitions.ready.to}', last_heartbeat_at = now(), updated_at = now()
    where workspace_id = $workspace_id and lease_id = $lease_id and state ${inStates(mountTransitions.ready.from)}`,
);

/** Index workspaces_deleting. */
const deleting = statement<{ row_limit: number }, { id: string; environment_id: string }>(
  "workspace_deleting",
  "select id, environment_id from workspaces where state = 'deleting' order by updated_at limit $row_limit",
);

export interface VersionRow {
  id: string;
  workspace_id: string;
  parent_version_id: string | null;
  kind: "user" | "system";
  state: "capturing" | "artifact_verified" | "ready" | "failed" | "deleted";
  content_digest: string;
  size_bytes: number;
  entry_count: number;
  message: string | null;
  promoted_at: string | null;
  created_at: string;
}

const versionColumns =
  "id, workspace_id, parent_version_id, kind, state, content_digest, size_bytes, entry_count, message, promoted_at, created_at";
const versions = statement<{ workspace_id: string; kind: string | null; row_limit: number }, VersionRow>(
  "workspace_version_list",
  `select ${versionColumns} from workspace_versions where workspace_id = $workspace_id and ($kind::text is null or kind = $kind)
    order by created_at desc, id desc limit $row_limit`,
);
const version = statement<{ workspace_id: string; id: string }, VersionRow>(
  "workspace_version_get",
  `select ${versionColumns} from workspace_versions where workspace_id = $workspace_id and id = $id`,
);

const pruneMounts = statement<{ older_ms: number; row_limit: number }>(
  "workspace_mount_prune",
  `delete from workspace_mounts
    where id in (select id from workspace_mounts where state in ('unmounted', 'lost', 'failed') and updated_at < now() - $older_ms * interval '1 millisecond'
                  order by updated_at limit $row_limit)`,
);

export const workspaceGet = (on: Queryable, environmentId: string, id: string) => on.one(get, { environment_id: environmentId, id });
export const workspaceLock = (tx: Tx, environmentId: string, id: string) => tx.one(lock, { environment_id: environmentId, id });
export const workspaceLockById = (tx: Tx, id: string) => tx.one(lockById, { id });
export const workspaceInsert = (tx: Tx, row: InsertParams) => tx.run(insert, row);
export const workspaceIdOfExternalId = async (on: Queryable, environmentId: string, externalId: string) =>
  (await on.one(byExternalId, { environment_id: environmentId, external_id: externalId }))?.id;
export const workspaceOfKey = (on: Queryable, environmentId: string, keyHash: Buffer) =>
  on.one(byKey, { environment_id: environmentId, key_hash: keyHash });
export const workspaceForgetKey = (tx: Tx, id: string) => tx.run(forgetKey, { id });

export interface WorkspaceFilter {
  environmentId: string;
  state: string | undefined;
  externalId: string | undefined;
  tag: string | undefined;
  limit: number;
}

export function workspaceList(on: Queryable, filter: WorkspaceFilter): Promise<WorkspaceRow[]> {
  const params = { environment_id: filter.environmentId, state: filter.state ?? null, tag: filter.tag ?? null };
  return filter.externalId === undefined
    ? on.all(list, { ...params, row_limit: filter.limit })
    : on.all(listByExternalId, { ...params, external_id: filter.externalId });
}

export const workspaceUpdate = (on: Queryable, environmentId: string, id: string, change: { metadata?: object; tags?: string[] }) =>
  on.one(update, {
    environment_id: environmentId,
    id,
    metadata: change.metadata === undefined ? null : json(change.metadata),
    tags: change.tags ?? null,
  });
export const workspaceSetState = (tx: Tx, id: string, state: WorkspaceState, desired: WorkspaceRow["desired_state"]) =>
  tx.run(setState, { id, state, desired_state: desired });
export const workspaceUsers = (on: Queryable, id: string) => on.one(users, { id });
export const workspaceLiveRuns = (on: Queryable, id: string, limit: number) => on.all(liveRuns, { id, row_limit: limit });
export const workspaceRequestUnmount = (tx: Tx, id: string) => tx.one(requestUnmount, { id });

export interface NewVersion {
  workspaceId: string;
  environmentId: string;
  versionId: string;
  parentVersionId: string | null;
  artifactId: string;
  contentDigest: string;
  sizeBytes: number;
  entryCount: number;
  runId: string | null;
  attemptId: string | null;
}

const versionParams = (row: NewVersion) => ({
  workspace_id: row.workspaceId,
  environment_id: row.environmentId,
  version_id: row.versionId,
  parent_version_id: row.parentVersionId,
  artifact_id: row.artifactId,
  content_digest: row.contentDigest,
  size_bytes: row.sizeBytes,
  entry_count: row.entryCount,
  run_id: row.runId,
  attempt_id: row.attemptId,
});

export const workspaceAdvance = (tx: Tx, row: NewVersion) => tx.run(advance, versionParams(row));
export const workspaceSetAside = (tx: Tx, row: NewVersion, message: string) => tx.run(setAside, { ...versionParams(row), message });
export const workspaceSetDirty = (tx: Tx, workspaceId: string, dirtyState: WorkspaceRow["dirty_state"]) =>
  tx.run(setDirty, { workspace_id: workspaceId, dirty_state: dirtyState });
export const workspaceMountReady = (tx: Tx, workspaceId: string, leaseId: string) =>
  tx.run(mountReady, { workspace_id: workspaceId, lease_id: leaseId });
export const workspaceVersions = (on: Queryable, workspaceId: string, kind: string | undefined, limit: number) =>
  on.all(versions, { workspace_id: workspaceId, kind: kind ?? null, row_limit: limit });
export const workspaceVersion = (on: Queryable, workspaceId: string, id: string) => on.one(version, { workspace_id: workspaceId, id });
export const workspaceDeleting = (on: Queryable, limit: number) => on.all(deleting, { row_limit: limit });
export const workspaceMountPrune = (on: Queryable, olderMs: number, limit: number) =>
  on.run(pruneMounts, { older_ms: olderMs, row_limit: limit });
