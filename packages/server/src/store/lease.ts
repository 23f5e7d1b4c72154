/**
 * Leases: granted in batches with everything that changes with them, renewed in one statement per worker, ended by whoever ends their subject.
 * What a granted lease carries to its worker is read by lease-content.ts.
 */
import { engineLimits } from "../limits.ts";
import { runTransitions } from "../domain/run.ts";
import { inStates } from "../domain/transitions.ts";
import { suspensionTransitions } from "../domain/wait.ts";
import type { Queryable, Tx } from "./db.ts";
import { type LockedRun, lockedRunColumns } from "./run.ts";
import { statement } from "./statement.ts";

interface GrantParams {
  worker_id: string;
  epoch: number;
  ttl_ms: number;
  run_ids: string[];
  lease_ids: string[];
  mount_ids: string[];
  attempt_ids: string[];
}

/**
 * Open runs become leases. Rows that somebody else works on are left for the next claim (skip locked); a run whose workspace has a live mount after
 * all gets none, because the insert of its mount does nothing. `workspaces` before `runs`: the order of locks. The ids stand as conditions of
 * their own and the gate is compared as an expression: the planner may not know yet how long the queue has become, and would read all of it.
 */
const grantRuns = statement<GrantParams, { lease_id: string; run_id: string }>(
  "lease_grant_runs",
  `with wanted as (select * from unnest($run_ids::uuid[], $lease_ids::uuid[], $mount_ids::uuid[], $attempt_ids::uuid[]) as x (run_id, lease_id, mount_id, attempt_id)),
        picked as (
          select x.run_id, x.lease_id, x.mount_id, coalesce(r.attempt_id, x.attempt_id) as attempt_id, r.attempt_id is null as first_attempt,
                 r.fence + 1 as fence, q.lane, q.milli_cpu, q.memory_mib, q.disk_mib, r.org_id, r.project_id, r.environment_id,
                 w.id as workspace_id, w.fence + 1 as mount_fence, w.current_version_id, t.sandbox_id
            from wanted x
            join run_queue q on q.run_id = x.run_id and q.run_id = any($run_ids::uuid[]) and q.gate || '' = 'open' and q.mount_id is null
            join runs r on r.id = x.run_id and r.id = any($run_ids::uuid[]) and r.state ${inStates(runTransitions.lease.from)}
            join workspaces w on w.id = r.workspace_id
            join deployment_tasks t on t.id = r.deployment_task_id
           where exists (select from workers k where k.id = $worker_id and k.epoch = $epoch and k.state = 'active')
             for no key update of w, r, q skip locked),
        mounted as (
          insert into workspace_mounts (id, org_id, project_id, environment_id, workspace_id, deployment_sandbox_id, base_version_id, worker_id, lease_id,
                                        fence, state, claim_attempt, last_heartbeat_at)
          select mount_id, org_id, project_id, environment_id, workspace_id, sandbox_id, current_version_id, $worker_id, lease_id,
                 mount_fence, 'mounting', 1, now() from picked
          on conflict (workspace_id) where state in ('requested', 'mounting', 'mounted', 'unmounting') do nothing
          returning id),
        given as (select p.* from picked p join mounted m on m.id = p.mount_id),
        leased as (
          insert into leases (id, kind, run_id, attempt_id, worker_id, worker_epoch, fence, lane, state, milli_cpu, memory_mib, disk_mib, deadline)
          select lease_id, 'run', run_id, attempt_id, $worker_id, $epoch, fence, lane, 'held', milli_cpu, memory_mib, disk_mib,
                 now() + $ttl_ms * interval '1 millisecond' from given),
        attempts as (insert into run_attempts (id, run_id, number, state) select attempt_id, run_id, 1, 'pending' from given where first_attempt),
        dequeued as (delete from run_queue q using given g where q.run_id = g.run_id),
        trees as (update workspaces w set fence = g.mount_fence, last_mount_id = g.mount_id, dirty_state = 'dirty', last_activity_at = now(), updated_at = now()
                    from given g where w.id = g.workspace_id),
        resuming as (update run_waits w set suspension = '${suspensionTransitions.beginResume.to}' from given g
                      where w.run_id = g.run_id and w.suspension ${inStates(suspensionTransitions.beginResume.from)}),
        held as (update runs r set state = '${runTransitions.lease.to}', lease_id = g.lease_id, fence = g.fence, attempt_id = g.attempt_id,
                        attempt_number = coalesce(r.attempt_number, 1), updated_at = now()
                   from given g where r.id = g.run_id)
   select lease_id, run_id from given`,
);

