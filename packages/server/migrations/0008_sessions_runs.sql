-- Sessions, their runs, attempts, leases, the ready queue, events and logs.
-- breaking: no

create table sessions (
  id                        uuid primary key,
  org_id                    uuid not null,
  project_id                uuid not null,
  environment_id            uuid not null,
  task_id                   text not null,
  initial_deployment_id     uuid not null,
  active_deployment_id      uuid not null,
  external_id               text,
  fingerprint               bytea not null,
  state                     text not null check (state in ('open', 'closed', 'cancelled', 'expired')),
  current_run_id            uuid,
  turn_count                int not null default 0,
  workspace_id              uuid not null,
  metadata                  jsonb not null default '{}',
  tags                      text[] not null default '{}',
  result                    jsonb,                -- envelope {ok, value | error}
  terminal_reason           jsonb,
  expires_at                timestamptz,
  expired_at                timestamptz,
  created_at                timestamptz not null default now(),
  updated_at                timestamptz not null default now(),
  unique (environment_id, id),
  foreign key (project_id, environment_id) references environments (project_id, id) on delete cascade,
  foreign key (environment_id, initial_deployment_id) references deployments (environment_id, id),
  foreign key (environment_id, active_deployment_id) references deployments (environment_id, id),
  foreign key (environment_id, workspace_id) references workspaces (environment_id, id)
);
create unique index sessions_external on sessions (environment_id, external_id) where external_id is not null;
-- A list over several states is a merge of one scan per state, so that no filter walks over what it does not show.
create index sessions_list on sessions (environment_id, state, updated_at desc, id desc);
create index sessions_task on sessions (environment_id, task_id, state, updated_at desc, id desc);
create index sessions_workspace on sessions (workspace_id);
create index sessions_expiry on sessions (expires_at) where state = 'open' and expires_at is not null;

-- Idempotency of session starts: (task, key) in an environment, with its time to live.
create table session_start_keys (
  environment_id uuid not null references environments on delete cascade,
  task_id        text not null,
  key_hash       bytea not null,
  fingerprint    bytea not null,
  session_id     uuid not null,
  run_id         uuid not null,
  expires_at     timestamptz not null,
  primary key (environment_id, task_id, key_hash)
);
create index session_start_keys_expiry on session_start_keys (expires_at);

create table runs (
  id                    uuid primary key,
  org_id                uuid not null,
  project_id            uuid not null,
  environment_id        uuid not null,
  session_id            uuid not null,
  deployment_id         uuid not null,
  deployment_task_id    uuid not null,
  task_id               text not null,
  workspace_id          uuid not null,
  turn_index            int not null,
  previous_run_id       uuid,
  state                 text not null check (state in ('queued', 'leased', 'executing', 'waiting', 'cancelling', 'finished')),
  outcome               text check (outcome in ('succeeded', 'failed', 'cancelled', 'expired', 'dead_lettered')),
  -- the present attempt, and what the present holder is fenced by
  attempt_id            uuid,
  attempt_number        int,
  lease_id              uuid,
  fence                 bigint not null default 0,
  -- the wait a parked run sits in, and the checkpoint that brings it back
  parked_wait_id        uuid,
  checkpoint_id         uuid,
  -- given at start
  payload               json not null,
  queue_name            text not null,
  concurrency_key       text,
  concurrency_limit     int,
  priority              int not null default 0,
  ttl_ms                bigint,
  ttl_text              text,
  max_duration_seconds  int not null,
  retry                 jsonb not null,
  secrets               jsonb not null default '[]',
  api_version           text not null,
  sdk_version           text,
  cli_version           text,
  deployment_version    text not null,
  trace_id              text not null,
  -- results
  metadata              jsonb not null default '{}',
  tags                  text[] not null default '{}',
  output                json,
  exit_code             int,
  failure               jsonb,
  active_ms             bigint not null default 0, -- over all attempts; waiting and queueing excluded
  lost_starts           int not null default 0,    -- leases of the present attempt that were lost before user code ran
  event_seq             bigint not null default 0,
  log_seq               bigint not null default 0,
  record_seq            bigint not null default 0,
  cancel                jsonb,                     -- {reason, force, origin} once a cancel is asked for
  cancel_due_at         timestamptz,               -- when a holder that was told to stop is stopped by force
  queued_at             timestamptz not null default now(),
  started_at            timestamptz,
  finished_at           timestamptz,
  created_at            timestamptz not null default now(),
  updated_at            timestamptz not null default now(),
  unique (environment_id, id),
  unique (session_id, turn_index),
  check ((state = 'finished') = (outcome is not null)),
  foreign key (environment_id, session_id) references sessions (environment_id, id) on delete cascade,
  foreign key (environment_id, deployment_id) references deployments (environment_id, id),
  foreign key (environment_id, deployment_task_id) references deployment_tasks (environment_id, id)
);
create index runs_list on runs (environment_id, created_at desc, id desc);
-- `outcome is null` and not a condition on the state: a statement that asks for one run in a certain state must not be answered by reading all that live.
create index runs_live on runs (environment_id, created_at desc, id desc) where outcome is null;
create index runs_session on runs (session_id, turn_index);
create index runs_workspace_live on runs (workspace_id) where outcome is null;
create index runs_outcome on runs (environment_id, outcome, created_at desc, id desc) where state = 'finished';
create index runs_session_list on runs (session_id, created_at desc, id desc);
create index runs_cancelling on runs (cancel_due_at) where state = 'cancelling';

