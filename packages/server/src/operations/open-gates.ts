/**
 * Lets runs through the gates of lanes and workspaces (domain/queue.ts). Every change that may have made room says so with `release`, after its commit;
 * what a crash in between leaves behind is found by the reconciler place-runs. Each admission is a transaction of its own that takes one lock and then
 * queue rows only, so that nobody waits in a circle.
 */
import type { Dispatch } from "../dispatch/port.ts";
import { topic } from "../engine-context.ts";
import type { Hints } from "../hints.ts";
import { advisoryLock, lockName } from "../store/advisory-lock.ts";
import type { Db } from "../store/db.ts";
import { type ReadyRun, runQueueLaneAdmit, runQueueUnpin, runQueueWorkspaceAdmit } from "../store/run-queue.ts";
import { mountYield } from "../store/mount.ts";
import { workspaceLockById } from "../store/workspace.ts";

export interface Gates {
  /** There may be room now. Never throws; what fails is left to the reconciler. */
  release(room: { lane?: string | null | undefined; workspaceId?: string | undefined }): void;
  /** Opens the gate of a lane as far as its limit allows; returns how many runs passed. */
  admitLane(lane: string): Promise<number>;
  /** Lets the first run of a workspace pass, if nobody else has it or the machine that has it will do; otherwise that machine is asked to go. */
  admitWorkspace(workspaceId: string): Promise<number>;
  /** Resolves when everything released so far was looked at. */
  settled(): Promise<void>;
}

export function createGates({ db, dispatch, hints }: { db: Db; dispatch: Dispatch; hints: Hints }): Gates {
  /** Work in progress by name; `true`: it was asked for again meanwhile. One look after the last request is enough. */
  const running = new Map<string, boolean>();
  const idle = new Set<() => void>();

  const announce = (ready: readonly ReadyRun[]) =>
    dispatch.ready(ready.map((run) => ({ runId: run.run_id, environmentId: run.environment_id, workerGroup: run.worker_group })));

  async function admitLane(lane: string): Promise<number> {
    return db.tx(async (tx) => {
      await advisoryLock(tx, lockName.lane(lane));
      const ready = await runQueueLaneAdmit(tx, lane);
      if (ready.length > 0) tx.afterCommit(() => announce(ready));
      return ready.length;
    });
  }

  async function admitWorkspace(workspaceId: string): Promise<number> {
    const passed = await db.tx(async (tx) => {
      await workspaceLockById(tx, workspaceId);
      await runQueueUnpin(tx, workspaceId);
      const run = await runQueueWorkspaceAdmit(tx, workspaceId);
      if (run?.gate === "open") tx.afterCommit(() => announce([run]));
      const yielded = run ? undefined : await mountYield(tx, workspaceId);
      if (yielded?.worker_id) {
        const worker = topic.worker(yielded.worker_id);
        tx.afterCommit(() => hints.send(worker));
      }
      return run;
    });
    if (passed?.gate === "lane" && passed.lane !== null) await admitLane(passed.lane);
    return passed ? 1 : 0;
  }

  function once(name: string, work: () => Promise<unknown>): void {
    if (running.has(name)) {
      running.set(name, true);
      return;
    }
    running.set(name, false);
    void work()
      .catch(() => undefined)
      .finally(() => {
        const again = running.get(name) === true;
        running.delete(name);
        if (again) once(name, work);
        else if (running.size === 0) for (const resolve of idle) resolve();
      });
  }

  return {
    admitLane,
    admitWorkspace,
    release({ lane, workspaceId }) {
      if (workspaceId !== undefined) once(`workspace ${workspaceId}`, () => admitWorkspace(workspaceId));
      if (lane !== undefined && lane !== null) once(`lane ${lane}`, () => admitLane(lane));
    },
    async settled() {
      while (running.size > 0) {
        await new Promise<void>((resolve) => {
          const done = () => {
            idle.delete(done);
            resolve();
          };
          idle.add(done);
        });
      }
    },
  };
}
