/**
 * Runs that want a machine (domain/queue.ts). A row exists exactly while its run is queued. Who changes a gate holds the advisory lock of the lane, or
 * the row of the workspace; who takes a row out holds its run. Gates are never changed while a run is locked, so nobody waits in a circle.
 */
import type { Gate } from "../domain/queue.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface ReadyRun {
  run_id: string;
  environment_id: string;
  worker_group: string;
}

/** Puts a queued run into the queue: what it needs follows from its task's sandbox. */
const enqueue = statement<{
  run_id: string;
  gate: Gate;
  lane: string | null;
  delay_ms: number;
  resume: boolean;
  checkpoint_id: string | null;
  workspace_disk_mib: number;
}>(
  "run_queue_insert",
  `insert into run_queue (run_id, environment_id, worker_group, workspace_id, lane, lane_limit, gate, resume, priority, ready_at, expires_at,
                          milli_cpu, memory_mib, disk_mib, image_ref, checkpoint_id, requires)
   select r.id, r.environment_id, e.worker_group, r.workspace_id, $lane, r.concurrency_limit, $gate, $resume, r.priority,
          now() + $delay_ms * interval '1 millisecond',
          case when r.started_at is null and r.ttl_ms is not null then r.queued_at + r.ttl_ms * interval '1 millisecond' end,
          b.milli_cpu, b.memory_mib, coalesce(b.disk_mib, $workspace_disk_mib), b.image_ref, $checkpoint_id,
          (select k.requires from checkpoints k where k.id = $checkpoint_id)
     from runs r
     join environments e on e.id = r.environment_id
     join deployment_tasks t on t.id = r.deployment_task_id
     join deployment_sandboxes b on b.id = t.sandbox_id
    where r.id = $run_id`,
);

/**
 * The lane is locked. A run that came with a higher rank than one at the open gate takes its place: the lower one steps back first (unless it is being
 * claimed right now), and only then is counted what is free.
 */
const laneStepBack = statement<{ lane: string }>(
  "run_queue_lane_step_back",
  `with ranked as (select run_id, gate, row_number() over (order by resume desc, priority desc, ready_at, run_id) as rank
                     from run_queue where lane = $lane and gate in ('open', 'lane')),
        behind as (select q.run_id from run_queue q join ranked using (run_id)
                    where q.gate = 'open' and ranked.rank > (select count(*) from ranked where gate = 'open')
                      for no key update of q skip locked)
   update run_queue q set gate = 'lane' from behind where q.run_id = behind.run_id and q.gate = 'open'`,
);

const laneAdmit = statement<{ lane: string }, ReadyRun>(
  "run_queue_lane_admit",
  `with used as (select (select count(*) from leases where lane = $lane and state = 'held')
                      + (select count(*) from run_queue where lane = $lane and gate = 'open') as count),
        next as (select run_id from (select run_id, lane_limit, row_number() over (order by resume desc, priority desc, ready_at, run_id) as rank
                                       from run_queue where lane = $lane and gate = 'lane') waiting, used
                  where used.count + rank <= waiting.lane_limit)
   update run_queue q set gate = 'open' from next where q.run_id = next.run_id and q.gate = 'lane'
   returning q.run_id, q.environment_id, q.worker_group`,
);

/**
 * The workspace is locked. Its first run passes when nobody has the workspace, or when the machine that has it can be used: a mount of its own that
 * stays, made for the same sandbox of the same deployment (image, shape, network, task tree), with no other run in it. A run that resumes brings
 * its own machine.
 */
const workspaceAdmit = statement<{ workspace_id: string }, ReadyRun & { lane: string | null; gate: Gate }>(
  "run_queue_workspace_admit",
  `update run_queue q set gate = case when q.lane is null then 'open' else 'lane' end, mount_id = next.mount_id
     from (select c.run_id, m.id as mount_id, m.id is null
                  or (m.state = 'mounted' and m.stop_requested_at is null and c.checkpoint_id is null
                      and exists (select from leases h where h.id = m.lease_id and h.kind = 'mount' and h.state = 'held')
                      and not exists (select from leases u where u.in_mount_id = m.id and u.state = 'held')
                      and exists (select from runs r join deployment_tasks t on t.id = r.deployment_task_id
                                   where r.id = c.run_id and t.sandbox_id = m.deployment_sandbox_id)) as may
             from (select run_id, checkpoint_id from run_queue where workspace_id = $workspace_id and gate = 'workspace'
                    order by resume desc, priority desc, ready_at, run_id limit 1) c
             left join workspace_mounts m on m.workspace_id = $workspace_id and m.state in ('requested', 'mounting', 'mounted', 'unmounting')) next
    where q.run_id = next.run_id and q.gate = 'workspace' and next.may
      and not exists (select from run_queue o where o.workspace_id = $workspace_id and o.gate in ('lane', 'open'))
   returning q.run_id, q.environment_id, q.worker_group, q.lane, q.gate`,
);

