/** Mounts of workspaces: rows, leases of mounts of their own, and what such a lease carries. The workspace is locked before its mount. */
import { inStates } from "../domain/transitions.ts";
import { liveMountStates, type MountState, mountTransitions } from "../domain/workspace.ts";
import type { Queryable, Tx } from "./db.ts";
import type { ArtifactColumns } from "./lease-content.ts";
import type { WorkerSubject } from "./lease.ts";
import { statement } from "./statement.ts";

export interface MountRow {
  id: string;
  project_id: string;
  environment_id: string;
  workspace_id: string;
  deployment_sandbox_id: string;
  base_version_id: string | null;
  worker_id: string | null;
  lease_id: string | null;
  state: MountState;
  claim_attempt: number;
  fence: number;
  dirty_generation: number;
  reservation_expires_at: string | null;
  last_heartbeat_at: string | null;
  created_at: string;
  updated_at: string;
}

const columns = `m.id, m.project_id, m.environment_id, m.workspace_id, m.deployment_sandbox_id, m.base_version_id, m.worker_id, m.lease_id, m.state, m.claim_attempt,
       m.fence, m.dirty_generation, m.reservation_expires_at, m.last_heartbeat_at, m.created_at, m.updated_at`;

/** A run is in its machine: it goes when the run has ended. */
const inUse = "exists (select from leases u where u.in_mount_id = m.id and u.state = 'held')";
/** Where a live mount is once it was asked to go; the one that came with a run ends with its run. */
export const stoppedState = `case when m.state = 'requested' then 'unmounted'
                   when exists (select from leases l where l.id = m.lease_id and l.kind = 'mount') and not ${inUse} then 'unmounting' else m.state end`;

const live = statement<{ workspace_id: string }, MountRow>(
  "mount_live",
  `select ${columns} from workspace_mounts m where m.workspace_id = $workspace_id and m.state ${inStates(liveMountStates)}`,
);
const get = statement<{ id: string }, MountRow>("mount_get", `select ${columns} from workspace_mounts m where m.id = $id`);

/** The workspace is locked and has no live mount. The machine is like its last one: of the deployment that ran there last, so that its next run fits. */
const insert = statement<{ id: string; workspace_id: string }, MountRow & { worker_group: string }>(
  "mount_insert",
  `with w as (update workspaces set fence = fence + 1, last_mount_id = $id, auto_stop_at = null, last_activity_at = now(), updated_at = now()
                where id = $workspace_id returning *),
        m as (insert into workspace_mounts (id, org_id, project_id, environment_id, workspace_id, deployment_sandbox_id, base_version_id, fence, state)
              select $id, org_id, project_id, environment_id, id,
                     coalesce((select p.deployment_sandbox_id from workspace_mounts p where p.workspace_id = $workspace_id order by p.created_at desc limit 1),
                              deployment_sandbox_id),
                     current_version_id, fence, 'requested' from w
              returning *)
   select ${columns}, e.worker_group from m join environments e on e.id = m.environment_id`,
);

/** A run of the workspace that is at the open gate will bring a machine by itself. */
const runOpen = statement<{ workspace_id: string }, { run_id: string }>(
  "mount_run_is_open",
  "select run_id from run_queue where workspace_id = $workspace_id and gate = 'open' limit 1",
);

interface GrantParams {
  worker_id: string;
  epoch: number;
  ttl_ms: number;
  worker_group: string;
  lease_ids: string[];
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  disk_default_mib: number;
}