/** Queued deployments of a worker's group become build leases. */
const grantBuilds = statement<
  {
    worker_id: string;
    epoch: number;
    ttl_ms: number;
    worker_group: string;
    lease_ids: string[];
    milli_cpu: number;
    memory_mib: number;
    disk_mib: number;
  },
  { lease_id: string; deployment_id: string; version: string; trace_id: string }
>(
  "lease_grant_builds",
  `with picked as (
          select d.id, d.fence + 1 as fence, row_number() over (order by d.created_at, d.id) as n
            from (select d.* from deployments d join environments e on e.id = d.environment_id
                   where d.state = 'queued' and e.worker_group = $worker_group
                     and exists (select from workers k where k.id = $worker_id and k.epoch = $epoch and k.state = 'active')
                   order by d.created_at, d.id limit cardinality($lease_ids::uuid[])
                     for no key update of d skip locked) d),
        given as (select p.*, l.lease_id from picked p join unnest($lease_ids::uuid[]) with ordinality as l (lease_id, n) using (n)),
        leased as (
          insert into leases (id, kind, deployment_id, worker_id, worker_epoch, fence, state, milli_cpu, memory_mib, disk_mib, deadline)
          select lease_id, 'build', id, $worker_id, $epoch, fence, 'held', $milli_cpu, $memory_mib, $disk_mib, now() + $ttl_ms * interval '1 millisecond' from given),
        building as (update deployments d set state = 'building', lease_id = g.lease_id, fence = g.fence, build_attempts = d.build_attempts + 1, build_report_seq = 0,
                            building_at = coalesce(d.building_at, now()), updated_at = now()
                       from given g where d.id = g.id
                  returning d.id, d.version, d.trace_id)
   select g.lease_id, b.id as deployment_id, b.version, b.trace_id from given g join building b using (id)`,
);

export interface HeldRun extends LockedRun {
  lease_state: string;
  /** The deadline has not passed by the database's clock. */
  in_time: boolean;
  lease_attempt_id: string;
  lease_fence: number;
  lane: string | null;
  /** The live mount whose machine it uses. */
  in_mount_id: string | null;
  lease_active_ms: number;
}

const heldColumns = `${lockedRunColumns}, l.state as lease_state, l.deadline > now() as in_time, l.attempt_id as lease_attempt_id, l.fence as lease_fence,
       l.lane, l.in_mount_id, l.active_ms as lease_active_ms`;
const heldSource = `from leases l join runs r on r.id = l.run_id`;
const heldWhere = "l.id = $lease_id and l.run_id = $run_id and l.worker_id = $worker_id and l.fence = $fence";

interface HeldParams {
  lease_id: string;
  run_id: string;
  worker_id: string;
  fence: number;
}

/** Locks the run only: for reports and the start of an attempt. */
const heldRun = statement<HeldParams, HeldRun & { attempt_state: string; report_seq: number }>(
  "lease_held_run",
  `select ${heldColumns}, a.state as attempt_state, a.report_seq ${heldSource} join run_attempts a on a.id = l.attempt_id where ${heldWhere} for no key update of r`,
);

