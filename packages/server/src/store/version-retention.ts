/** Versions and workspaces that have been kept long enough. A version that is let go of stays in the history without its content. */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

interface Rules {
  kept_ms: number;
  failed_kept_ms: number;
  kept_min: number;
}

/**
 * Old enough, and nobody's: not the head, not what a live mount began from, not what a parked run comes back to; not made on purpose (kind user); and not one
 * of the newest of its workspace.
 */
const expired = `v.artifact_id is not null and v.kind = 'system'
      and (v.state = 'ready' and v.created_at < now() - $kept_ms * interval '1 millisecond'
           or v.state = 'failed' and v.created_at < now() - $failed_kept_ms * interval '1 millisecond')
      and not exists (select from workspaces w where w.id = v.workspace_id and w.current_version_id = v.id)
      and not exists (select from workspace_mounts m where m.workspace_id = v.workspace_id and m.base_version_id = v.id
                         and m.state in ('requested', 'mounting', 'mounted', 'unmounting'))
      and not exists (select from runs r join checkpoints c on c.id = r.checkpoint_id
                       where r.workspace_id = v.workspace_id and r.outcome is null and c.workspace_version_id = v.id)
      and (v.state = 'failed'
           or (select count(*) from (select from workspace_versions n where n.workspace_id = v.workspace_id and n.state = 'ready' and (n.created_at, n.id) > (v.created_at, v.id)
                                      limit $kept_min) newer) >= $kept_min)`;

const page = statement<{ after: string; row_limit: number } & Rules, { last: string | null; scanned: number; workspaces: string[] }>(
  "version_expired_page",
  `with page as (select id from workspace_versions where id > $after order by id limit $row_limit)
   select (select id from page order by id desc limit 1) as last, (select count(*)::int from page) as scanned,
          coalesce((select array_agg(distinct v.workspace_id) from page p join workspace_versions v on v.id = p.id where ${expired}), '{}') as workspaces`,
);

/** The workspace is locked: its head and its mounts stay what they are. */
const letGo = statement<{ workspace_id: string; row_limit: number } & Rules>(
  "version_let_go",
  `update workspace_versions set state = 'deleted', artifact_id = null
    where id in (select v.id from workspace_versions v where v.workspace_id = $workspace_id and ${expired} order by v.created_at, v.id limit $row_limit)`,
);

const archived = statement<{ older_ms: number; row_limit: number }, { id: string; environment_id: string }>(
  "workspace_archived_expired",
  `select id, environment_id from workspaces where state = 'archived' and archived_at < now() - $older_ms * interval '1 millisecond'
    order by archived_at limit $row_limit`,
);
const removeVersions = statement<{ workspace_id: string; row_limit: number }>(
  "workspace_remove_versions",
  `delete from workspace_versions where id in (select id from workspace_versions where workspace_id = $workspace_id order by created_at limit $row_limit)`,
);
const forgetHead = statement<{ workspace_id: string }>(
  "workspace_forget_head",
  "update workspaces set current_version_id = null, updated_at = now() where id = $workspace_id and state = 'archived' and current_version_id is not null",
);

export interface VersionRules {
  versionsKeptMs: number;
  failedVersionsKeptMs: number;
  versionsKeptMin: number;
}
const params = (rules: VersionRules): Rules => ({
  kept_ms: rules.versionsKeptMs,
  failed_kept_ms: rules.failedVersionsKeptMs,
  kept_min: rules.versionsKeptMin,
});

export const versionExpiredPage = (on: Queryable, rules: VersionRules, at: { after: string; limit: number }) =>
  on.one(page, { ...params(rules), after: at.after, row_limit: at.limit });
export const versionLetGo = (tx: Tx, workspaceId: string, rules: VersionRules, limit: number) =>
  tx.run(letGo, { ...params(rules), workspace_id: workspaceId, row_limit: limit });
export const workspaceArchivedExpired = (on: Queryable, olderMs: number, limit: number) =>
  on.all(archived, { older_ms: olderMs, row_limit: limit });
export const workspaceRemoveVersions = (tx: Tx, workspaceId: string, limit: number) =>
  tx.run(removeVersions, { workspace_id: workspaceId, row_limit: limit });
export const workspaceForgetHead = (tx: Tx, workspaceId: string) => tx.run(forgetHead, { workspace_id: workspaceId });
