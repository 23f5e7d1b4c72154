/** The facts behind "why does this run not run" (engine §3): one look at a run, its place in the queue, its lane, its workspace, its wait. */
import type { Gate } from "../domain/queue.ts";
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface BlockedRow {
  run_id: string;
  queue_name: string;
  concurrency_key: string | null;
  attempt_number: number | null;
  session_id: string;
  workspace_id: string;
  gate: Gate | null;
  /** The live mount whose machine it is to use. */
  in_mount_id: string | null;
  resume: boolean | null;
  requires: string | null;
  /** A worker that was heard of lately could restore the checkpoint. */
  restorable: boolean | null;
  lane_limit: number | null;
  lane_in_use: number | null;
  lane_ahead: number | null;
  ready_at: string | null;
  ready_in_ms: number | null;
  worker_group: string | null;
  milli_cpu: number | null;
  memory_mib: number | null;
  disk_mib: number | null;
  holder_run_id: string | null;
  holder_session_id: string | null;
  mount_state: string | null;
  wait_kind: "token" | "stream" | "timer" | null;
  wait_params: Record<string, unknown> | null;
  wait_token_id: string | null;
  wait_due_at: string | null;
  wait_timeout_at: string | null;
  wait_after_sequence: number | null;
  wait_correlation_id: string | null;
  wait_stream: string | null;
}

/** Everything is bounded: the counts of a lane stop at what its limit and the open gate can hold. */
const facts = statement<{ run_id: string; silent_ms: number }, BlockedRow>(
  "run_blocked_facts",
  `select r.id as run_id, r.queue_name, r.concurrency_key, r.attempt_number, r.session_id, r.workspace_id,
          q.gate, q.mount_id as in_mount_id, q.resume, q.requires, q.lane_limit,
          case when q.requires is not null then exists (select from workers k where k.worker_group = q.worker_group and k.state = 'active' and k.restores = q.requires
               and k.last_seen_at > now() - $silent_ms * interval '1 millisecond') end as restorable, q.ready_at, (extract(epoch from (q.ready_at - now())) * 1000)::float8 as ready_in_ms,
          q.worker_group, q.milli_cpu, q.memory_mib, q.disk_mib,
          case when q.lane is not null then (select count(*) from leases l where l.lane = q.lane and l.state = 'held')::int end as lane_in_use,
          case when q.lane is not null then (select count(*) from (select 1 from run_queue o where o.lane = q.lane and o.gate in ('open', 'lane')
               and (o.resume, o.priority, q.ready_at, q.run_id) > (q.resume, q.priority, o.ready_at, o.run_id) limit 10000) ahead)::int end as lane_ahead,
          h.id as holder_run_id, h.session_id as holder_session_id, m.state as mount_state,
          w.kind as wait_kind, w.params as wait_params, w.token_id as wait_token_id, w.due_at as wait_due_at, w.timeout_at as wait_timeout_at,
          w.after_sequence as wait_after_sequence, w.correlation_id as wait_correlation_id, s.name as wait_stream
     from runs r
     left join run_queue q on q.run_id = r.id
     left join lateral (select * from workspace_mounts m where m.workspace_id = r.workspace_id and m.state in ('requested', 'mounting', 'mounted', 'unmounting')
                         limit 1) m on q.gate = 'workspace'
     left join lateral (select o.id, o.session_id from runs o where o.workspace_id = r.workspace_id and o.outcome is null and o.id <> r.id
                         order by o.created_at limit 1) h on q.gate = 'workspace'
     left join lateral (select * from run_waits w where w.run_id = r.id and w.condition = 'open' order by w.created_at desc limit 1) w on q.run_id is null
     left join session_streams s on s.id = w.stream_id
    where r.id = $run_id and r.state <> 'finished'`,
);

export const runBlockedFacts = (on: Queryable, runId: string, silentMs: number) => on.one(facts, { run_id: runId, silent_ms: silentMs });
