-- Commands and terminals in mounted workspaces, and their byte streams (contiguous offsets, bounded retention).
-- breaking: no

create table workspace_execs (
  id                      uuid primary key,
  environment_id          uuid not null,
  workspace_id            uuid not null,
  kind                    text not null check (kind in ('exec', 'pty')),
  mount_id                uuid,                    -- null: waits for a mount
  number                  int,                     -- of the process in its mount: ids in the guest follow from it
  command                 text[] not null default '{}',
  cwd                     text not null,
  env                     jsonb not null default '{}',
  detached                boolean not null default false,
  cols                    int,
  rows                    int,
  -- exec: queued materializing running exited terminated lost failed; pty: creating open resizing closing closed lost failed
  state                   text not null check (state in ('queued', 'materializing', 'running', 'exited', 'terminated', 'lost', 'failed',
                                                         'creating', 'open', 'resizing', 'closing', 'closed')),
  process_id              text,
  exit_code               int,
  signal                  text,
  error                   jsonb,
  kill_signal             text,
  kill_seq                int not null default 0,  -- grows with each signal, so that a repeat is told from another one
  timeout_seconds         int,
  stdin_closed_at         timestamptz,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamptz not null default now(),
  started_at              timestamptz,
  ended_at                timestamptz,
  updated_at              timestamptz not null default now(),
  unique (environment_id, id),
  foreign key (environment_id, workspace_id) references workspaces (environment_id, id) on delete cascade
);
create unique index workspace_execs_key on workspace_execs (workspace_id, kind, idempotency_key_hash) where idempotency_key_hash is not null;
create index workspace_execs_list on workspace_execs (workspace_id, kind, created_at desc, id desc);
create unique index workspace_execs_number on workspace_execs (mount_id, number) where mount_id is not null;
create index workspace_execs_waiting on workspace_execs (created_at) where mount_id is null and state not in ('exited', 'terminated', 'lost', 'failed', 'closed');
create index workspace_execs_ended on workspace_execs (ended_at) where ended_at is not null;
create index workspace_execs_live on workspace_execs (workspace_id) where state not in ('exited', 'terminated', 'lost', 'failed', 'closed');
create index workspace_execs_mount on workspace_execs (mount_id) where state not in ('exited', 'terminated', 'lost', 'failed', 'closed');

create table byte_streams (
  exec_id   uuid not null references workspace_execs on delete cascade,
  name      text not null check (name in ('stdin', 'stdout', 'stderr', 'input', 'output')),
  length    bigint not null default 0,
  earliest  bigint not null default 0,
  delivered bigint not null default 0,             -- input streams: bytes the guest has taken
  closed_at timestamptz,
  primary key (exec_id, name)
);

create table byte_chunks (
  id           uuid primary key,
  exec_id      uuid not null,
  name         text not null,
  offset_start bigint not null,
  offset_end   bigint not null,
  data         bytea not null,
  observed_at  timestamptz not null,
  created_at   timestamptz not null default now(),
  unique (exec_id, name, offset_start),
  foreign key (exec_id, name) references byte_streams (exec_id, name) on delete cascade
);
