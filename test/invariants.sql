-- What must hold of the stored state at any moment between two transactions: every query returns no rows. Run by test/services/invariants.ts after each
-- step of the each-step harness, and at the end of every end-to-end and chaos test. A query begins at a line `-- name:`.

-- name: a held lease whose run is not held by it
select l.id, l.run_id, r.state from leases l join runs r on r.id = l.run_id
 where l.state = 'held' and (r.lease_id is distinct from l.id or r.state not in ('leased', 'executing', 'cancelling') or r.fence <> l.fence);

-- name: a held run without a held lease
select r.id, r.state from runs r
 where r.state in ('leased', 'executing', 'cancelling')
   and not exists (select from leases l where l.id = r.lease_id and l.run_id = r.id and l.state = 'held');

-- name: a lease on a run that nobody holds
select r.id, r.state, r.lease_id from runs r where r.state in ('queued', 'waiting', 'finished') and r.lease_id is not null;

-- name: a queued run that is not in the queue
select r.id from runs r where r.state = 'queued' and not exists (select from run_queue q where q.run_id = r.id);

-- name: a queue entry of a run that is not queued
select q.run_id, r.state from run_queue q join runs r on r.id = q.run_id where r.state <> 'queued';

-- name: a queue entry in another environment or workspace than its run
select q.run_id from run_queue q join runs r on r.id = q.run_id where q.environment_id <> r.environment_id or q.workspace_id <> r.workspace_id;

-- name: more in a lane than its limit allows
select lane, lane_limit, count(*) from (
  select q.lane, q.lane_limit from run_queue q where q.gate = 'open' and q.lane is not null
  union all
  select l.lane, r.concurrency_limit from leases l join runs r on r.id = l.run_id where l.state = 'held' and l.lane is not null) used
 group by lane, lane_limit having count(*) > lane_limit;

-- name: a finished run without its one terminal event
select r.id, count(e.seq) from runs r
  left join run_events e on e.run_id = r.id and e.kind in ('run.completed', 'run.failed', 'run.cancelled', 'run.expired', 'run.dead_lettered')
 where r.state = 'finished' group by r.id having count(e.seq) <> 1;

-- name: a live run with a terminal event
select r.id from runs r where r.state <> 'finished' and exists (
  select from run_events e where e.run_id = r.id and e.kind in ('run.completed', 'run.failed', 'run.cancelled', 'run.expired', 'run.dead_lettered'));

-- name: an event after the terminal one
select e.run_id, e.seq, e.kind from run_events e join run_events t on t.run_id = e.run_id and t.seq < e.seq
 where t.kind in ('run.completed', 'run.failed', 'run.cancelled', 'run.expired', 'run.dead_lettered');

-- name: a gap in the events of a run
select r.id, r.event_seq, count(e.seq), max(e.seq) from runs r left join run_events e on e.run_id = r.id
 group by r.id having r.event_seq <> count(e.seq) or coalesce(max(e.seq), 0) <> r.event_seq;

-- name: a gap in the events of a deployment
select d.id, d.event_seq, count(e.seq), max(e.seq) from deployments d left join deployment_events e on e.deployment_id = d.id
 group by d.id having d.event_seq <> count(e.seq) or coalesce(max(e.seq), 0) <> d.event_seq;

-- name: a live attempt of a finished run
select a.id, a.state from run_attempts a join runs r on r.id = a.run_id where r.state = 'finished' and a.state in ('pending', 'running');

-- name: two live attempts of a run, or one that is not the present one
select a.run_id, a.id from run_attempts a join runs r on r.id = a.run_id where a.state in ('pending', 'running') and r.attempt_id is distinct from a.id;

-- name: an executing run whose attempt is not running
select r.id, a.state from runs r join run_attempts a on a.id = r.attempt_id
 where (r.state in ('executing', 'waiting', 'cancelling') and a.state <> 'running')
    or (r.state = 'leased' and a.state <> case when r.checkpoint_id is null then 'pending' else 'running' end);

-- name: two writers of a workspace
select workspace_id, count(*) from workspace_mounts where state in ('requested', 'mounting', 'mounted', 'unmounting') group by workspace_id having count(*) > 1;

