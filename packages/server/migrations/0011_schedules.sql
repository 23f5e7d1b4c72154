-- Cron declarations and their next firing.
-- breaking: no

create table schedules (
  id                uuid primary key,
  org_id            uuid not null,
  project_id        uuid not null,
  environment_id    uuid not null,
  kind              text not null check (kind in ('imperative', 'declarative')),
  task_id           text not null,
  deduplication_key text not null,
  external_id       text,
  cron              text not null,
  timezone          text not null,
  options           jsonb,
  state             text not null check (state in ('active', 'inactive', 'errored')),
  -- A change of cron, zone, task or activity starts a new generation: fires of an older one are void.
  generation        bigint not null default 1,
  failures          int not null default 0,
  last_error        text,
  next_fire_at      timestamptz,                   -- what the cron says
  due_at            timestamptz,                   -- when to act: next_fire_at plus jitter, or the retry time after a failure
  last_fire_at      timestamptz,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),
  unique (environment_id, kind, deduplication_key),
  foreign key (project_id, environment_id) references environments (project_id, id) on delete cascade
);
create index schedules_due on schedules (due_at) where due_at is not null;
create index schedules_list on schedules (environment_id, created_at desc);
