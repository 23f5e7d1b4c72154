/**
 * How every run ends, whoever ends it: its rows, the hooks of the session that may go on, and after the commit the hints and the room it leaves. The
 * caller has locked session, workspace and run, and decided the outcome.
 */
import type { Tx } from "../store/db.ts";
import { leaseHolder } from "../store/lease.ts";
import { type Finish, runFinish } from "../store/run-write.ts";
import type { LockedRun } from "../store/run.ts";
import { workspaceSetDirty } from "../store/workspace.ts";
import { type EngineContext, topic } from "../engine-context.ts";

/** A run whose holder is the one to end it comes with the lane of its lease, and with the mount whose machine it only used. */
export type EndingRun = LockedRun & { lane?: string | null; in_mount_id?: string | null };

export async function finishRun(tx: Tx, context: EngineContext, run: EndingRun, end: Finish): Promise<void> {
  const byHolder = end.ending.lease === "released" && run.lane !== undefined;
  const [released, other] = await Promise.all([
    runFinish(tx, run, end),
    run.lease_id === null || byHolder ? undefined : leaseHolder(tx, run.lease_id),
    run.lease_id === null || end.ending.mount !== "lost" || (run.in_mount_id ?? null) !== null
      ? 0
      : workspaceSetDirty(tx, run.workspace_id, run.state === "leased" ? "clean" : "dirty_state_lost"),
  ]);
  for (const hook of context.hooks.runFinished) await hook(tx, run);
  tx.afterCommit(() => {
    announceRun(context, run);
    context.hints.send(topic.logs(run.id));
    // A holder that was not the one to end the run has to hear of it.
    if (other && end.ending.lease !== "released") context.hints.send(topic.worker(other.worker_id));
    if (released?.workspace_wanted) context.gates.release({ workspaceId: run.workspace_id });
    context.gates.release({ lane: other?.lane ?? run.lane });
  });
}

/** Followers of the run and of its session look again. */
export function announceRun(context: EngineContext, run: Pick<LockedRun, "id" | "session_id">): void {
  context.hints.send(topic.run(run.id));
  context.hints.send(topic.session(run.session_id));
}