export interface EndingRun extends HeldRun {
  attempt_state: string;
  report_seq: number;
  session_state: string;
  session_expires_at: string | null;
  org_id: string;
  head_version_id: string | null;
  workspace_state: string;
  mount_id: string | null;
  base_version_id: string | null;
  /** A log stream ends with an unfinished line. */
  log_tail_open: boolean;
}

/** Locks session, workspace and run: for what ends an attempt. */
const endingRun = statement<HeldParams, EndingRun>(
  "lease_ending_run",
  `select ${heldColumns}, r.org_id, a.state as attempt_state, a.report_seq, s.state as session_state, s.expires_at as session_expires_at,
          w.current_version_id as head_version_id, w.state as workspace_state, m.id as mount_id, m.base_version_id,
          exists (select from run_log_streams t where t.run_id = r.id and t.tail > 0) as log_tail_open
     ${heldSource}
     join run_attempts a on a.id = l.attempt_id
     join sessions s on s.id = r.session_id
     join workspaces w on w.id = r.workspace_id
     left join workspace_mounts m on m.workspace_id = w.id and (m.lease_id = l.id or m.id = l.in_mount_id) and m.state in ('requested', 'mounting', 'mounted', 'unmounting')
    where ${heldWhere}
      for no key update of s, w, r`,
);

/** For whoever ends a lease without being its holder. */
const endingRunByLease = statement<{ lease_id: string }, EndingRun>(
  "lease_ending_run_by_lease",
  `select ${heldColumns}, r.org_id, a.state as attempt_state, a.report_seq, s.state as session_state, s.expires_at as session_expires_at,
          w.current_version_id as head_version_id, w.state as workspace_state, m.id as mount_id, m.base_version_id,
          exists (select from run_log_streams t where t.run_id = r.id and t.tail > 0) as log_tail_open
     ${heldSource}
     join run_attempts a on a.id = l.attempt_id
     join sessions s on s.id = r.session_id
     join workspaces w on w.id = r.workspace_id
     left join workspace_mounts m on m.workspace_id = w.id and (m.lease_id = l.id or m.id = l.in_mount_id) and m.state in ('requested', 'mounting', 'mounted', 'unmounting')
    where l.id = $lease_id
      for no key update of s, w, r`,
);

/** A lease that is not of a run (a build, a mount of its own). */
export interface LeaseRow {
  id: string;
  kind: "run" | "build" | "mount";
  run_id: string | null;
  deployment_id: string | null;
  mount_id: string | null;
  fence: number;
  state: string;
  in_time: boolean;
  org_id: string;
  environment_id: string;
}

const get = statement<{ lease_id: string; worker_id: string; fence: number }, LeaseRow>(
  "lease_get",
  `select l.id, l.kind, l.run_id, l.deployment_id, l.mount_id, l.fence, l.state, l.deadline > now() as in_time,
          coalesce(r.org_id, d.org_id, m.org_id) as org_id, coalesce(r.environment_id, d.environment_id, m.environment_id) as environment_id
     from leases l
     left join runs r on r.id = l.run_id
     left join deployments d on d.id = l.deployment_id
     left join workspace_mounts m on m.id = l.mount_id
    where l.id = $lease_id and l.worker_id = $worker_id and l.fence = $fence`,
);

export interface RenewedLease {
  id: string;
  run_id: string | null;
}

/** Only what is held, in time and of this epoch is renewed; the rest is stale. Rows are taken in id order. */
const renew = statement<
  { worker_id: string; epoch: number; ttl_ms: number; lease_ids: string[]; fences: number[]; active: (number | null)[] },
  RenewedLease
>(
  "lease_renew",
  `with mine as (select l.id, x.active_ms
                   from unnest($lease_ids::uuid[], $fences::bigint[], $active::bigint[]) as x (id, fence, active_ms)
                   join leases l on l.id = x.id and l.fence = x.fence and l.worker_id = $worker_id and l.worker_epoch = $epoch
                  where l.state = 'held' and l.deadline > now()
                  order by l.id for no key update of l)
   update leases l set deadline = now() + $ttl_ms * interval '1 millisecond', active_ms = greatest(l.active_ms, coalesce(mine.active_ms, 0))
     from mine where l.id = mine.id
   returning l.id, l.run_id`,
);

