/**
 * Runs in the machines of live mounts: such a run was let through the gate of its workspace for one mount (run-queue.ts), and only the worker that holds
 * it may have the run. Its lease counts nothing of the worker's capacity; the mount's does.
 */
import { runTransitions } from "../domain/run.ts";
import { inStates } from "../domain/transitions.ts";
import type { Queryable, Tx } from "./db.ts";
import type { WorkerSubject } from "./lease.ts";
import { statement } from "./statement.ts";

/** Index run_queue_mount. */
const waiting = statement<{ worker_group: string; worker_ids: string[]; row_limit: number }, { run_id: string; worker_id: string }>(
  "mount_run_waiting",
  `select q.run_id, m.worker_id
     from run_queue q join workspace_mounts m on m.id = q.mount_id and m.state = 'mounted' and m.stop_requested_at is null
    where q.worker_group = $worker_group and q.mount_id is not null and q.gate = 'open' and m.worker_id = any($worker_ids::uuid[])
    order by q.ready_at limit $row_limit`,
);

interface GrantParams {
  worker_id: string;
  epoch: number;
  ttl_ms: number;
  run_ids: string[];
  lease_ids: string[];
  attempt_ids: string[];
}

/** As lease_grant_runs, without a mount of its own. `workspaces` before `runs` before the mount: the order of locks. */
const grant = statement<GrantParams, { lease_id: string; run_id: string }>(
  "mount_run_grant",
  `with wanted as (select * from unnest($run_ids::uuid[], $lease_ids::uuid[], $attempt_ids::uuid[]) as x (run_id, lease_id, attempt_id)),
        picked as (
          select x.run_id, x.lease_id, coalesce(r.attempt_id, x.attempt_id) as attempt_id, r.attempt_id is null as first_attempt, r.fence + 1 as fence,
                 q.lane, w.id as workspace_id, m.id as mount_id
            from wanted x
            join run_queue q on q.run_id = x.run_id and q.run_id = any($run_ids::uuid[]) and q.gate || '' = 'open'
            join runs r on r.id = x.run_id and r.id = any($run_ids::uuid[]) and r.state ${inStates(runTransitions.lease.from)}
            join workspaces w on w.id = r.workspace_id
            join workspace_mounts m on m.id = q.mount_id and m.worker_id = $worker_id and m.state = 'mounted' and m.stop_requested_at is null
            join leases h on h.id = m.lease_id and h.kind = 'mount' and h.state = 'held' and h.worker_epoch = $epoch and h.deadline > now()
           where exists (select from workers k where k.id = $worker_id and k.epoch = $epoch and k.state = 'active')
             and not exists (select from leases u where u.in_mount_id = m.id and u.state = 'held')
             for no key update of w, r, q, m skip locked),
        leased as (
          insert into leases (id, kind, run_id, attempt_id, in_mount_id, worker_id, worker_epoch, fence, lane, state, milli_cpu, memory_mib, disk_mib, deadline)
          select lease_id, 'run', run_id, attempt_id, mount_id, $worker_id, $epoch, fence, lane, 'held', 0, 0, 0,
                 now() + $ttl_ms * interval '1 millisecond' from picked),
        attempts as (insert into run_attempts (id, run_id, number, state) select attempt_id, run_id, 1, 'pending' from picked where first_attempt),
        dequeued as (delete from run_queue q using picked p where q.run_id = p.run_id),
        trees as (update workspaces w set dirty_state = 'dirty', last_activity_at = now(), updated_at = now() from picked p where w.id = p.workspace_id),
        held as (update runs r set state = '${runTransitions.lease.to}', lease_id = p.lease_id, fence = p.fence, attempt_id = p.attempt_id,
                        attempt_number = coalesce(r.attempt_number, 1), updated_at = now()
                   from picked p where r.id = p.run_id)
   select lease_id, run_id from picked`,
);

/** The tree in the machine was committed: what comes next is written on this version. */
const rebase = statement<{ id: string; version_id: string }>(
  "mount_run_rebase",
  "update workspace_mounts set base_version_id = $version_id, updated_at = now() where id = $id",
);

export const mountRunWaiting = (on: Queryable, group: string, workerIds: string[], limit: number) =>
  on.all(waiting, { worker_group: group, worker_ids: workerIds, row_limit: limit });
export const mountRunGrant = (
  tx: Tx,
  worker: WorkerSubject,
  grants: { runId: string; leaseId: string; attemptId: string }[],
  ttlMs: number,
) =>
  tx.all(grant, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    ttl_ms: ttlMs,
    run_ids: grants.map((one) => one.runId),
    lease_ids: grants.map((one) => one.leaseId),
    attempt_ids: grants.map((one) => one.attemptId),
  });
export const mountRunRebase = (tx: Tx, id: string, versionId: string) => tx.run(rebase, { id, version_id: versionId });
