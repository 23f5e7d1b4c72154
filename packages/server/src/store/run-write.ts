/**
 * Every write of a run's state, one statement per transition, with the rows that change with it. All of them run under the lock of the run and carry
 * the guard of their transition from the domain's table; a holder's fence was checked under that lock.
 */
import type { NewRunEvent } from "../domain/event.ts";
import { type LeaseState, leaseTransitions } from "../domain/lease.ts";
import { type RunOutcome, runTransitions } from "../domain/run.ts";
import { inStates } from "../domain/transitions.ts";
import { checkpointTransitions } from "../domain/checkpoint.ts";
import { conditionTransitions, suspensionTransitions } from "../domain/wait.ts";
import { liveMountStates, type MountState, mountTransitions } from "../domain/workspace.ts";
import { json, type Tx } from "./db.ts";
import { type EventParams, eventInsert, eventParams } from "./run-event.ts";
import type { CancelRequest, LockedRun } from "./run.ts";
import { statement } from "./statement.ts";

/** User code begins: the queue time is over for good. */
const start = statement<{ run_id: string; attempt_id: string }>(
  "run_start",
  `with attempt as (update run_attempts set state = 'running', started_at = now() where id = $attempt_id and state = 'pending')
   update runs set state = '${runTransitions.start.to}', started_at = coalesce(started_at, now()), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.start.from)}`,
);

const requestCancel = statement<EventParams & { cancel: string; total_ms: number }>(
  "run_request_cancel",
  `with appended as (${eventInsert} returning 1)
   update runs
      set state = '${runTransitions.requestCancel.to}', cancel = $cancel::jsonb, cancel_due_at = now() + $total_ms * interval '1 millisecond',
          event_seq = event_seq + (select count(*) from appended), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.requestCancel.from)}`,
);

interface HolderEnd {
  lease_id: string | null;
  lease_state: LeaseState;
  mount_state: MountState;
}

/**
 * Ends what the holder had: its lease, and the mount that came with it. A mount whose machine it only used goes on, unless it was asked to go meanwhile
 * or the holder did not say that its program has ended.
 */
const endHolder = `lease as (update leases set state = $lease_state, ended_at = now() where id = $lease_id::uuid and state ${inStates(leaseTransitions.release.from)}
                   returning in_mount_id),
        host as (update workspace_mounts m set state = '${mountTransitions.stop.to}', stop_requested_at = coalesce(m.stop_requested_at, now()),
                        stop_reason = coalesce(m.stop_reason, case when m.stop_requested_at is null then 'a run in its machine was lost' end), updated_at = now()
                   from lease where m.id = lease.in_mount_id and m.state ${inStates(mountTransitions.stop.from)}
                    and (m.stop_requested_at is not null
                         or ($lease_state::text <> 'released' and (select state from runs where id = $run_id) <> 'leased'))),
        mount as (update workspace_mounts set state = $mount_state, updated_at = now()
                   where workspace_id = (select workspace_id from runs where id = $run_id) and lease_id = $lease_id::uuid and state ${inStates(liveMountStates)})`;

/** Whether another run waits for the workspace that was let go. */
export interface Released {
  workspace_wanted: boolean;
}

interface FinishParams extends EventParams, HolderEnd {
  session_id: string;
  outcome: RunOutcome;
  output: string | null;
  exit_code: number | null;
  failure: string | null;
  active_ms: number;
  attempt_id: string | null;
  attempt_state: string;
}

/** Read after the locks were granted: whoever puts a run at the workspace's gate later finds the mount ended. */
const wanted = `returning exists (select from run_queue q where q.workspace_id = runs.workspace_id and q.gate = 'workspace') as workspace_wanted`;

const finish = statement<FinishParams, Released>(
  "run_finish",
  `with appended as (${eventInsert} returning 1),
        ${endHolder},
        attempt as (update run_attempts set state = $attempt_state, exit_code = $exit_code, failure = $failure::jsonb, ended_at = now()
                     where id = $attempt_id::uuid and state in ('pending', 'running')),
        dequeued as (delete from run_queue where run_id = $run_id),
        saved as (update checkpoints set state = '${checkpointTransitions.use.to}', ended_at = now()
                   where run_id = $run_id and state ${inStates(checkpointTransitions.use.from)}),
        waits as (update run_waits set condition = '${conditionTransitions.cancel.to}', resolved_at = now(), resolved_by = '{"kind": "run_ended"}'
                   where run_id = $run_id and condition ${inStates(conditionTransitions.cancel.from)}),
        touched as (update sessions set updated_at = now() where id = $session_id),
        counted as (insert into run_counts as c (environment_id, outcome, shard, count)
                    select environment_id, $outcome, pg_backend_pid() % 128, 1 from runs where id = $run_id
                    on conflict (environment_id, outcome, shard) do update set count = c.count + 1)
   update runs
      set state = '${runTransitions.finish.to}', outcome = $outcome, output = $output::json, exit_code = $exit_code, failure = $failure::jsonb,
          active_ms = $active_ms, lease_id = null, parked_wait_id = null, checkpoint_id = null, cancel_due_at = null,
          event_seq = event_seq + (select count(*) from appended), finished_at = now(), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.finish.from)} ${wanted}`,
);