/** Leases of a worker that a claim did not name: their answer was lost on the way. */
const undelivered = statement<{ worker_id: string; epoch: number; known: string[] }, { id: string; kind: "run" | "build" | "mount" }>(
  "lease_undelivered",
  `select id, kind from leases
    where worker_id = $worker_id and state = 'held' and worker_epoch = $epoch and deadline > now() and id <> all($known::uuid[]) limit ${engineLimits.grantBatchMax}`,
);

/** At the start of a worker's process: what it still has machines for goes on under the new epoch. */
const adopt = statement<
  { worker_id: string; epoch: number; ttl_ms: number; lease_ids: string[]; fences: number[] },
  { id: string; kind: "run" | "build" | "mount" }
>(
  "lease_adopt",
  `update leases l set worker_epoch = $epoch, deadline = now() + $ttl_ms * interval '1 millisecond'
     from unnest($lease_ids::uuid[], $fences::bigint[]) as x (id, fence)
    where l.id = x.id and l.fence = x.fence and l.worker_id = $worker_id and l.state = 'held' and l.deadline > now()
   returning l.id, l.kind`,
);

const ofOlderEpochs = statement<{ worker_id: string; epoch: number; row_limit: number }, { id: string; kind: "run" | "build" | "mount" }>(
  "lease_of_older_epochs",
  "select id, kind from leases where worker_id = $worker_id and state = 'held' and worker_epoch < $epoch order by id limit $row_limit",
);

const overdue = statement<{ row_limit: number }, { id: string; kind: "run" | "build" | "mount" }>(
  "lease_overdue",
  "select id, kind from leases where state = 'held' and deadline <= now() order by deadline limit $row_limit",
);

export interface DirectiveRow {
  id: string;
  state: "held" | "released" | "expired" | "fenced";
  cancel: { reason: string; force?: true } | null;
  unmount: boolean;
}

/** What is wanted of a holder; a lease that was taken away while its holder may not know it yet is part of the answer. */
const directives = statement<{ worker_id: string; lease_ids: string[] }, DirectiveRow>(
  "lease_directives",
  `select l.id, l.state, case when r.state = 'cancelling' then r.cancel end as cancel,
          case when l.run_id is null
               then exists (select from workspace_mounts m where m.id = l.mount_id and m.lease_id = l.id and m.stop_requested_at is not null
                               and m.state in ('mounting', 'mounted', 'unmounting')
                               and not exists (select from leases u where u.in_mount_id = m.id and u.state = 'held'))
               else exists (select from workspace_mounts m where m.workspace_id = r.workspace_id and m.lease_id = l.id and m.stop_requested_at is not null
                               and m.state in ('mounting', 'mounted')) end as unmount
     from leases l left join runs r on r.id = l.run_id
    where l.id = any($lease_ids::uuid[]) and l.worker_id = $worker_id`,
);

/** Of one worker: what it holds, and what it lost within the last renewals. Indexes leases_worker_held and leases_worker_lost. */
const ofWorker = statement<{ worker_id: string }, { id: string; held: boolean }>(
  "lease_of_worker",
  `select id, true as held from leases where worker_id = $worker_id and state = 'held'
   union all
   select id, false from leases where worker_id = $worker_id and state in ('expired', 'fenced') and ended_at > now() - interval '1 minute'`,
);

/** Who has a lease, and the lane that is freed with it. */
const holder = statement<{ lease_id: string }, { worker_id: string; lane: string | null }>(
  "lease_holder",
  "select worker_id, lane from leases where id = $lease_id",
);

const nextDeadline = statement<Record<never, never>, { due_ms: number }>(
  "lease_next_deadline",
  "select (extract(epoch from (deadline - now())) * 1000)::float8 as due_ms from leases where state = 'held' order by deadline limit 1",
);

