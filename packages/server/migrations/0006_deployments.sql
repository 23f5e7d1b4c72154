-- Immutable builds of a project's declarations. Promotion moves environments.current_deployment_id, never a deployment.
-- breaking: no

create table deployments (
  id                      uuid primary key,
  org_id                  uuid not null,
  project_id              uuid not null,
  environment_id          uuid not null,
  version                 text not null,        -- YYYYMMDD.N
  content_hash            text not null,        -- sha256:<hex> of the source archive
  source_size_bytes       bigint not null,
  api_version             text not null,
  sdk_version             text,
  cli_version             text,
  bundle_format_version   int not null,
  worker_protocol_version text not null,
  state                   text not null check (state in ('queued', 'building', 'deployed', 'failed')),
  error                   jsonb,
  task_artifact_id        uuid references artifacts,  -- the read-only tree mounted at /opt/helmr-task
  build_manifest_digest   text,
  deployment_manifest_digest text,
  fence                   bigint not null default 0,
  lease_id                uuid,
  build_attempts          int not null default 0,
  build_report_seq        bigint not null default 0, -- last accepted event of the present build's ordered report
  cancel_requested_at     timestamptz,
  event_seq               bigint not null default 0,
  trace_id                text not null,
  created_at              timestamptz not null default now(),
  updated_at              timestamptz not null default now(),
  building_at             timestamptz,
  built_at                timestamptz,
  deployed_at             timestamptz,
  failed_at               timestamptz,
  unique (environment_id, id),
  unique (environment_id, version),
  foreign key (project_id, environment_id) references environments (project_id, id) on delete cascade
);
-- A known content hash returns the existing deployment; a failed one does not stand in the way of another try.
create unique index deployments_content on deployments (environment_id, content_hash) where state <> 'failed';
create index deployments_list on deployments (environment_id, created_at desc, id desc);
create index deployments_source on deployments (org_id, content_hash);
create index deployments_task_artifact on deployments (task_artifact_id) where task_artifact_id is not null;
create index deployments_pending on deployments (created_at) where state in ('queued', 'building');

alter table environments add foreign key (id, current_deployment_id) references deployments (environment_id, id);

-- Counts deployments per environment and UTC day for the version YYYYMMDD.N.
create table deployment_days (
  environment_id uuid not null references environments on delete cascade,
  day            date not null,
  count          int not null,
  primary key (environment_id, day)
);

create table deployment_sandboxes (
  id                 uuid primary key,
  environment_id     uuid not null,
  deployment_id      uuid not null,
  sandbox_id         text not null,
  fingerprint        text not null,
  image_artifact_id  uuid,                      -- null: the built-in base image
  image_ref          text not null,             -- 'helmr/node:24' or the digest of the built image
  image_config       jsonb not null default '{}',
  workspace_path     text not null,
  milli_cpu          int not null,
  memory_mib         int not null,
  disk_mib           int,
  network            jsonb not null,
  created_at         timestamptz not null default now(),
  unique (deployment_id, sandbox_id),
  unique (environment_id, id),
  foreign key (environment_id, deployment_id) references deployments (environment_id, id) on delete cascade
);
create index deployment_sandboxes_image on deployment_sandboxes (image_artifact_id) where image_artifact_id is not null;

create table deployment_tasks (
  id                   uuid primary key,
  environment_id       uuid not null,
  deployment_id        uuid not null,
  task_id              text not null,
  sandbox_id           uuid not null,
  file_path            text not null,
  export_name          text not null,
  module_path          text not null,           -- compiled module below /opt/helmr-task
  bundle_digest        text,
  queue_name           text not null,
  concurrency_limit    int,
  ttl                  text,
  max_duration_seconds int not null,
  retry                jsonb not null,
  secrets              jsonb not null default '[]',
  checkpoint_policy    jsonb not null default '{}',
  created_at           timestamptz not null default now(),
  unique (deployment_id, task_id),
  unique (environment_id, id),
  foreign key (environment_id, deployment_id) references deployments (environment_id, id) on delete cascade,
  foreign key (environment_id, sandbox_id) references deployment_sandboxes (environment_id, id)
);

create table deployment_queues (
  deployment_id     uuid not null references deployments on delete cascade,
  name              text not null,
  concurrency_limit int,
  primary key (deployment_id, name)
);

create table deployment_streams (
  deployment_id uuid not null references deployments on delete cascade,
  direction     text not null check (direction in ('input', 'output')),
  name          text not null,
  fingerprint   text not null,
  primary key (deployment_id, direction, name)
);

create table deployment_schedules (
  deployment_id uuid not null references deployments on delete cascade,
  task_id       text not null,
  cron          text not null,
  timezone      text not null,
  primary key (deployment_id, task_id)
);

create table deployment_events (
  deployment_id uuid not null references deployments on delete cascade,
  seq           bigint not null,
  kind          text not null,
  severity      text not null default 'info',
  message       text not null,
  attributes    jsonb not null default '{}',
  occurred_at   timestamptz not null,
  created_at    timestamptz not null default now(),
  primary key (deployment_id, seq)
);
