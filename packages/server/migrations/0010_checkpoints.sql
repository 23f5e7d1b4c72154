-- Saved machines that a wait resumes from. Blobs are encrypted before they leave the worker's staging directory.
-- breaking: no

create table checkpoints (
  id                   uuid primary key,
  environment_id       uuid not null,
  run_id               uuid not null references runs on delete cascade,
  attempt_id           uuid not null,
  wait_id              uuid not null references run_waits on delete cascade,
  state                text not null check (state in ('creating', 'ready', 'invalid', 'deleted')),
  worker_id            uuid references workers,    -- where it was made; a local copy may still be there
  -- what a worker must have to restore it: driver, cpu family, template ingredients, shape
  compatibility        jsonb not null,
  requires             text,                       -- what a worker must offer (protocol/worker/leases.ts, workerRestores)
  resume_state         jsonb not null default '{}', -- of the workers alone
  template_artifact_id uuid references artifacts,  -- memory is a difference against this one
  memory_artifact_id   uuid references artifacts,
  device_artifact_id   uuid references artifacts,
  scratch_artifact_id  uuid references artifacts,
  workspace_version_id uuid,
  key_id               text,
  stored_bytes         bigint not null default 0,
  pause_ms             int,
  restore_failures     int not null default 0,
  created_at           timestamptz not null default now(),
  ready_at             timestamptz,
  ended_at             timestamptz
);
create index checkpoints_run on checkpoints (run_id, created_at desc);
create index checkpoints_run_ready on checkpoints (run_id) where state = 'ready';
create index checkpoints_wait on checkpoints (wait_id);
-- What the collection asks of each artifact, and ended checkpoints that have not let go of theirs.
create index checkpoints_memory on checkpoints (memory_artifact_id) where memory_artifact_id is not null;
create index checkpoints_device on checkpoints (device_artifact_id) where device_artifact_id is not null;
create index checkpoints_scratch on checkpoints (scratch_artifact_id) where scratch_artifact_id is not null;
create index checkpoints_template on checkpoints (template_artifact_id) where template_artifact_id is not null;
create index checkpoints_ended on checkpoints (ended_at) where state in ('invalid', 'deleted') and memory_artifact_id is not null;
create index checkpoints_released on checkpoints (ended_at) where state in ('invalid', 'deleted') and memory_artifact_id is null;

alter table runs add foreign key (checkpoint_id) references checkpoints deferrable initially deferred;
create index runs_checkpoint on runs (checkpoint_id) where checkpoint_id is not null;
