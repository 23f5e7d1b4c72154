/**
 * A lease that is taken away: its deadline passed, its worker began a new epoch, its host was lost. Step 10 of the data flow. The subject goes on:
 *
 *   run    no user code ran: queued again as the same attempt, a bounded number of times; user code ran: the retry policy decides; a cancel was under
 *          way: cancelled. `run.execution_lost` is in the timeline either way. What the machine wrote since its base version is gone.
 *   build  queued again, a bounded number of times
 *   mount  lost
 *
 * Whoever comes second (a report that was on its way, another reconciler) finds the lease no longer held and changes nothing.
 */
import { assertNever } from "../assert.ts";
import { decideLostLease, type LeaseLoss } from "../domain/lease.ts";
import { engineLimits } from "../limits.ts";
import type { Tx } from "../store/db.ts";
import { leaseEndingRunByLease, leaseHolder } from "../store/lease.ts";
import { runRequeue } from "../store/run-write.ts";
import { workspaceSetDirty } from "../store/workspace.ts";
import { interruptBuild } from "./end-build.ts";
import { cancelledBy } from "./cancel-run.ts";
import { endFailedAttempt } from "./end-attempt.ts";
import { enqueueRun } from "./enqueue-run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { announceRun, finishRun } from "./finish-run.ts";
import { closeLogTails } from "./report-attempt.ts";

export interface LosableLease {
  id: string;
  kind: "run" | "build" | "mount";
}

const lossText = { expired: "the worker's lease expired", fenced: "the worker's lease was fenced" } as const satisfies Record<
  LeaseLoss,
  string
>;

/** True when the lease was held and is lost now. */
export async function loseLease(context: EngineContext, lease: LosableLease, loss: LeaseLoss): Promise<boolean> {
  switch (lease.kind) {
    case "run":
      return context.db.tx((tx) => loseRunLease(tx, context, lease.id, loss));
    case "build":
      return context.db.tx((tx) => interruptBuild(tx, context, { leaseId: lease.id, leaseState: loss, message: lossText[loss] }));
    case "mount":
      return context.hooks.loseMountLease(context, lease.id, loss);
    default:
      return assertNever(lease.kind);
  }
}

async function loseRunLease(tx: Tx, context: EngineContext, leaseId: string, loss: LeaseLoss): Promise<boolean> {
  const run = await leaseEndingRunByLease(tx, leaseId);
  // Expired means by the clock of this statement: a renewal may have come first.
  if (!run || run.lease_id !== leaseId || (loss === "expired" && run.in_time)) return false;
  if (run.state !== "leased" && run.state !== "executing" && run.state !== "cancelling") return false;
  const decision = decideLostLease({ runState: run.state, lostStarts: run.lost_starts, lostStartsMax: engineLimits.lostStartsMax });
  const lost = {
    kind: "run.execution_lost" as const,
    attributes: { reason: lossText[loss], lease_id: leaseId, started: run.state !== "leased" },
  };
  const ending = { lease: loss, mount: "lost" as const };
  // The machine of a mount is not lost with a run in it: it is captured when it goes.
  if (run.in_mount_id === null) await workspaceSetDirty(tx, run.workspace_id, run.state === "leased" ? "clean" : "dirty_state_lost");
  if (run.log_tail_open && run.attempt_id !== null)
    await closeLogTails(tx, { ...run, attempt_id: run.attempt_id, lease_id: leaseId }, run.report_seq);
  const holder = await leaseHolder(tx, leaseId);
  switch (decision.kind) {
    case "requeue":
      await runRequeue(tx, run, { events: [lost], ending });
      await enqueueRun(tx, context, run, { delayMs: 0 });
      tx.afterCommit(() => announceRun(context, run));
      break;
    case "give_up":
      await finishRun(tx, context, run, {
        outcome: "dead_lettered",
        attemptState: "lost",
        events: [
          lost,
          {
            kind: "run.dead_lettered",
            attributes: { message: `no worker could start the run: ${engineLimits.lostStartsMax} leases were lost before user code ran` },
          },
        ],
        ending,
      });
      break;
    case "cancelled":
      await finishRun(tx, context, run, cancelledBy(run, { events: [lost], ending, attemptState: "lost" }));
      break;
    case "ask_policy":
      await endFailedAttempt(tx, context, run, {
        failure: { kind: "worker_lease_expired", exitCode: null, detail: { message: lossText[loss] } },
        attemptState: "lost",
        activeMs: run.active_ms + run.lease_active_ms,
        before: [lost],
        ending,
      });
      break;
    default:
      assertNever(decision);
  }
  tx.afterCommit(() => {
    context.gates.release({ lane: run.lane });
    if (holder) context.hints.send(topic.worker(holder.worker_id));
  });
  return true;
}