-- Finished runs by outcome, so that runs/counts does not grow with history; live runs are counted from their index. The shard follows from the
-- backend's pid, and a backend has one transaction at a time: two runs that end at once do not wait for each other.
create table run_counts (
  environment_id uuid not null references environments on delete cascade,
  outcome        text not null,
  shard          smallint not null,
  count          bigint not null default 0,
  primary key (environment_id, outcome, shard)
) with (fillfactor = 50);

create table run_attempts (
  id          uuid primary key,
  run_id      uuid not null references runs on delete cascade,
  number      int not null,
  state       text not null check (state in ('pending', 'running', 'succeeded', 'failed', 'cancelled', 'lost')),
  report_seq  bigint not null default 0,         -- last accepted item of the worker's ordered report
  exit_code   int,
  failure     jsonb,
  created_at  timestamptz not null default now(),
  started_at  timestamptz,
  ended_at    timestamptz,
  unique (run_id, number)
);

-- A time-bounded exclusive right with a fence. Subjects: a run, a deployment build, a workspace mount of its own.
create table leases (
  id            uuid primary key,
  kind          text not null check (kind in ('run', 'build', 'mount')),
  run_id        uuid references runs on delete cascade,
  deployment_id uuid references deployments on delete cascade,
  mount_id      uuid references workspace_mounts on delete cascade,
  attempt_id    uuid,                              -- run leases: the attempt it was granted for
  in_mount_id   uuid,                              -- run leases: the live mount whose machine the run uses; null: a machine of its own
  worker_id     uuid not null references workers,
  worker_epoch  bigint not null,
  fence         bigint not null,
  lane          text,                              -- concurrency is counted from held leases of a lane
  state         text not null check (state in ('held', 'released', 'expired', 'fenced')),
  milli_cpu     int not null,
  memory_mib    int not null,
  disk_mib      bigint not null,
  active_ms     bigint not null default 0,         -- active time of the run under this lease, as last renewed
  granted_at    timestamptz not null default now(),
  deadline      timestamptz not null,
  ended_at      timestamptz,
  check (num_nonnulls(run_id, deployment_id, mount_id) = 1)
);
create unique index leases_run_held on leases (run_id) where state = 'held' and run_id is not null;
create unique index leases_build_held on leases (deployment_id) where state = 'held' and deployment_id is not null;
create unique index leases_mount_held on leases (mount_id) where state = 'held' and mount_id is not null;
-- One run at a time uses the machine of a mount.
create unique index leases_in_mount_held on leases (in_mount_id) where state = 'held' and in_mount_id is not null;
create index leases_lane_held on leases (lane) where state = 'held' and lane is not null;
create index leases_deadline on leases (deadline) where state = 'held';
create index leases_worker_held on leases (worker_id) where state = 'held';
-- Deleting a subject looks for its leases.
create index leases_run on leases (run_id) where run_id is not null;
create index leases_build on leases (deployment_id) where deployment_id is not null;
create index leases_mount on leases (mount_id) where mount_id is not null;
create index leases_ended on leases (ended_at) where state <> 'held';
create index leases_worker_lost on leases (worker_id, ended_at) where state in ('expired', 'fenced');

