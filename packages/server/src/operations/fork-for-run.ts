/** A run whose workspace was advanced without it goes on with a workspace of its own, which begins where it was parked (`onConflict: "fork"`). */
import { newId } from "../new-id.ts";
import type { Tx } from "../store/db.ts";
import { type CheckpointRow, checkpointFork } from "../store/checkpoint.ts";
import type { LockedRun } from "../store/run.ts";

/** The new workspace's id: also of the session from here on. The run is locked with its session and workspace. */
export async function forkForRun(tx: Tx, run: LockedRun, checkpoint: CheckpointRow): Promise<string> {
  const workspaceId = newId();
  await checkpointFork(tx, { run_id: run.id, checkpoint_id: checkpoint.id, workspace_id: workspaceId, version_id: newId() });
  return workspaceId;
}