/** Requested mounts of a worker's group that fit what it has free, oldest first. Index workspace_mounts_requested. */
const grant = statement<GrantParams, { lease_id: string; mount_id: string; workspace_id: string }>(
  "mount_grant",
  `with picked as (
          select m.id, m.workspace_id, m.fence, m.milli_cpu, m.memory_mib, m.disk_mib, row_number() over (order by m.created_at, m.id) as n
            from (select m.id, m.workspace_id, m.fence, m.created_at, b.milli_cpu, b.memory_mib, coalesce(b.disk_mib, $disk_default_mib) as disk_mib
                    from workspace_mounts m
                    join environments e on e.id = m.environment_id
                    join deployment_sandboxes b on b.id = m.deployment_sandbox_id
                   where m.state ${inStates(mountTransitions.claim.from)} and e.worker_group = $worker_group
                     and b.milli_cpu <= $milli_cpu and b.memory_mib <= $memory_mib and coalesce(b.disk_mib, $disk_default_mib) <= $disk_mib
                     and exists (select from workers k where k.id = $worker_id and k.epoch = $epoch and k.state = 'active')
                   order by m.created_at, m.id limit cardinality($lease_ids::uuid[])
                     for no key update of m skip locked) m),
        given as (select p.*, l.lease_id from picked p join unnest($lease_ids::uuid[]) with ordinality as l (lease_id, n) using (n)),
        leased as (
          insert into leases (id, kind, mount_id, worker_id, worker_epoch, fence, state, milli_cpu, memory_mib, disk_mib, deadline)
          select lease_id, 'mount', id, $worker_id, $epoch, fence, 'held', milli_cpu, memory_mib, disk_mib, now() + $ttl_ms * interval '1 millisecond' from given),
        mounted as (update workspace_mounts m set state = '${mountTransitions.claim.to}', worker_id = $worker_id, lease_id = g.lease_id,
                           claim_attempt = m.claim_attempt + 1, last_heartbeat_at = now(), updated_at = now()
                      from given g where m.id = g.id)
   select lease_id, id as mount_id, workspace_id from given`,
);

export interface MountLeaseRow {
  lease_id: string;
  fence: number;
  ttl_ms: number;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  org_id: string;
  environment_id: string;
  workspace_id: string;
  mount_id: string;
  base_version_id: string;
  image_ref: string;
  image_config: { env?: Record<string, string>; workdir?: string; user?: string };
  network: { internet: boolean; allow?: string[]; deny?: string[] };
  sandbox_disk_mib: number | null;
  workspace_path: string;
  task_tree: ArtifactColumns | null;
  image: ArtifactColumns | null;
  base: ArtifactColumns | null;
}

const artifact = (alias: string) =>
  `case when ${alias}.id is not null then json_build_object('artifact_id', ${alias}.id, 'manifest_key', ${alias}.manifest_key, 'digest', ${alias}.digest,
          'length_bytes', ${alias}.length_bytes) end`;

const contents = statement<{ lease_ids: string[] }, MountLeaseRow>(
  "mount_lease_content",
  `select l.id as lease_id, l.fence, greatest(0, extract(epoch from l.deadline - now()) * 1000)::bigint as ttl_ms, l.milli_cpu, l.memory_mib, l.disk_mib,
          m.org_id, m.environment_id, m.workspace_id, m.id as mount_id, m.base_version_id, b.image_ref, b.image_config, b.network,
          b.disk_mib as sandbox_disk_mib, b.workspace_path, ${artifact("tt")} as task_tree, ${artifact("ia")} as image, ${artifact("va")} as base
     from leases l
     join workspace_mounts m on m.id = l.mount_id
     join deployment_sandboxes b on b.id = m.deployment_sandbox_id
     join deployments d on d.id = b.deployment_id
     left join workspace_versions v on v.id = m.base_version_id
     left join artifacts tt on tt.id = d.task_artifact_id
     left join artifacts va on va.id = v.artifact_id
     left join artifacts ia on ia.id = b.image_artifact_id
    where l.id = any($lease_ids::uuid[]) and l.state = 'held'`,
);

export interface HeldMount {
  id: string;
  org_id: string;
  environment_id: string;
  workspace_id: string;
  base_version_id: string | null;
  state: MountState;
  stop_requested: boolean;
  stop_reason: string | null;
  lease_id: string;
  lease_state: "held" | "released" | "expired" | "fenced";
  in_time: boolean;
  worker_id: string;
}