const prune = statement<{ older_ms: number; row_limit: number }>(
  "lease_prune",
  `delete from leases where id in (select id from leases where state <> 'held' and ended_at < now() - $older_ms * interval '1 millisecond' order by ended_at limit $row_limit)`,
);

export interface WorkerSubject {
  workerId: string;
  epoch: number;
}

export const leaseGrantRuns = (
  tx: Tx,
  worker: WorkerSubject,
  grants: { runId: string; leaseId: string; mountId: string; attemptId: string }[],
  ttlMs: number,
) =>
  tx.all(grantRuns, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    ttl_ms: ttlMs,
    run_ids: grants.map((grant) => grant.runId),
    lease_ids: grants.map((grant) => grant.leaseId),
    mount_ids: grants.map((grant) => grant.mountId),
    attempt_ids: grants.map((grant) => grant.attemptId),
  });

export const leaseGrantBuilds = (
  tx: Tx,
  worker: WorkerSubject & { group: string },
  leaseIds: string[],
  options: { ttlMs: number; milliCpu: number; memoryMib: number; diskMib: number },
) =>
  tx.all(grantBuilds, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    worker_group: worker.group,
    lease_ids: leaseIds,
    ttl_ms: options.ttlMs,
    milli_cpu: options.milliCpu,
    memory_mib: options.memoryMib,
    disk_mib: options.diskMib,
  });

export const leaseHeldRun = (tx: Tx, params: HeldParams) => tx.one(heldRun, params);
export const leaseEndingRun = (tx: Tx, params: HeldParams) => tx.one(endingRun, params);
export const leaseEndingRunByLease = (tx: Tx, leaseId: string) => tx.one(endingRunByLease, { lease_id: leaseId });
export const leaseGet = (on: Queryable, params: { lease_id: string; worker_id: string; fence: number }) => on.one(get, params);
export const leaseUndelivered = (on: Queryable, worker: WorkerSubject, known: string[]) =>
  on.all(undelivered, { worker_id: worker.workerId, epoch: worker.epoch, known });

export interface Renewal {
  leaseId: string;
  fence: number;
  activeMs: number | null;
}

export const leaseRenew = (on: Queryable, worker: WorkerSubject, renewals: Renewal[], ttlMs: number) =>
  on.all(renew, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    ttl_ms: ttlMs,
    lease_ids: renewals.map((item) => item.leaseId),
    fences: renewals.map((item) => item.fence),
    active: renewals.map((item) => item.activeMs),
  });

export const leaseAdopt = (tx: Tx, worker: WorkerSubject, held: { lease_id: string; fence: number }[], ttlMs: number) =>
  tx.all(adopt, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    ttl_ms: ttlMs,
    lease_ids: held.map((item) => item.lease_id),
    fences: held.map((item) => item.fence),
  });

export const leaseOfOlderEpochs = (on: Queryable, worker: WorkerSubject, limit: number) =>
  on.all(ofOlderEpochs, { worker_id: worker.workerId, epoch: worker.epoch, row_limit: limit });
export const leaseDirectives = (on: Queryable, workerId: string, leaseIds: string[]) =>
  on.all(directives, { worker_id: workerId, lease_ids: leaseIds });
export const leaseOfWorker = (on: Queryable, workerId: string) => on.all(ofWorker, { worker_id: workerId });
export const leaseHolder = (tx: Tx, leaseId: string) => tx.one(holder, { lease_id: leaseId });
export const leaseOverdue = (on: Queryable, limit: number) => on.all(overdue, { row_limit: limit });
export const leaseNextDeadlineMs = async (on: Queryable) => (await on.one(nextDeadline, {}))?.due_ms;
export const leasePrune = (on: Queryable, olderMs: number, limit: number) => on.run(prune, { older_ms: olderMs, row_limit: limit });