-- name: a held run without a live mount; one that used the machine of a mount may say its end after the mount
select r.id from runs r where r.state in ('leased', 'executing', 'cancelling')
   and not exists (select from workspace_mounts m where m.workspace_id = r.workspace_id and m.state in ('mounting', 'mounted', 'unmounting'))
   and not exists (select from leases l where l.id = r.lease_id and l.in_mount_id is not null);

-- name: a live mount of a lease that ended
select m.id, l.state from workspace_mounts m join leases l on l.id = m.lease_id
 where m.state in ('mounting', 'mounted', 'unmounting') and l.state <> 'held';

-- name: a held run in the machine of a mount of another worker or workspace
select l.id, l.in_mount_id from leases l join workspace_mounts m on m.id = l.in_mount_id join runs r on r.id = l.run_id
 where l.state = 'held' and (m.worker_id <> l.worker_id or m.workspace_id <> r.workspace_id);

-- name: a run that is to use a mount, and is not at the gates behind its workspace
select q.run_id, q.gate from run_queue q left join workspace_mounts m on m.id = q.mount_id
 where q.mount_id is not null and (q.gate not in ('lane', 'open') or q.checkpoint_id is not null or m.workspace_id is distinct from q.workspace_id);

-- name: an active workspace without a ready head
select w.id from workspaces w left join workspace_versions v on v.id = w.current_version_id where w.state = 'active' and v.state is distinct from 'ready';

-- name: a version whose parent is of another workspace
select v.id from workspace_versions v join workspace_versions p on p.id = v.parent_version_id where p.workspace_id <> v.workspace_id;

-- name: a fork in a chain of promoted versions
select parent_version_id, count(*) from workspace_versions where state = 'ready' and parent_version_id is not null and kind = 'system'
 group by parent_version_id having count(*) > 1;

-- name: a waiting run without a wait
select r.id from runs r where r.state = 'waiting' and r.parked_wait_id is null;

-- name: a waiting run whose checkpoint is not ready, or whose wait is decided
select r.id, c.state, w.condition, w.suspension from runs r left join checkpoints c on c.id = r.checkpoint_id left join run_waits w on w.id = r.parked_wait_id
 where r.state = 'waiting' and (c.state is distinct from 'ready' or w.condition is distinct from 'open' or w.suspension is distinct from 'parked');

-- name: a run with a checkpoint in a state that has none, or with one that is not ready
select r.id, r.state, c.state from runs r join checkpoints c on c.id = r.checkpoint_id
 where r.state not in ('waiting', 'queued', 'leased') or c.state <> 'ready' or c.run_id <> r.id;

-- name: a ready checkpoint that nobody will resume from
select c.id from checkpoints c join runs r on r.id = c.run_id where c.state = 'ready' and r.checkpoint_id is distinct from c.id;

-- name: a run that resumes without its checkpoint
select q.run_id from run_queue q join runs r on r.id = q.run_id
 where q.checkpoint_id is distinct from r.checkpoint_id or q.resume <> (q.checkpoint_id is not null);

-- name: a parked wait of a run that is not parked
select w.id, w.suspension, r.state from run_waits w join runs r on r.id = w.run_id
 where (w.suspension = 'parked' and r.state not in ('waiting', 'queued', 'finished')) or (w.suspension = 'resuming' and r.state not in ('leased', 'finished'));

-- name: an open wait of a finished run
select w.id from run_waits w join runs r on r.id = w.run_id where w.condition = 'open' and r.state = 'finished';

-- name: a session whose current run is not its last turn
select s.id from sessions s join runs r on r.id = s.current_run_id
 where r.session_id <> s.id or exists (select from runs o where o.session_id = s.id and o.turn_index > r.turn_index);

-- name: a live run beside the current one
select r.id from runs r join sessions s on s.id = r.session_id where r.state not in ('finished', 'cancelling') and s.current_run_id is distinct from r.id;

-- name: a session that ended with a live run
select s.id, s.state, r.state from sessions s join runs r on r.session_id = s.id
 where s.state <> 'open' and r.state not in ('finished', 'cancelling');

-- name: a building deployment without a held lease
select d.id from deployments d where d.state = 'building' and not exists (select from leases l where l.id = d.lease_id and l.state = 'held');

-- name: a held build lease of a deployment that is not built by it
select l.id, d.state from leases l join deployments d on d.id = l.deployment_id where l.state = 'held' and (d.state <> 'building' or d.lease_id <> l.id);

