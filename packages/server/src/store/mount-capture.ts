/** Versions that are made of a live mount while its machine goes on, and the keys of requests for them. The workspace is locked before its mount. */
import type { MountState } from "../domain/workspace.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface CapturingMount {
  id: string;
  org_id: string;
  environment_id: string;
  workspace_id: string;
  base_version_id: string | null;
  head_version_id: string | null;
  state: MountState;
  lease_state: "held" | "released" | "expired" | "fenced";
  in_time: boolean;
  /** Of the version that the capture would make, when there is one already. */
  made_artifact_id: string | null;
}

interface HolderParams {
  lease_id: string;
  mount_id: string;
  worker_id: string;
  fence: number;
  version_id: string;
}

/** Of its holder, whether the mount is of its own or came with a run. Locks workspace and mount. */
const holder = statement<HolderParams, CapturingMount>(
  "capture_mount",
  `select m.id, m.org_id, m.environment_id, m.workspace_id, m.base_version_id, w.current_version_id as head_version_id, m.state, l.state as lease_state,
          l.deadline > now() as in_time, v.artifact_id as made_artifact_id
     from leases l
     join workspace_mounts m on m.lease_id = l.id and m.id = $mount_id
     join workspaces w on w.id = m.workspace_id
     left join workspace_versions v on v.id = $version_id and v.workspace_id = w.id
    where l.id = $lease_id and l.worker_id = $worker_id and l.fence = $fence
      for no key update of w, m`,
);

interface CommitParams {
  mount_id: string;
  version_id: string;
  artifact_id: string;
  content_digest: string;
  size_bytes: number;
  entry_count: number;
  message: string | null;
}

/** The version is the head and the one that the mount's tree is compared with; the head was the mount's base, which is checked under the lock. */
const commit = statement<CommitParams>(
  "capture_commit",
  `with mount as (update workspace_mounts set base_version_id = $version_id, updated_at = now() where id = $mount_id returning workspace_id),
        made as (
          insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, artifact_id, content_digest, size_bytes, entry_count,
                                          message, promoted_at)
          select $version_id, w.environment_id, w.id, w.current_version_id, 'user', 'ready', $artifact_id, $content_digest, $size_bytes, $entry_count,
                 $message, now()
            from workspaces w join mount on mount.workspace_id = w.id)
   update workspaces w
      set current_version_id = $version_id, last_activity_at = now(), updated_at = now(),
          dirty_state = case when exists (select from workspace_execs x where x.workspace_id = w.id
                                             and x.state not in ('exited', 'terminated', 'lost', 'failed', 'closed'))
                               or exists (select from runs r where r.workspace_id = w.id and r.outcome is null) then 'dirty' else 'clean' end
     from mount where w.id = mount.workspace_id`,
);

export interface CaptureKey {
  version_id: string;
  fingerprint: Buffer;
  is_unchanged: boolean;
  expired: boolean;
}

const key = statement<{ workspace_id: string; key_hash: Buffer }, CaptureKey>(
  "capture_key",
  `select version_id, fingerprint, is_unchanged, expires_at <= now() as expired from workspace_capture_keys
    where workspace_id = $workspace_id and key_hash = $key_hash`,
);
const putKey = statement<{
  workspace_id: string;
  key_hash: Buffer;
  fingerprint: Buffer;
  version_id: string;
  is_unchanged: boolean;
  ttl_ms: number;
}>(
  "capture_put_key",
  `insert into workspace_capture_keys (workspace_id, key_hash, fingerprint, version_id, is_unchanged, expires_at)
   values ($workspace_id, $key_hash, $fingerprint, $version_id, $is_unchanged, now() + $ttl_ms * interval '1 millisecond')
   on conflict (workspace_id, key_hash) do update
      set fingerprint = excluded.fingerprint, version_id = excluded.version_id, is_unchanged = excluded.is_unchanged, expires_at = excluded.expires_at`,
);
const pruneKeys = statement<{ row_limit: number }>(
  "capture_key_prune",
  `delete from workspace_capture_keys k
    using (select workspace_id, key_hash from workspace_capture_keys where expires_at < now() order by expires_at limit $row_limit) old
    where k.workspace_id = old.workspace_id and k.key_hash = old.key_hash`,
);

export const captureMount = (tx: Tx, params: HolderParams) => tx.one(holder, params);
export const captureCommit = (tx: Tx, params: CommitParams) => tx.run(commit, params);
export const captureKey = (tx: Tx, workspaceId: string, keyHash: Buffer) => tx.one(key, { workspace_id: workspaceId, key_hash: keyHash });
export const capturePutKey = (
  on: Queryable,
  put: { workspaceId: string; keyHash: Buffer; fingerprint: Buffer; versionId: string; isUnchanged: boolean; ttlMs: number },
) =>
  on.run(putKey, {
    workspace_id: put.workspaceId,
    key_hash: put.keyHash,
    fingerprint: put.fingerprint,
    version_id: put.versionId,
    is_unchanged: put.isUnchanged,
    ttl_ms: put.ttlMs,
  });
export const captureKeyPrune = (on: Queryable, limit: number) => on.run(pruneKeys, { row_limit: limit });
