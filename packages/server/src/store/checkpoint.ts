/**
 * Checkpoints of parked runs (domain/checkpoint.ts). The row is written by the transaction that parks and read with the lease that resumes; all writes run
 * under the lock of the run. Artifacts are inserted before the row that refers to them.
 */
import { checkpointTransitions, type CheckpointPolicy, type CheckpointState } from "../domain/checkpoint.ts";
import { leaseTransitions } from "../domain/lease.ts";
import { runTransitions } from "../domain/run.ts";
import { inStates } from "../domain/transitions.ts";
import { suspensionTransitions } from "../domain/wait.ts";
import { liveMountStates } from "../domain/workspace.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import type { ArtifactColumns } from "./lease-content.ts";
import type { LockedRun } from "./run.ts";
import { statement } from "./statement.ts";

interface ParkParams {
  run_id: string;
  checkpoint_id: string;
  wait_id: string;
  lease_id: string;
  worker_id: string;
  compatibility: string;
  requires: string;
  resume_state: string;
  template: string;
  memory: string;
  device: string;
  scratch: string;
  workspace_version_id: string | null;
  key_id: string;
  stored_bytes: number;
  pause_ms: number;
  active_ms: number;
}

/**
 * The run's part of the cut: checkpoint ready, lease and mount ended, the run waits. It is kept for as long as the run waits or is on its way back, however
 * long that is; whatever ends that ends the checkpoint in the same statement.
 */
const park = statement<ParkParams, { workspace_wanted: boolean }>(
  "checkpoint_park",
  `with saved as (
          insert into checkpoints (id, environment_id, run_id, attempt_id, wait_id, state, worker_id, compatibility, requires, resume_state, template_artifact_id,
                                   memory_artifact_id, device_artifact_id, scratch_artifact_id, workspace_version_id, key_id, stored_bytes, pause_ms, ready_at)
          select $checkpoint_id, r.environment_id, r.id, r.attempt_id, w.id, 'ready', $worker_id, $compatibility::jsonb, $requires, $resume_state::jsonb,
                 $template, $memory, $device, $scratch, $workspace_version_id::uuid, $key_id, $stored_bytes, $pause_ms, now()
            from runs r join run_waits w on w.id = $wait_id where r.id = $run_id),
        lease as (update leases set state = '${leaseTransitions.release.to}', ended_at = now() where id = $lease_id and state ${inStates(leaseTransitions.release.from)}
                  returning in_mount_id),
        mount as (update workspace_mounts set state = 'unmounted', updated_at = now()
                   where workspace_id = (select workspace_id from runs where id = $run_id) and state ${inStates(liveMountStates)}
                     and (lease_id = $lease_id or id = (select in_mount_id from lease))
                  returning lease_id),
        host as (update leases h set state = '${leaseTransitions.release.to}', ended_at = now() from mount
                  where h.id = mount.lease_id and h.id <> $lease_id and h.state ${inStates(leaseTransitions.release.from)})
   update runs
      set state = '${runTransitions.park.to}', parked_wait_id = $wait_id, checkpoint_id = $checkpoint_id, lease_id = null, active_ms = $active_ms, lost_starts = 0,
          updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.park.from)}
   returning exists (select from run_queue q where q.workspace_id = runs.workspace_id and q.gate = 'workspace') as workspace_wanted`,
);

export interface CheckpointRow {
  id: string;
  run_id: string;
  attempt_id: string;
  wait_id: string;
  call_id: number;
  state: CheckpointState;
  compatibility: Record<string, unknown>;
  resume_state: Record<string, unknown>;
  workspace_version_id: string | null;
  restore_failures: number;
  policy: CheckpointPolicy;
  template: ArtifactColumns | null;
  memory: ArtifactColumns | null;
  device: ArtifactColumns | null;
  scratch: ArtifactColumns | null;
}

const artifact = (alias: string) =>
  `case when ${alias}.id is not null then json_build_object('artifact_id', ${alias}.id, 'manifest_key', ${alias}.manifest_key, 'digest', ${alias}.digest,
          'length_bytes', ${alias}.length_bytes) end`;

const get = statement<{ id: string }, CheckpointRow>(
  "checkpoint_get",
  `select c.id, c.run_id, c.attempt_id, c.wait_id, w.call_id, c.state, c.compatibility, c.resume_state, c.workspace_version_id, c.restore_failures,
          d.checkpoint_policy as policy, ${artifact("t")} as template, ${artifact("m")} as memory, ${artifact("v")} as device, ${artifact("s")} as scratch
     from checkpoints c
     join run_waits w on w.id = c.wait_id
     join runs r on r.id = c.run_id
     join deployment_tasks d on d.id = r.deployment_task_id
     left join artifacts t on t.id = c.template_artifact_id
     left join artifacts m on m.id = c.memory_artifact_id
     left join artifacts v on v.id = c.device_artifact_id
     left join artifacts s on s.id = c.scratch_artifact_id
    where c.id = $id`,
);