-- Runs that want a machine. A row exists exactly while its run is queued; `gate` says what it waits for.
--   delayed    its time has not come (retry backoff)
--   workspace  another holder writes its workspace
--   lane       its queue and concurrency key are at their limit
--   open       any worker that fits may take it
create table run_queue (
  run_id         uuid primary key references runs on delete cascade,
  environment_id uuid not null,
  worker_group   text not null,
  workspace_id   uuid not null,
  lane           text,                             -- null: no limit applies
  lane_limit     int,
  gate           text not null check (gate in ('delayed', 'workspace', 'lane', 'open')),
  resume         boolean not null default false,   -- a parked run that wants to go on outranks new work
  priority       int not null,
  ready_at       timestamptz not null,
  expires_at     timestamptz,                      -- ttl of the queue time before the first execution
  milli_cpu      int not null,
  memory_mib     int not null,
  disk_mib       bigint not null,
  image_ref      text not null,
  checkpoint_id  uuid,
  requires       text,                             -- what a worker must offer to restore the checkpoint
  mount_id       uuid,                             -- the live mount whose machine it is to use; null: a machine of its own, on any worker that fits
  queued_at      timestamptz not null default now()
);
-- The ready index: groups of equal shape are found by skipping, so that what does not fit a worker costs one step, not one per run.
create index run_queue_open on run_queue
  (worker_group, environment_id, milli_cpu, memory_mib, disk_mib, resume desc, priority desc, ready_at, run_id)
  where gate = 'open' and mount_id is null;
-- Runs that go into the machine of a live mount: its worker takes them whatever it has free.
create index run_queue_mount on run_queue (worker_group, workspace_id) where mount_id is not null;
create index run_queue_lane on run_queue (lane, gate, resume desc, priority desc, ready_at, run_id) where gate in ('open', 'lane') and lane is not null;
create index run_queue_workspace on run_queue (workspace_id, resume desc, priority desc, ready_at, run_id) where gate = 'workspace';
-- Only one run of a workspace is let past its gate.
create unique index run_queue_admitted on run_queue (workspace_id) where gate in ('lane', 'open');
create index run_queue_gate on run_queue (gate, lane, workspace_id) where gate in ('workspace', 'lane');
create index run_queue_resume on run_queue (ready_at) where resume;
create index run_queue_delayed on run_queue (ready_at) where gate = 'delayed';
create index run_queue_expiry on run_queue (expires_at) where expires_at is not null;

create table run_events (
  run_id         uuid not null references runs on delete cascade,
  seq            bigint not null,
  kind           text not null,
  category       text not null,
  severity       text not null,
  source         text not null,
  redaction      text not null,
  attributes     jsonb not null default '{}',
  lease_id       uuid,
  attempt_id     uuid,
  attempt_number int,
  occurred_at    timestamptz not null,
  created_at     timestamptz not null default now(),
  primary key (run_id, seq)
);

-- Bytes of stdout and stderr and entries of the logger, in batches, never a row per line. Record ids are dense over the three streams:
-- the n-th record that ends in a chunk has id first_record + n (see server/src/domain/log-records.ts).
create table run_log_chunks (
  run_id         uuid not null references runs on delete cascade,
  seq            bigint not null,
  stream         text not null check (stream in ('stdout', 'stderr', 'logger')),
  offset_start   bigint not null,
  offset_end     bigint not null,
  first_record   bigint not null,
  record_count   int not null,
  tail_before    int not null,                     -- unfinished bytes of the stream before this chunk
  lease_id       uuid not null,
  attempt_id     uuid not null,
  attempt_number int not null,
  observed_seq   bigint not null,
  data           bytea not null,
  observed_at    timestamptz not null,
  primary key (run_id, seq)
);
-- An empty chunk ends a stream in the middle of a line: it stands at the offset where the next attempt goes on.
create unique index run_log_chunks_offset on run_log_chunks (run_id, stream, offset_start) where offset_end > offset_start;
create index run_log_chunks_record on run_log_chunks (run_id, first_record) where record_count > 0;

-- Present length of each log stream: contiguous offsets are checked against it.
create table run_log_streams (
  run_id   uuid not null references runs on delete cascade,
  stream   text not null,
  length   bigint not null default 0,
  earliest bigint not null default 0,
  tail     int not null default 0,                 -- bytes after the end of the last record
  attempt_id    uuid,                              -- a holder counts its offsets from where its attempt began
  attempt_start bigint not null default 0,
  primary key (run_id, stream)
);

create table run_operations (
  id                      uuid primary key,
  environment_id          uuid not null,
  run_id                  uuid not null references runs on delete cascade,
  kind                    text not null check (kind in ('cancel')),
  state                   text not null check (state in ('requested', 'applied', 'rejected')),
  reason                  text,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamptz not null default now(),
  applied_at              timestamptz
);
create index run_operations_age on run_operations (created_at);
create unique index run_operations_key on run_operations (run_id, idempotency_key_hash) where idempotency_key_hash is not null;