const heldColumns = `m.id, m.org_id, m.environment_id, m.workspace_id, m.base_version_id, m.state, m.stop_requested_at is not null as stop_requested,
       m.stop_reason, l.id as lease_id,
       l.state as lease_state, l.deadline > now() as in_time, l.worker_id`;

/** Of its holder. The workspace is locked with it, before it. */
const held = statement<
  { lease_id: string; mount_id: string; worker_id: string; fence: number },
  HeldMount & { head_version_id: string | null }
>(
  "mount_held",
  `select ${heldColumns}, w.current_version_id as head_version_id
     from leases l join workspace_mounts m on m.id = l.mount_id join workspaces w on w.id = m.workspace_id
    where l.id = $lease_id and l.mount_id = $mount_id and l.worker_id = $worker_id and l.fence = $fence
      for no key update of w, m`,
);
/** For whoever takes it away. */
const ofLease = statement<{ lease_id: string }, HeldMount>(
  "mount_of_lease",
  `select ${heldColumns} from leases l join workspace_mounts m on m.id = l.mount_id join workspaces w on w.id = m.workspace_id
    where l.id = $lease_id for no key update of w, m`,
);

const setReady = statement<{ id: string }>(
  "mount_set_ready",
  `update workspace_mounts set state = '${mountTransitions.ready.to}', last_heartbeat_at = now(), updated_at = now()
    where id = $id and state ${inStates(mountTransitions.ready.from)}`,
);

/** From `requested` it is over at once: nobody has it. */
const requestStop = statement<{ id: string }, MountRow>(
  "mount_request_stop",
  `update workspace_mounts m
      set stop_requested_at = coalesce(stop_requested_at, now()), updated_at = now(),
          state = ${stoppedState}
    where id = $id and state ${inStates(liveMountStates)} returning ${columns}`,
);

const end = statement<{ id: string; lease_id: string | null; state: MountState; lease_state: string; error: string | null }>(
  "mount_end",
  `with lease as (update leases set state = $lease_state, ended_at = now() where id = $lease_id::uuid and state = 'held'),
        tree as (update workspaces set auto_stop_at = null, last_activity_at = now(), updated_at = now()
                   from workspace_mounts m where m.id = $id and workspaces.id = m.workspace_id)
   update workspace_mounts set state = $state, error = $error::jsonb, updated_at = now() where id = $id and state ${inStates(liveMountStates)}`,
);

/** Something was written or may have been: the mount is dirty. Nobody stops it while something runs in it. */
const touch = statement<{ workspace_id: string }>(
  "mount_touch",
  `with m as (update workspace_mounts set dirty_generation = dirty_generation + 1, updated_at = now()
               where workspace_id = $workspace_id and state ${inStates(liveMountStates)})
   update workspaces set dirty_state = 'dirty', last_activity_at = now(), updated_at = now() where id = $workspace_id`,
);

/** Idle from now on when nothing runs in a mount of its own: it is stopped after a while, unless something comes. */
const noteIdle = statement<{ workspace_id: string; idle_ms: number }>(
  "mount_note_idle",
  `update workspaces w
      set auto_stop_at = case when exists (select from workspace_execs x where x.workspace_id = w.id
                                             and x.state not in ('exited', 'terminated', 'lost', 'failed', 'closed')) then null
                              else now() + $idle_ms * interval '1 millisecond' end,
          last_activity_at = now()
    where w.id = $workspace_id
      and exists (select from workspace_mounts m join leases l on l.id = m.lease_id and l.kind = 'mount'
                   where m.workspace_id = w.id and m.state in ('mounting', 'mounted'))`,
);
const noteBusy = statement<{ workspace_id: string }>(
  "mount_note_busy",
  "update workspaces set auto_stop_at = null, last_activity_at = now() where id = $workspace_id",
);

