/**
 * Makes the content of an old version the current one: a new version in front of the present head, so that nothing is lost. Compare-and-swap on the head,
 * under the workspace's lock. Not while a machine has the workspace mounted: what it writes would be set aside. A repeat finds the content in place and
 * answers the same. Locks: workspace → version.
 */
import type { VersionRestoreBody } from "@helmr/protocol/api";
import { assert, required } from "../assert.ts";
import type { EngineContext } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { notFound, type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { versionPin, versionRestore } from "../store/workspace-version.ts";
import { type VersionRow, workspaceLock, workspaceUsers, workspaceVersion } from "../store/workspace.ts";
import { noWorkspace } from "./delete-workspace.ts";

export interface RestoredVersion {
  version: VersionRow;
  unchanged: boolean;
}

export async function restoreVersion(
  context: EngineContext,
  { environmentId, id }: { environmentId: string; id: string },
  body: VersionRestoreBody,
): Promise<RestoredVersion | Refusal> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, id);
    if (!workspace) return noWorkspace();
    const head = workspace.current_version_id;
    if (workspace.state !== "active" || head === null) return refuse("workspace_not_active", `the workspace is ${workspace.state}`);
    const source = await usableVersion(tx, id, body.version_id);
    if ("refused" in source) return source;
    const present = required(await workspaceVersion(tx, id, head), "The head of a workspace exists");
    if (present.content_digest === source.content_digest) return { version: present, unchanged: true };
    if (body.expected_version_id !== undefined && body.expected_version_id !== head)
      return refuse("workspace_head_moved", `the workspace's current version is ${head}, not ${body.expected_version_id}`);
    const users = required(await workspaceUsers(tx, id), "An aggregate returns a row");
    if (users.mount_state !== null) return refuse("workspace_mount_active", `the workspace has a mount that is ${users.mount_state}`);
    const versionId = newId();
    const message = body.message ?? `restored from version ${source.id}`;
    const moved = await versionRestore(tx, { workspaceId: id, versionId, parentVersionId: head, sourceVersionId: source.id, message });
    assert(moved === 1, "The head of a locked workspace does not move");
    return { version: required(await workspaceVersion(tx, id, versionId), "It was inserted a moment ago"), unchanged: false };
  });
}

/** A version whose content can become that of another one: also a failed one, which was kept for this. Pinned until the transaction ends. */
export async function usableVersion(
  tx: Tx,
  workspaceId: string,
  versionId: string,
): Promise<{ id: string; content_digest: string } | Refusal> {
  const version = await versionPin(tx, workspaceId, versionId);
  if (!version) return notFound("workspace version not found");
  const usable = version.state === "ready" || (version.state === "failed" && version.artifact_id !== null);
  return usable ? version : refuse("workspace_version_not_ready", `the workspace version is ${version.state}`);
}