interface RetryParams extends EventParams, HolderEnd {
  attempt_id: string;
  attempt_state: string;
  exit_code: number | null;
  failure: string | null;
  active_ms: number;
  next_attempt_id: string;
  next_attempt_number: number;
}

/** The attempt is over, the run goes on with the next one: exit code, output and failure are of the next attempt. */
const retry = statement<RetryParams>(
  "run_retry",
  `with appended as (${eventInsert} returning 1),
        ${endHolder},
        attempt as (update run_attempts set state = $attempt_state, exit_code = $exit_code, failure = $failure::jsonb, ended_at = now()
                     where id = $attempt_id and state in ('pending', 'running')),
        waits as (update run_waits set condition = '${conditionTransitions.cancel.to}', resolved_at = now(), resolved_by = '{"kind": "attempt_ended"}'
                   where run_id = $run_id and condition ${inStates(conditionTransitions.cancel.from)}),
        dequeued as (delete from run_queue where run_id = $run_id),
        saved as (update checkpoints set state = '${checkpointTransitions.use.to}', ended_at = now()
                   where run_id = $run_id and state ${inStates(checkpointTransitions.use.from)}),
        next as (insert into run_attempts (id, run_id, number, state) values ($next_attempt_id, $run_id, $next_attempt_number, 'pending'))
   update runs
      set state = '${runTransitions.retry.to}', attempt_id = $next_attempt_id, attempt_number = $next_attempt_number, lease_id = null, lost_starts = 0,
          parked_wait_id = null, checkpoint_id = null,
          output = null, exit_code = null, failure = null, active_ms = $active_ms, queued_at = now(),
          event_seq = event_seq + (select count(*) from appended), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.retry.from)}`,
);

/** The machine never came up: the same attempt is queued again, from its checkpoint if it had one. */
const requeue = statement<EventParams & HolderEnd>(
  "run_requeue",
  `with appended as (${eventInsert} returning 1),
        ${endHolder},
        waits as (update run_waits set suspension = '${suspensionTransitions.resumeLost.to}'
                   where run_id = $run_id and suspension ${inStates(suspensionTransitions.resumeLost.from)})
   update runs
      set state = '${runTransitions.requeue.to}', lease_id = null, lost_starts = lost_starts + 1,
          event_seq = event_seq + (select count(*) from appended), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.requeue.from)}`,
);

/** How the holder's part ends. Without a holder the lease id is null and nothing but the run changes. */
export interface HolderEnding {
  lease: Exclude<LeaseState, "held">;
  mount: Exclude<MountState, "requested" | "mounting" | "mounted">;
}

const holder = (run: LockedRun, ending: HolderEnding): HolderEnd => ({
  lease_id: run.lease_id,
  lease_state: ending.lease,
  mount_state: ending.mount,
});

export const runStart = (tx: Tx, run: LockedRun, attemptId: string) => tx.run(start, { run_id: run.id, attempt_id: attemptId });

export const runRequestCancel = (tx: Tx, run: LockedRun, change: { cancel: CancelRequest; totalMs: number; events: NewRunEvent[] }) =>
  tx.run(requestCancel, { ...eventParams(run, change.events), cancel: json(change.cancel), total_ms: change.totalMs });

export interface Finish {
  outcome: RunOutcome;
  attemptState: "succeeded" | "failed" | "cancelled" | "lost";
  events: NewRunEvent[];
  ending: HolderEnding;
  output?: { value: unknown };
  exitCode?: number | null;
  failure?: object;
  activeMs?: number;
}

export const runFinish = (tx: Tx, run: LockedRun, end: Finish) =>
  tx.one(finish, {
    ...eventParams(run, end.events),
    ...holder(run, end.ending),
    session_id: run.session_id,
    outcome: end.outcome,
    output: end.output ? json(end.output.value) : null,
    exit_code: end.exitCode ?? null,
    failure: end.failure ? json(end.failure) : null,
    active_ms: end.activeMs ?? run.active_ms,
    attempt_id: run.attempt_id,
    attempt_state: end.attemptState,
  });

export interface Retry {
  attemptState: "failed" | "lost";
  events: NewRunEvent[];
  ending: HolderEnding;
  exitCode: number | null;
  failure: object;
  activeMs: number;
  nextAttempt: { id: string; number: number };
}

export const runRetry = (tx: Tx, run: LockedRun & { attempt_id: string }, change: Retry) =>
  tx.run(retry, {
    ...eventParams(run, change.events),
    ...holder(run, change.ending),
    attempt_id: run.attempt_id,
    attempt_state: change.attemptState,
    exit_code: change.exitCode,
    failure: json(change.failure),
    active_ms: change.activeMs,
    next_attempt_id: change.nextAttempt.id,
    next_attempt_number: change.nextAttempt.number,
  });

export const runRequeue = (tx: Tx, run: LockedRun, change: { events: NewRunEvent[]; ending: HolderEnding }) =>
  tx.run(requeue, { ...eventParams(run, change.events), ...holder(run, change.ending) });
