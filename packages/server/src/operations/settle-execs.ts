/** Execs whose mount has ended without their worker having said so, and execs that wait although nothing brings them a machine. */
import { isRefusal } from "../outcome.ts";
import { execBind, execEndOfMount } from "../store/exec.ts";
import { mountLive, mountRunIsOpen } from "../store/mount.ts";
import { workspaceLock } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { ensureMount } from "./ensure-mount.ts";

export async function settleMountExecs(context: EngineContext, mountId: string): Promise<number> {
  const ended = await execEndOfMount(context.db, mountId, { state: "lost", message: "the machine it ran in has ended" });
  for (const exec of ended) context.hints.send(topic.exec(exec.id));
  return ended.length;
}

/** True when something changed for them. */
export async function settleWaitingExecs(context: EngineContext, environmentId: string, workspaceId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, workspaceId);
    if (!workspace) return false;
    const live = await mountLive(tx, workspaceId);
    if (live?.state === "mounted") {
      const bound = await execBind(tx, workspaceId, live.id);
      const { worker_id: workerId } = live;
      if (bound.length > 0 && workerId !== null) tx.afterCommit(() => context.hints.send(topic.worker(workerId)));
      return bound.length > 0;
    }
    if (live || (await mountRunIsOpen(tx, workspaceId))) return false;
    const ensured = await ensureMount(tx, context, workspace);
    return !isRefusal(ensured) && ensured.created;
  });
}
