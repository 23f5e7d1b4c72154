/**
 * Archives a workspace (http §11). While it is mounted, or runs want it, that is refused, unless `force`: then the runs are cancelled, the mount is asked to
 * end, and the same call answers 200 once nothing is left. Locks: workspace; each run in a transaction of its own.
 */
import { required } from "../assert.ts";
import { engineLimits } from "../limits.ts";
import { notFound, type Refusal, refuse } from "../outcome.ts";
import { runLock } from "../store/run.ts";
import {
  workspaceGet,
  workspaceLiveRuns,
  workspaceLock,
  workspaceRequestUnmount,
  type WorkspaceRow,
  workspaceSetState,
  workspaceUsers,
} from "../store/workspace.ts";
import { cancelLockedRun } from "./cancel-run.ts";
import { type EngineContext, topic } from "../engine-context.ts";

export const noWorkspace = (): Refusal => notFound("workspace not found");

export interface DeletedWorkspace {
  workspace: WorkspaceRow;
  /** Something still runs there; the same call says more later. */
  pending: boolean;
}

export async function deleteWorkspace(
  context: EngineContext,
  { environmentId, id, force }: { environmentId: string; id: string; force: boolean },
): Promise<DeletedWorkspace | Refusal> {
  const first = await archive(context, { environmentId, id, force });
  if ("refused" in first || !first.pending) return first;
  for (const run of await workspaceLiveRuns(context.db, id, engineLimits.reconcileBatch)) {
    await context.db.tx(async (tx) => {
      const locked = await runLock(tx, run.environment_id, run.id);
      if (locked) await cancelLockedRun(tx, context, locked, { reason: "the workspace is deleted", force: true });
    });
  }
  return archive(context, { environmentId, id, force });
}

async function archive(
  context: EngineContext,
  { environmentId, id, force }: { environmentId: string; id: string; force: boolean },
): Promise<DeletedWorkspace | Refusal> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, id);
    if (!workspace) return noWorkspace();
    if (workspace.state === "archived" || workspace.state === "deleted") return { workspace, pending: false };
    const users = required(await workspaceUsers(tx, id), "An aggregate returns a row");
    const busy = users.mount_state !== null || users.live_runs > 0;
    if (busy && !force)
      return refuse(
        "workspace_mount_active",
        users.mount_state === null ? "the workspace has live runs" : `the workspace has a mount that is ${users.mount_state}`,
      );
    if (busy) {
      const mount = await workspaceRequestUnmount(tx, id);
      tx.afterCommit(() => {
        if (mount?.worker_id) context.hints.send(topic.worker(mount.worker_id));
      });
    }
    await workspaceSetState(tx, id, busy ? "deleting" : "archived", "archived");
    return { workspace: required(await workspaceGet(tx, environmentId, id), "A locked workspace exists"), pending: busy };
  });
}