-- name: counters that disagree with the finished runs
select environment_id, outcome, sum(counted), sum(found) from (
  select environment_id, outcome, sum(count) as counted, 0 as found from run_counts group by 1, 2
  union all
  select environment_id, outcome, 0, count(*) from runs where state = 'finished' group by 1, 2) both_sides
 group by 1, 2 having sum(counted) <> sum(found);

-- name: log chunks with a gap
select run_id, stream, offset_start, expected from (
  select run_id, stream, offset_start, lag(offset_end, 1, 0::bigint) over (partition by run_id, stream order by offset_start, seq) as expected from run_log_chunks) c
 where offset_start <> expected;

-- name: log records that are not dense
select run_id, first_record, expected from (
  select run_id, first_record, sum(record_count) over (partition by run_id order by seq rows between unbounded preceding and current row) - record_count + 1 as expected
    from run_log_chunks) c
 where first_record <> expected;

-- name: a gap in the records of a stream
select t.id, t.sequence, count(r.sequence), max(r.sequence) from session_streams t left join stream_records r on r.stream_id = t.id
 group by t.id having t.sequence <> count(r.sequence) or coalesce(max(r.sequence), 0) <> t.sequence;

-- name: an open wait that missed its record
select w.id, r.sequence from run_waits w join stream_records r on r.stream_id = w.stream_id and r.sequence > coalesce(w.after_sequence, 0)
   and (w.correlation_id is null or w.correlation_id = r.correlation_id)
 where w.condition = 'open';

-- name: an open wait on a decided token that nobody will look at
select w.id, t.state from run_waits w join tokens t on t.id = w.token_id where w.condition = 'open' and t.state <> 'pending' and w.wake_at is null;

-- name: an open wait with a time that nobody will look at
select w.id from run_waits w where w.condition = 'open' and least(w.due_at, w.timeout_at) is not null and w.wake_at is null;

-- name: a wait that was decided more or less than once in the timeline
select w.id, w.condition, count(e.seq) from run_waits w
  left join run_events e on e.run_id = w.run_id and e.kind in ('run_wait.completed', 'run_wait.timed_out') and e.attributes ->> 'run_wait_id' = w.id::text
 where w.kind is not null group by w.id
having count(e.seq) <> case when w.condition in ('satisfied', 'timed_out') then 1 else 0 end;

-- name: a wait that begins more or less than once in the timeline
select w.id, count(e.seq) from run_waits w
  left join run_events e on e.run_id = w.run_id and e.kind = 'run_wait.created' and e.attributes ->> 'run_wait_id' = w.id::text
 where w.kind is not null group by w.id having count(e.seq) <> 1;

-- name: a satisfied wait on a stream without its record, or with one that does not fit
select w.id, r.sequence from run_waits w left join stream_records r on r.id = w.record_id
 where w.kind = 'stream' and w.condition = 'satisfied'
   and (r.id is null or r.stream_id <> w.stream_id or r.sequence <= coalesce(w.after_sequence, 0) or (w.correlation_id is not null and w.correlation_id is distinct from r.correlation_id));

-- name: a parked wait that is decided while its run does not come back
select w.id, w.condition, r.state from run_waits w join runs r on r.parked_wait_id = w.id
 where w.suspension = 'parked' and w.condition <> 'open' and r.state = 'waiting';

-- name: an unread record whose session neither runs nor goes on
select c.record_id, s.id from continuations c join sessions s on s.id = c.session_id join runs r on r.id = s.current_run_id
 where c.state = 'pending' and (s.state <> 'open' or (r.state = 'finished' and coalesce(s.expires_at > now(), true)));

-- name: a record that started more or less than one run
select c.record_id, c.state, count(e.run_id) from continuations c
  left join runs r on r.session_id = c.session_id
  left join run_events e on e.run_id = r.id and e.kind = 'run.created' and e.attributes -> 'cause' ->> 'record_id' = c.record_id::text
 group by c.record_id having count(e.run_id) <> case when c.state = 'started' then 1 else 0 end;

-- name: a completed token without data, or a decided one that lost it
select id, state from tokens where (state = 'completed') <> (data is not null);

-- name: a schedule that is due without an occurrence, or inactive and due
select id, state from schedules where due_at is not null and (next_fire_at is null or state = 'inactive');

-- name: a pending token that will never expire, or a decided one that is due
select id, state from tokens where (state = 'pending') <> (due_at is not null);
