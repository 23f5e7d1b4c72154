/**
 * A workspace that somebody wants mounted gets a mount, if it has none: requested, until a worker claims it (http §11). The workspace is locked by the
 * caller. A run that is about to be leased brings its own machine; whatever waits is bound to that one.
 */
import { required } from "../assert.ts";
import { newId } from "../new-id.ts";
import { type Refusal, refuse } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { type MountRow, mountInsert, mountLive } from "../store/mount.ts";
import type { WorkspaceRow } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";

export type { MountRow };

export interface EnsuredMount {
  mount: MountRow;
  created: boolean;
}

export async function ensureMount(tx: Tx, context: EngineContext, workspace: WorkspaceRow): Promise<EnsuredMount | Refusal> {
  if (workspace.state !== "active") return refuse("workspace_not_active", `the workspace is ${workspace.state}`);
  const live = await mountLive(tx, workspace.id);
  if (live) return { mount: live, created: false };
  if (workspace.current_version_id === null) return refuse("workspace_version_missing");
  const mount = required(await mountInsert(tx, newId(), workspace.id), "A locked workspace exists");
  tx.afterCommit(() => {
    context.dispatch.wake(mount.worker_group);
    context.hints.send(topic.mount(workspace.id));
  });
  return { mount, created: true };
}
