-- Durable trees: a chain of immutable versions, and at most one live mount (the machine that may write).
-- breaking: no

create table workspaces (
  id                      uuid primary key,
  org_id                  uuid not null,
  project_id              uuid not null,
  environment_id          uuid not null,
  deployment_sandbox_id   uuid not null,
  sandbox_id              text not null,
  sandbox_fingerprint     text not null,
  external_id             text,
  current_version_id      uuid,
  state                   text not null check (state in ('active', 'deleting', 'recovery_required', 'archived', 'deleted')),
  desired_state           text not null default 'active' check (desired_state in ('active', 'stopped', 'archived', 'deleted')),
  dirty_state             text not null default 'clean' check (dirty_state in ('clean', 'dirty', 'capturing', 'capture_failed', 'dirty_state_lost')),
  last_mount_id           uuid,
  fence                   bigint not null default 0,
  metadata                jsonb not null default '{}',
  tags                    text[] not null default '{}',
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  idempotency_expires_at  timestamptz,
  auto_stop_at            timestamptz,
  auto_archive_at         timestamptz,
  auto_delete_at          timestamptz,
  last_activity_at        timestamptz not null default now(),
  created_at              timestamptz not null default now(),
  updated_at              timestamptz not null default now(),
  archived_at             timestamptz,
  deleted_at              timestamptz,
  unique (environment_id, id),
  foreign key (project_id, environment_id) references environments (project_id, id) on delete cascade,
  foreign key (environment_id, deployment_sandbox_id) references deployment_sandboxes (environment_id, id)
);
create unique index workspaces_external on workspaces (environment_id, external_id) where external_id is not null;
create unique index workspaces_idempotency on workspaces (environment_id, idempotency_key_hash) where idempotency_key_hash is not null;
create index workspaces_deleting on workspaces (updated_at) where state = 'deleting';
create index workspaces_archived on workspaces (archived_at) where state = 'archived';
create index workspaces_auto_stop on workspaces (auto_stop_at) where auto_stop_at is not null;
create index workspaces_list on workspaces (environment_id, created_at desc, id desc);

create table workspace_versions (
  id                uuid primary key,
  environment_id    uuid not null,
  workspace_id      uuid not null,
  parent_version_id uuid,
  kind              text not null check (kind in ('user', 'system')),
  state             text not null check (state in ('capturing', 'artifact_verified', 'ready', 'failed', 'deleted')),
  artifact_id       uuid references artifacts,  -- null: the empty tree
  content_digest    text not null,
  size_bytes        bigint not null default 0,  -- logical bytes in files
  entry_count       int not null default 0,
  message           text,
  -- Where the content came from; a failed attempt's tree is kept aside (state failed) and can be inspected and forked.
  run_id            uuid,
  attempt_id        uuid,
  promoted_at       timestamptz,
  created_at        timestamptz not null default now(),
  unique (workspace_id, id),
  foreign key (environment_id, workspace_id) references workspaces (environment_id, id) on delete cascade
);
create index workspace_versions_list on workspace_versions (workspace_id, created_at desc, id desc);
create index workspace_versions_artifact on workspace_versions (artifact_id) where artifact_id is not null;

alter table workspaces add foreign key (id, current_version_id) references workspace_versions (workspace_id, id) deferrable initially deferred;

create table workspace_mounts (
  id                     uuid primary key,
  org_id                 uuid not null,
  project_id             uuid not null,
  environment_id         uuid not null,
  workspace_id           uuid not null,
  deployment_sandbox_id  uuid not null,
  base_version_id        uuid,
  worker_id              uuid references workers,
  lease_id               uuid,
  fence                  bigint not null,
  state                  text not null check (state in ('requested', 'mounting', 'mounted', 'unmounting', 'unmounted', 'lost', 'failed')),
  claim_attempt          int not null default 0,
  dirty_generation       bigint not null default 0,
  error                  jsonb,
  stop_requested_at      timestamptz,
  stop_reason            text,
  reservation_expires_at timestamptz,
  last_heartbeat_at      timestamptz,
  idle_since             timestamptz,
  created_at             timestamptz not null default now(),
  updated_at             timestamptz not null default now(),
  unique (environment_id, id),
  foreign key (environment_id, workspace_id) references workspaces (environment_id, id) on delete cascade
);
-- One live mount and one writer set per workspace: this index, not code.
create unique index workspace_mounts_live on workspace_mounts (workspace_id) where state in ('requested', 'mounting', 'mounted', 'unmounting');
create index workspace_mounts_requested on workspace_mounts (created_at) where state = 'requested';
create index workspace_mounts_worker on workspace_mounts (worker_id) where state in ('mounting', 'mounted', 'unmounting');
create index workspace_mounts_ended on workspace_mounts (updated_at) where state in ('unmounted', 'lost', 'failed');
create index workspace_mounts_workspace on workspace_mounts (workspace_id, created_at desc);

-- A stop with a key is carried out once: its repeat does not stop a mount that came later.
create table workspace_stop_keys (
  workspace_id uuid not null references workspaces on delete cascade,
  key_hash     bytea not null,
  mount_id     uuid,
  expires_at   timestamptz not null,
  primary key (workspace_id, key_hash)
);
create index workspace_stop_keys_expiry on workspace_stop_keys (expires_at);

-- A capture with a key makes one version: the id is here before the version is.
create table workspace_capture_keys (
  workspace_id uuid not null references workspaces on delete cascade,
  key_hash     bytea not null,
  fingerprint  bytea not null,
  version_id   uuid not null,
  is_unchanged boolean not null,
  expires_at   timestamptz not null,
  primary key (workspace_id, key_hash)
);
create index workspace_capture_keys_expiry on workspace_capture_keys (expires_at);