/** Index workspaces_auto_stop. */
const idle = statement<{ row_limit: number }, { id: string; environment_id: string }>(
  "mount_idle",
  "select id, environment_id from workspaces where auto_stop_at <= now() order by auto_stop_at limit $row_limit",
);
/** By the database's clock: true for the first who asks once the time has come. */
const takeIdle = statement<{ workspace_id: string }, { id: string }>(
  "mount_take_idle",
  "update workspaces set auto_stop_at = null where id = $workspace_id and auto_stop_at <= now() returning id",
);
const inUseByRun = statement<{ workspace_id: string }, { id: string }>(
  "mount_in_use",
  `select m.id from workspace_mounts m where m.workspace_id = $workspace_id and m.state ${inStates(liveMountStates)} and ${inUse}`,
);
const nextIdle = statement<Record<never, never>, { due_ms: number }>(
  "mount_next_idle",
  "select (extract(epoch from (auto_stop_at - now())) * 1000)::float8 as due_ms from workspaces where auto_stop_at is not null order by auto_stop_at limit 1",
);
const requestedGroups = statement<Record<never, never>, { worker_group: string }>(
  "mount_requested_groups",
  `select distinct e.worker_group from workspace_mounts m join environments e on e.id = m.environment_id where m.state = 'requested'`,
);

/**
 * A mount of its own makes room for a run that cannot use its machine, whatever runs in it; for one that resumes, which could not go on from a tree
 * that was changed, when nothing does. The workspace is locked, and no run of it could pass.
 */
const yieldToRun = statement<{ workspace_id: string; reason: string }, { worker_id: string | null }>(
  "mount_yield",
  `update workspace_mounts m set state = '${mountTransitions.stop.to}', stop_requested_at = coalesce(m.stop_requested_at, now()),
          stop_reason = coalesce(m.stop_reason, $reason), updated_at = now()
     from leases l, (select checkpoint_id from run_queue where workspace_id = $workspace_id and gate = 'workspace'
                      order by resume desc, priority desc, ready_at, run_id limit 1) first
    where m.workspace_id = $workspace_id and m.state = 'mounted' and l.id = m.lease_id and l.kind = 'mount' and not ${inUse}
      and not exists (select from run_queue o where o.workspace_id = $workspace_id and o.gate in ('lane', 'open'))
      and (first.checkpoint_id is null
           or not exists (select from workspace_execs x where x.workspace_id = $workspace_id
                             and x.state not in ('exited', 'terminated', 'lost', 'failed', 'closed')))
   returning m.worker_id`,
);

const stopKey = statement<{ workspace_id: string; key_hash: Buffer }, { mount_id: string | null; expired: boolean }>(
  "mount_stop_key",
  "select mount_id, expires_at <= now() as expired from workspace_stop_keys where workspace_id = $workspace_id and key_hash = $key_hash",
);
const putStopKey = statement<{ workspace_id: string; key_hash: Buffer; mount_id: string | null; ttl_ms: number }>(
  "mount_put_stop_key",
  `insert into workspace_stop_keys (workspace_id, key_hash, mount_id, expires_at)
   values ($workspace_id, $key_hash, $mount_id, now() + $ttl_ms * interval '1 millisecond')
   on conflict (workspace_id, key_hash) do update set mount_id = excluded.mount_id, expires_at = excluded.expires_at`,
);
const pruneStopKeys = statement<{ row_limit: number }>(
  "mount_stop_key_prune",
  `delete from workspace_stop_keys k using (select workspace_id, key_hash from workspace_stop_keys where expires_at < now() order by expires_at limit $row_limit) old
    where k.workspace_id = old.workspace_id and k.key_hash = old.key_hash`,
);

