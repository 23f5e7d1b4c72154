/** A mount in which nothing has happened for a while is stopped, which captures it. What came meanwhile keeps it. */
import { execAnyLive } from "../store/exec.ts";
import { mountTakeIdle } from "../store/mount.ts";
import { workspaceLock } from "../store/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { stopLockedMount } from "./stop-workspace.ts";

export async function stopIdleMount(context: EngineContext, environmentId: string, workspaceId: string): Promise<boolean> {
  return context.db.tx(async (tx) => {
    const workspace = await workspaceLock(tx, environmentId, workspaceId);
    if (!workspace || !(await mountTakeIdle(tx, workspaceId)) || (await execAnyLive(tx, workspaceId))) return false;
    return (await stopLockedMount(tx, context, workspaceId)) !== undefined;
  });
}
