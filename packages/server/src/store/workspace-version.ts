/** Versions as they are made from others: restored, forked. The workspace that gets one is locked by the caller, the version it comes from is pinned. */
import type { Tx } from "./db.ts";
import { statement } from "./statement.ts";
import type { VersionRow } from "./workspace.ts";

type PinnedVersion = Pick<VersionRow, "id" | "workspace_id" | "state" | "content_digest"> & { artifact_id: string | null };

/** Shared lock: retention lets go of no content that somebody is about to use. */
const pin = statement<{ workspace_id: string; id: string }, PinnedVersion>(
  "workspace_version_pin",
  `select id, workspace_id, state, content_digest, artifact_id from workspace_versions where workspace_id = $workspace_id and id = $id for share`,
);

/** The head moves to a new version with the content of an old one, if it still is what it was. */
const restore = statement<{
  workspace_id: string;
  version_id: string;
  parent_version_id: string;
  source_version_id: string;
  message: string;
}>(
  "workspace_version_restore",
  `with added as (
     insert into workspace_versions (id, environment_id, workspace_id, parent_version_id, kind, state, artifact_id, content_digest, size_bytes, entry_count, message, promoted_at)
     select $version_id, environment_id, workspace_id, $parent_version_id, 'user', 'ready', artifact_id, content_digest, size_bytes, entry_count, $message, now()
       from workspace_versions where workspace_id = $workspace_id and id = $source_version_id)
   update workspaces set current_version_id = $version_id, dirty_state = 'clean', last_activity_at = now(), updated_at = now()
    where id = $workspace_id and current_version_id = $parent_version_id`,
);

interface ForkParams {
  source_workspace_id: string;
  source_version_id: string;
  id: string;
  version_id: string;
  external_id: string | null;
  metadata: string;
  tags: string[];
  message: string;
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
  idempotency_ttl_ms: number | null;
}

/** A workspace of the same sandbox whose first version has the content of another workspace's version: rows only. */
const fork = statement<ForkParams>(
  "workspace_fork",
  `with made as (
     insert into workspaces (id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, external_id, current_version_id,
                             state, metadata, tags, idempotency_key_hash, idempotency_fingerprint, idempotency_expires_at)
     select $id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, $external_id, $version_id::uuid,
            'active', $metadata::jsonb, $tags::text[], $idempotency_key_hash, $idempotency_fingerprint,
            now() + $idempotency_ttl_ms::bigint * interval '1 millisecond'
       from workspaces where id = $source_workspace_id)
   insert into workspace_versions (id, environment_id, workspace_id, kind, state, artifact_id, content_digest, size_bytes, entry_count, message, promoted_at)
   select $version_id, environment_id, $id, 'system', 'ready', artifact_id, content_digest, size_bytes, entry_count, $message, now()
     from workspace_versions where workspace_id = $source_workspace_id and id = $source_version_id`,
);

export const versionPin = (tx: Tx, workspaceId: string, id: string) => tx.one(pin, { workspace_id: workspaceId, id });
export const versionRestore = (
  tx: Tx,
  row: { workspaceId: string; versionId: string; parentVersionId: string; sourceVersionId: string; message: string },
) =>
  tx.run(restore, {
    workspace_id: row.workspaceId,
    version_id: row.versionId,
    parent_version_id: row.parentVersionId,
    source_version_id: row.sourceVersionId,
    message: row.message,
  });
export const workspaceFork = (tx: Tx, row: ForkParams) => tx.run(fork, row);
