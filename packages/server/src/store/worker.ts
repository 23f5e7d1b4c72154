/** Enrolled hosts: credentials by hash, epochs, what they said of themselves, and when they were last heard of. */
import type { WorkerState } from "../domain/worker.ts";
import { workerTransitions } from "../domain/worker.ts";
import { inStates } from "../domain/transitions.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

const enrollmentByHash = statement<{ secret_hash: Buffer }, { worker_group: string }>(
  "worker_enrollment_get",
  "select worker_group from worker_enrollments where secret_hash = $secret_hash and revoked_at is null",
);

/** Idempotent: the operator's configuration names the secret at every start of the server. */
const enrollmentPut = statement<{ id: string; worker_group: string; secret_hash: Buffer }>(
  "worker_enrollment_put",
  `insert into worker_enrollments (id, worker_group, secret_hash) values ($id, $worker_group, $secret_hash)
   on conflict (secret_hash) do nothing`,
);

/** A host that enrolls again under its name keeps its id and gets a new credential; the old one ends. */
const enroll = statement<{ id: string; worker_group: string; name: string; credential_hash: Buffer; facts: string }, { id: string }>(
  "worker_enroll",
  `insert into workers as w (id, worker_group, name, credential_hash, state, facts)
   values ($id, $worker_group, $name, $credential_hash, 'joining', $facts::jsonb)
   on conflict (worker_group, name) do update
      set credential_hash = excluded.credential_hash, facts = excluded.facts, last_seen_at = now()
   returning id`,
);

export interface WorkerLogin {
  id: string;
  worker_group: string;
}

const byCredential = statement<{ credential_hash: Buffer }, WorkerLogin>(
  "worker_login",
  "select id, worker_group from workers where credential_hash = $credential_hash",
);

interface StartParams {
  id: string;
  facts: string;
  restores: string;
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
  slots: number;
}

const start = statement<StartParams, { epoch: number }>(
  "worker_start",
  `update workers
      set epoch = epoch + 1, state = '${workerTransitions.start.to}', facts = $facts::jsonb, restores = $restores, milli_cpu = $milli_cpu, memory_mib = $memory_mib,
          disk_mib = $disk_mib, slots = $slots, last_seen_at = now()
    where id = $id returning epoch`,
);

/** Also says that the worker was heard of. */
const seen = statement<{ id: string; epoch: number }, { state: WorkerState; restores: string }>(
  "worker_seen",
  "update workers set last_seen_at = now() where id = $id and epoch = $epoch returning state, restores",
);

const state = statement<{ id: string }, { state: WorkerState }>("worker_state", "select state from workers where id = $id");

const setState = statement<{ id: string; state: WorkerState; from: string[] }>(
  "worker_set_state",
  "update workers set state = $state where id = $id and state = any($from::text[])",
);

const silent = statement<{ silent_ms: number; row_limit: number }, { id: string; epoch: number }>(
  "worker_silent",
  `select id, epoch from workers
    where state in ('active', 'draining') and last_seen_at < now() - $silent_ms * interval '1 millisecond'
    order by last_seen_at limit $row_limit`,
);

const lose = statement<{ id: string; silent_ms: number }>(
  "worker_lose",
  `update workers set state = '${workerTransitions.lose.to}'
    where id = $id and state ${inStates(workerTransitions.lose.from)} and last_seen_at < now() - $silent_ms * interval '1 millisecond'`,
);

/** What the "why not running" sentence needs to know of a group. */
export interface GroupRow {
  active: number;
  silent_s: number | null;
  memory_mib: number | null;
  milli_cpu: number | null;
  free_memory_mib: number | null;
  free_milli_cpu: number | null;
  free_slots: number | null;
}

const group = statement<{ worker_group: string; silent_ms: number }, GroupRow>(
  "worker_group_summary",
  `with heard as (select w.*, w.last_seen_at >= now() - $silent_ms * interval '1 millisecond' and w.state = 'active' as present from workers w
                   where w.worker_group = $worker_group),
        used as (select l.worker_id, sum(l.milli_cpu)::bigint as milli_cpu, sum(l.memory_mib)::bigint as memory_mib, count(*)::int as slots
                   from leases l where l.state = 'held' and l.worker_id in (select id from heard) group by l.worker_id)
   select count(*) filter (where present)::int as active,
          extract(epoch from now() - max(last_seen_at))::int as silent_s,
          max(h.memory_mib) filter (where present) as memory_mib,
          max(h.milli_cpu) filter (where present) as milli_cpu,
          max(h.memory_mib - coalesce(u.memory_mib, 0)) filter (where present)::int as free_memory_mib,
          max(h.milli_cpu - coalesce(u.milli_cpu, 0)) filter (where present)::int as free_milli_cpu,
          max(h.slots - coalesce(u.slots, 0)) filter (where present)::int as free_slots
     from heard h left join used u on u.worker_id = h.id`,
);

export const workerEnrollmentGet = (on: Queryable, secretHash: Buffer) => on.one(enrollmentByHash, { secret_hash: secretHash });
export const workerEnrollmentPut = (on: Queryable, row: { id: string; worker_group: string; secret_hash: Buffer }) =>
  on.run(enrollmentPut, row);
export const workerEnroll = (
  on: Queryable,
  row: { id: string; worker_group: string; name: string; credential_hash: Buffer; facts: string },
) => on.one(enroll, row);
export const workerLogin = (on: Queryable, credentialHash: Buffer) => on.one(byCredential, { credential_hash: credentialHash });
export const workerStart = (tx: Tx, row: StartParams) => tx.one(start, row);
export const workerSeen = (on: Queryable, id: string, epoch: number) => on.one(seen, { id, epoch });
export const workerState = async (on: Queryable, id: string) => (await on.one(state, { id }))?.state;
export const workerSetState = (on: Queryable, id: string, event: keyof typeof workerTransitions) =>
  on.run(setState, { id, state: workerTransitions[event].to, from: [...workerTransitions[event].from] });
export const workerSilent = (on: Queryable, silentMs: number, limit: number) => on.all(silent, { silent_ms: silentMs, row_limit: limit });
export const workerLose = (on: Queryable, id: string, silentMs: number) => on.run(lose, { id, silent_ms: silentMs });
export const workerGroup = (on: Queryable, workerGroup: string, silentMs: number) =>
  on.one(group, { worker_group: workerGroup, silent_ms: silentMs });