/** The program is about to go on. What is still open of the run's waits is live again, with a time of its own to stay so. */
const resumed = statement<{ run_id: string; checkpoint_id: string; live_ms: number }>(
  "checkpoint_resumed",
  `with used as (update checkpoints set state = '${checkpointTransitions.use.to}', ended_at = now()
                  where id = $checkpoint_id and state ${inStates(checkpointTransitions.use.from)}),
        waits as (update run_waits
                     set suspension = case when condition = 'open' then 'live' else '${suspensionTransitions.resumed.to}' end,
                         park_after = case when condition = 'open' then now() + $live_ms * interval '1 millisecond' end
                   where run_id = $run_id and suspension in ('parked', 'resuming'))
   update runs set state = '${runTransitions.start.to}', parked_wait_id = null, checkpoint_id = null, lost_starts = 0, updated_at = now()
    where id = $run_id and checkpoint_id = $checkpoint_id and state ${inStates(runTransitions.start.from)}`,
);

const failed = statement<{ id: string }>(
  "checkpoint_restore_failed",
  "update checkpoints set restore_failures = restore_failures + 1 where id = $id and state = 'ready'",
);

const spoil = statement<{ id: string }>(
  "checkpoint_spoil",
  `update checkpoints set state = '${checkpointTransitions.spoil.to}', ended_at = now() where id = $id and state ${inStates(checkpointTransitions.spoil.from)}`,
);

/** A worker of the run's group that was heard of lately and could restore it, whatever else it has to do. */
const restorer = `select from workers k where k.worker_group = q.worker_group and k.state = 'active' and k.restores = q.requires
                     and k.last_seen_at > now() - $silent_ms * interval '1 millisecond'`;

/** Runs that have wanted to resume for so long and that nobody could restore, oldest first: those that wait for room do not stand before them. */
const overdue = statement<{ older_ms: number; silent_ms: number; row_limit: number }, { run_id: string; environment_id: string }>(
  "checkpoint_overdue_resumes",
  `select q.run_id, q.environment_id from run_queue q
    where q.resume and q.ready_at < now() - $older_ms * interval '1 millisecond' and not exists (${restorer}) order by q.ready_at limit $row_limit`,
);

const restorable = statement<{ run_id: string; silent_ms: number }, { restorable: boolean; requires: string | null }>(
  "checkpoint_restorable",
  `select q.requires, exists (${restorer}) as restorable
     from run_queue q where q.run_id = $run_id and q.resume`,
);

/** A workspace of its own that begins with the version of the checkpoint. The old one's content is shared: nothing is copied but rows. */
const fork = statement<{ run_id: string; checkpoint_id: string; workspace_id: string; version_id: string }>(
  "checkpoint_fork",
  `with found as (select r.id as run_id, r.session_id, r.workspace_id, c.workspace_version_id from runs r join checkpoints c on c.id = $checkpoint_id where r.id = $run_id),
        made as (insert into workspaces (id, org_id, project_id, environment_id, deployment_sandbox_id, sandbox_id, sandbox_fingerprint, current_version_id, state,
                                         metadata, tags)
                 select $workspace_id, w.org_id, w.project_id, w.environment_id, w.deployment_sandbox_id, w.sandbox_id, w.sandbox_fingerprint, $version_id, 'active',
                        w.metadata, w.tags
                   from workspaces w join found f on f.workspace_id = w.id),
        begun as (insert into workspace_versions (id, environment_id, workspace_id, kind, state, artifact_id, content_digest, size_bytes, entry_count, run_id,
                                                  promoted_at)
                  select $version_id, v.environment_id, $workspace_id, 'system', 'ready', v.artifact_id, v.content_digest, v.size_bytes, v.entry_count, v.run_id, now()
                    from workspace_versions v join found f on f.workspace_id = v.workspace_id and f.workspace_version_id = v.id),
        thread as (update sessions s set workspace_id = $workspace_id, updated_at = now() from found f where s.id = f.session_id),
        saved as (update checkpoints set workspace_version_id = $version_id where id = $checkpoint_id)
   update runs set workspace_id = $workspace_id where id = $run_id`,
);

export type NewCheckpoint = Omit<ParkParams, "compatibility" | "resume_state" | "run_id"> & {
  compatibility: object;
  resume_state: object;
};

export const checkpointPark = (tx: Tx, run: LockedRun, row: NewCheckpoint) =>
  tx.one(park, { ...row, run_id: run.id, compatibility: json(row.compatibility), resume_state: json(row.resume_state) });
export const checkpointGet = (on: Queryable, id: string) => on.one(get, { id });
export const checkpointResumed = (tx: Tx, run: LockedRun, checkpointId: string, liveMs: number) =>
  tx.run(resumed, { run_id: run.id, checkpoint_id: checkpointId, live_ms: liveMs });
export const checkpointFork = (tx: Tx, row: { run_id: string; checkpoint_id: string; workspace_id: string; version_id: string }) =>
  tx.run(fork, row);
export const checkpointRestoreFailed = (tx: Tx, id: string) => tx.run(failed, { id });
export const checkpointSpoil = (tx: Tx, id: string) => tx.run(spoil, { id });
export const checkpointOverdue = (on: Queryable, times: { olderMs: number; silentMs: number }, limit: number) =>
  on.all(overdue, { older_ms: times.olderMs, silent_ms: times.silentMs, row_limit: limit });
export const checkpointRestorable = (on: Queryable, runId: string, silentMs: number) =>
  on.one(restorable, { run_id: runId, silent_ms: silentMs });
