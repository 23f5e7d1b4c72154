-- Hosts that run guests. A worker registers with the enrollment secret of its group and gets a credential of its own; each process start
-- is a new epoch, and leases of older epochs are either adopted by it or fenced.
-- breaking: no

create table worker_enrollments (
  id           uuid primary key,
  worker_group text not null,
  secret_hash  bytea not null unique,
  created_at   timestamptz not null default now(),
  revoked_at   timestamptz
);

create table workers (
  id              uuid primary key,
  worker_group    text not null,
  name            text not null,
  credential_hash bytea not null unique,
  epoch           bigint not null default 0,
  state           text not null check (state in ('joining', 'active', 'draining', 'drained', 'lost')),
  -- What the worker said of itself: driver, accelerator, cpu family, versions, shape limits.
  facts           jsonb not null default '{}',
  restores        text not null default '',        -- which snapshots it can restore (protocol/worker/leases.ts, workerRestores)
  milli_cpu       int not null default 0,
  memory_mib      int not null default 0,
  disk_mib        bigint not null default 0,
  slots           int not null default 0,
  last_seen_at    timestamptz not null default now(),
  created_at      timestamptz not null default now(),
  unique (worker_group, name)
);
create index workers_seen on workers (last_seen_at) where state in ('active', 'draining');
