/** A mount in which nothing has happened for a while is stopped, which captures it. What came meanwhile keeps it. */
import { execAnyLive } from "../store/exec.ts";
import { mountInUse, mountNoteIdle, mountTakeIdle } from "../store/mount.ts";
import { workspaceLock } from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { stopLockedMount } from "./stop-workspace.ts";

export async function stopIdleMount(context: EngineContext, environmentId: string, workspaceId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, workspaceId);
    if (!workspace || !(await mountTakeIdle(tx, workspaceId)) || (await execAnyLive(tx, workspaceId))) return false;
    if (await mountInUse(tx, workspaceId)) {
      // A run is in its machine: looked at again after as long.
      await mountNoteIdle(tx, workspaceId, context.mounts.idleMs);
      return false;
    }
    return (await stopLockedMount(tx, context, workspaceId)) !== undefined;
  });
}
