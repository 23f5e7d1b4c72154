/** Where the stored tree of a version lies: what reading it without a machine needs. */
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface TreeRow {
  org_id: string;
  workspace_state: string;
  version_id: string | null;
  version_state: "capturing" | "artifact_verified" | "ready" | "failed" | "deleted" | null;
  version_created_at: string | null;
  workspace_path: string;
  artifact_id: string | null;
  manifest_key: string | null;
  digest: string | null;
}

/** The head of the workspace when no version is named. A version of another workspace is none. */
const tree = statement<{ environment_id: string; workspace_id: string; version_id: string | null }, TreeRow>(
  "workspace_tree",
  `select w.org_id, w.state as workspace_state, v.id as version_id, v.state as version_state, v.created_at as version_created_at, b.workspace_path,
          a.id as artifact_id, a.manifest_key, a.digest
     from workspaces w
     join deployment_sandboxes b on b.id = w.deployment_sandbox_id
     left join workspace_versions v on v.workspace_id = w.id and v.id = coalesce($version_id::uuid, w.current_version_id)
     left join artifacts a on a.id = v.artifact_id
    where w.environment_id = $environment_id and w.id = $workspace_id`,
);

export const workspaceTree = (on: Queryable, at: { environmentId: string; workspaceId: string; versionId: string | undefined }) =>
  on.one(tree, { environment_id: at.environmentId, workspace_id: at.workspaceId, version_id: at.versionId ?? null });
