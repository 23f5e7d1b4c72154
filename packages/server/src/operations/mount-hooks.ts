/** Where mounts join the engine (engine-context.ts). */
import type { EngineContext, EngineHooks } from "../engine-context.ts";
import { topic } from "../engine-context.ts";
import { loseMountLease } from "./end-mount.ts";
import { execBind } from "../store/exec.ts";
import { mountLive } from "../store/mount.ts";
import { readExecDirectives } from "./exec-directives.ts";
import { readMountLeases } from "./grant-mount-leases.ts";

type Joined = Pick<EngineHooks, "loseMountLease" | "readMountLeases" | "readDirectives" | "runFinished" | "attemptStarted">;

/** Execs that waited run beside the task. The run is locked; nobody else binds to its mount, because binding takes the mount's workspace first. */
const bindToRun: EngineHooks["attemptStarted"] = async (tx, context, { workspaceId, leaseId }) => {
  const live = await mountLive(tx, workspaceId);
  if (live?.lease_id !== leaseId || live.worker_id === null) return;
  const { worker_id: workerId } = live;
  const bound = await execBind(tx, workspaceId, live.id);
  if (bound.length > 0) tx.afterCommit(() => context.hints.send(topic.worker(workerId)));
};

/** The context holds the hooks, so they get it when they are called. */
export function mountHooks(context: () => EngineContext): Joined {
  return {
    loseMountLease,
    readMountLeases,
    readDirectives: readExecDirectives,
    attemptStarted: bindToRun,
    runFinished: [
      (tx, run) => {
        // What ran beside it is over, and what waits wants a machine of its own: settled by the loop, which is told.
        tx.afterCommit(() => {
          context().hints.send(topic.reconcile("settle-execs"));
          context().hints.send(topic.mount(run.workspace_id));
        });
        return Promise.resolve();
      },
    ],
  };
}