/** The workspace is locked. A run that was to use a mount which goes, or has gone, stands at the gate of the workspace again. */
const unpin = statement<{ workspace_id: string }>(
  "run_queue_unpin",
  `update run_queue q set gate = 'workspace', mount_id = null
    where q.workspace_id = $workspace_id and q.gate in ('lane', 'open') and q.mount_id is not null
      and not exists (select from workspace_mounts m where m.id = q.mount_id and m.state = 'mounted' and m.stop_requested_at is null)`,
);

/** Runs that passed the gate of a workspace which has a live mount: back to that gate. */
const stepBack = statement<{ run_ids: string[] }>(
  "run_queue_step_back",
  `update run_queue q set gate = 'workspace'
     from (select run_id from run_queue o
            where run_id = any($run_ids::uuid[]) and gate = 'open' and mount_id is null
              and exists (select from workspace_mounts m where m.workspace_id = o.workspace_id and m.state in ('requested', 'mounting', 'mounted', 'unmounting'))
              for no key update skip locked) busy
    where q.run_id = busy.run_id`,
);

/** Runs whose time has come go on to the gate of their workspace. */
const undelay = statement<{ row_limit: number }, { workspace_id: string }>(
  "run_queue_undelay",
  `update run_queue q set gate = 'workspace'
     from (select run_id from run_queue where gate = 'delayed' and ready_at <= now() order by ready_at limit $row_limit for no key update skip locked) due
    where q.run_id = due.run_id
   returning q.workspace_id`,
);

const nextDelay = statement<Record<never, never>, { due_ms: number }>(
  "run_queue_next_delay",
  "select (extract(epoch from (ready_at - now())) * 1000)::float8 as due_ms from run_queue where gate = 'delayed' order by ready_at limit 1",
);

/** What waits at a gate that might be passed; a page after a cursor, so that every gate is looked at in turn. */
const waitingLanes = statement<{ after: string; row_limit: number }, { lane: string }>(
  "run_queue_waiting_lanes",
  "select distinct lane from run_queue where gate = 'lane' and lane > $after order by lane limit $row_limit",
);
const waitingWorkspaces = statement<{ after: string; row_limit: number }, { workspace_id: string }>(
  "run_queue_waiting_workspaces",
  `select workspace_id from (
     (select distinct workspace_id from run_queue where gate = 'workspace' and workspace_id > $after::uuid order by workspace_id limit $row_limit)
     union
     (select distinct workspace_id from run_queue where mount_id is not null and workspace_id > $after::uuid order by workspace_id limit $row_limit)) w
    order by workspace_id limit $row_limit`,
);

const entry = statement<{ run_id: string }, { lane: string | null; expired: boolean }>(
  "run_queue_get",
  "select lane, coalesce(expires_at <= now(), false) as expired from run_queue where run_id = $run_id",
);

const expired = statement<{ row_limit: number }, { run_id: string; environment_id: string }>(
  "run_queue_expired",
  "select run_id, environment_id from run_queue where expires_at is not null and expires_at <= now() order by expires_at limit $row_limit",
);
const nextTtl = statement<Record<never, never>, { due_ms: number }>(
  "run_queue_next_ttl",
  "select (extract(epoch from (expires_at - now())) * 1000)::float8 as due_ms from run_queue where expires_at is not null order by expires_at limit 1",
);

export interface Enqueue {
  runId: string;
  gate: Gate;
  lane: string | null;
  delayMs: number;
  resume: boolean;
  checkpointId: string | null;
  workspaceDiskMib: number;
}

export const runQueueInsert = (tx: Tx, entry: Enqueue) =>
  tx.run(enqueue, {
    run_id: entry.runId,
    gate: entry.gate,
    lane: entry.lane,
    delay_ms: entry.delayMs,
    resume: entry.resume,
    checkpoint_id: entry.checkpointId,
    workspace_disk_mib: entry.workspaceDiskMib,
  });

export async function runQueueLaneAdmit(tx: Tx, lane: string): Promise<ReadyRun[]> {
  await tx.run(laneStepBack, { lane });
  return tx.all(laneAdmit, { lane });
}

export const runQueueWorkspaceAdmit = (tx: Tx, workspaceId: string) => tx.one(workspaceAdmit, { workspace_id: workspaceId });
export const runQueueUnpin = (tx: Tx, workspaceId: string) => tx.run(unpin, { workspace_id: workspaceId });
export const runQueueStepBack = (tx: Tx, runIds: string[]) => tx.run(stepBack, { run_ids: runIds });
export const runQueueUndelay = (on: Queryable, limit: number) => on.all(undelay, { row_limit: limit });
export const runQueueNextDelayMs = async (on: Queryable) => (await on.one(nextDelay, {}))?.due_ms;
export const runQueueWaitingLanes = (on: Queryable, after: string, limit: number) => on.all(waitingLanes, { after, row_limit: limit });
export const runQueueWaitingWorkspaces = (on: Queryable, after: string, limit: number) =>
  on.all(waitingWorkspaces, { after, row_limit: limit });
export const runQueueEntry = (tx: Tx, runId: string) => tx.one(entry, { run_id: runId });
export const runQueueExpired = (on: Queryable, limit: number) => on.all(expired, { row_limit: limit });
export const runQueueNextTtlMs = async (on: Queryable) => (await on.one(nextTtl, {}))?.due_ms;