export const mountLive = (on: Queryable, workspaceId: string) => on.one(live, { workspace_id: workspaceId });
export const mountGet = (on: Queryable, id: string) => on.one(get, { id });
export const mountInsert = (tx: Tx, id: string, workspaceId: string) => tx.one(insert, { id, workspace_id: workspaceId });
export const mountRunIsOpen = async (tx: Tx, workspaceId: string) => (await tx.one(runOpen, { workspace_id: workspaceId })) !== undefined;

export interface MountOffer {
  leaseIds: string[];
  ttlMs: number;
  free: { milliCpu: number; memoryMib: number; diskMib: number };
  diskDefaultMib: number;
}
export const mountGrant = (tx: Tx, worker: WorkerSubject & { group: string }, { leaseIds, ttlMs, free, diskDefaultMib }: MountOffer) =>
  tx.all(grant, {
    worker_id: worker.workerId,
    epoch: worker.epoch,
    worker_group: worker.group,
    lease_ids: leaseIds,
    ttl_ms: ttlMs,
    milli_cpu: free.milliCpu,
    memory_mib: free.memoryMib,
    disk_mib: free.diskMib,
    disk_default_mib: diskDefaultMib,
  });
export const mountLeaseContents = (on: Queryable, leaseIds: string[]) => on.all(contents, { lease_ids: leaseIds });
export const mountHeld = (tx: Tx, params: { lease_id: string; mount_id: string; worker_id: string; fence: number }) => tx.one(held, params);
export const mountOfLease = (tx: Tx, leaseId: string) => tx.one(ofLease, { lease_id: leaseId });
export const mountSetReady = (tx: Tx, id: string) => tx.run(setReady, { id });
export const mountRequestStop = (tx: Tx, id: string) => tx.one(requestStop, { id });
export const mountEnd = (
  tx: Tx,
  mount: { id: string; lease_id: string | null },
  ending: { state: MountState; leaseState: "released" | "expired" | "fenced"; error: string | null },
) => tx.run(end, { id: mount.id, lease_id: mount.lease_id, state: ending.state, lease_state: ending.leaseState, error: ending.error });
export const mountTouch = (on: Queryable, workspaceId: string) => on.run(touch, { workspace_id: workspaceId });
export const mountNoteIdle = (on: Queryable, workspaceId: string, idleMs: number) =>
  on.run(noteIdle, { workspace_id: workspaceId, idle_ms: idleMs });
export const mountNoteBusy = (on: Queryable, workspaceId: string) => on.run(noteBusy, { workspace_id: workspaceId });
export const mountIdle = (on: Queryable, limit: number) => on.all(idle, { row_limit: limit });
export const mountTakeIdle = async (tx: Tx, workspaceId: string) => (await tx.one(takeIdle, { workspace_id: workspaceId })) !== undefined;
export const mountInUse = async (tx: Tx, workspaceId: string) => (await tx.one(inUseByRun, { workspace_id: workspaceId })) !== undefined;
export const mountNextIdleMs = async (on: Queryable) => (await on.one(nextIdle, {}))?.due_ms;
export const mountYield = (tx: Tx, workspaceId: string) =>
  tx.one(yieldToRun, { workspace_id: workspaceId, reason: "a run needed the workspace in a machine of its own" });
export const mountRequestedGroups = (on: Queryable) => on.all(requestedGroups, {});
export const mountStopKey = (tx: Tx, workspaceId: string, keyHash: Buffer) =>
  tx.one(stopKey, { workspace_id: workspaceId, key_hash: keyHash });
export const mountPutStopKey = (tx: Tx, key: { workspaceId: string; keyHash: Buffer; mountId: string | null; ttlMs: number }) =>
  tx.run(putStopKey, { workspace_id: key.workspaceId, key_hash: key.keyHash, mount_id: key.mountId, ttl_ms: key.ttlMs });
export const mountStopKeyPrune = (on: Queryable, limit: number) => on.run(pruneStopKeys, { row_limit: limit });
