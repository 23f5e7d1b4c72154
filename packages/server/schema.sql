-- What the migrations add up to. Made by scripts/generate-schema.ts (npm run generate); never edited by hand.

create table api_keys (
  id             uuid not null,
  org_id         uuid not null,
  project_id     uuid not null,
  environment_id uuid not null,
  name           text not null,
  key_hash       bytea not null,
  key_prefix     text not null,
  scopes         text[] not null,
  creator_id     uuid,
  created_at     timestamp with time zone not null default now(),
  last_used_at   timestamp with time zone,
  expires_at     timestamp with time zone,
  revoked_at     timestamp with time zone,
  constraint api_keys_pkey PRIMARY KEY (id),
  constraint api_keys_key_hash_key UNIQUE (key_hash),
  constraint api_keys_creator_id_fkey FOREIGN KEY (creator_id) REFERENCES users(id),
  constraint api_keys_project_id_environment_id_fkey FOREIGN KEY (project_id, environment_id) REFERENCES environments(project_id, id) ON DELETE CASCADE
);
CREATE INDEX api_keys_environment ON public.api_keys USING btree (environment_id, created_at DESC);

create table artifact_packs (
  artifact_id uuid not null,
  pack_id     uuid not null,
  constraint artifact_packs_pkey PRIMARY KEY (artifact_id, pack_id),
  constraint artifact_packs_artifact_id_fkey FOREIGN KEY (artifact_id) REFERENCES artifacts(id) ON DELETE CASCADE,
  constraint artifact_packs_pack_id_fkey FOREIGN KEY (pack_id) REFERENCES packs(id)
);
CREATE INDEX artifact_packs_pack ON public.artifact_packs USING btree (pack_id);

create table artifacts (
  id                 uuid not null,
  org_id             uuid not null,
  kind               text not null,
  state              text not null,
  manifest_key       text not null,
  digest             text not null,
  length_bytes       bigint not null,
  stored_bytes       bigint not null,
  sealed_with        text[],
  unreferenced_since timestamp with time zone,
  deleted_at         timestamp with time zone,
  purged_at          timestamp with time zone,
  created_at         timestamp with time zone not null default now(),
  constraint artifacts_pkey PRIMARY KEY (id),
  constraint artifacts_kind_check CHECK ((kind = ANY (ARRAY['image'::text, 'task'::text, 'workspace'::text, 'memory'::text, 'device'::text, 'scratch'::text]))),
  constraint artifacts_state_check CHECK ((state = ANY (ARRAY['ready'::text, 'corrupt'::text, 'deleted'::text]))),
  constraint artifacts_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id) ON DELETE CASCADE
);
CREATE INDEX artifacts_digest ON public.artifacts USING btree (org_id, kind, digest);
CREATE INDEX artifacts_tombstones ON public.artifacts USING btree (purged_at) WHERE (purged_at IS NOT NULL);
CREATE INDEX artifacts_unpurged ON public.artifacts USING btree (deleted_at) WHERE ((deleted_at IS NOT NULL) AND (purged_at IS NULL));
CREATE INDEX artifacts_unreferenced ON public.artifacts USING btree (unreferenced_since) WHERE ((unreferenced_since IS NOT NULL) AND (state <> 'deleted'::text));

create table blobs (
  org_id             uuid not null,
  digest             text not null,
  media_type         text not null,
  size_bytes         bigint not null,
  unreferenced_since timestamp with time zone,
  created_at         timestamp with time zone not null default now(),
  constraint blobs_pkey PRIMARY KEY (org_id, digest),
  constraint blobs_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id) ON DELETE CASCADE
);
CREATE INDEX blobs_unreferenced ON public.blobs USING btree (unreferenced_since) WHERE (unreferenced_since IS NOT NULL);

create table byte_chunks (
  id           uuid not null,
  exec_id      uuid not null,
  name         text not null,
  offset_start bigint not null,
  offset_end   bigint not null,
  data         bytea not null,
  observed_at  timestamp with time zone not null,
  created_at   timestamp with time zone not null default now(),
  constraint byte_chunks_pkey PRIMARY KEY (id),
  constraint byte_chunks_exec_id_name_offset_start_key UNIQUE (exec_id, name, offset_start),
  constraint byte_chunks_exec_id_name_fkey FOREIGN KEY (exec_id, name) REFERENCES byte_streams(exec_id, name) ON DELETE CASCADE
);

create table byte_streams (
  exec_id   uuid not null,
  name      text not null,
  length    bigint not null default 0,
  earliest  bigint not null default 0,
  delivered bigint not null default 0,
  closed_at timestamp with time zone,
  constraint byte_streams_pkey PRIMARY KEY (exec_id, name),
  constraint byte_streams_name_check CHECK ((name = ANY (ARRAY['stdin'::text, 'stdout'::text, 'stderr'::text, 'input'::text, 'output'::text]))),
  constraint byte_streams_exec_id_fkey FOREIGN KEY (exec_id) REFERENCES workspace_execs(id) ON DELETE CASCADE
);

create table checkpoints (
  id                   uuid not null,
  environment_id       uuid not null,
  run_id               uuid not null,
  attempt_id           uuid not null,
  wait_id              uuid not null,
  state                text not null,
  worker_id            uuid,
  compatibility        jsonb not null,
  requires             text,
  resume_state         jsonb not null default '{}'::jsonb,
  template_artifact_id uuid,
  memory_artifact_id   uuid,
  device_artifact_id   uuid,
  scratch_artifact_id  uuid,
  workspace_version_id uuid,
  key_id               text,
  stored_bytes         bigint not null default 0,
  pause_ms             integer,
  restore_failures     integer not null default 0,
  created_at           timestamp with time zone not null default now(),
  ready_at             timestamp with time zone,
  ended_at             timestamp with time zone,
  constraint checkpoints_pkey PRIMARY KEY (id),
  constraint checkpoints_state_check CHECK ((state = ANY (ARRAY['creating'::text, 'ready'::text, 'invalid'::text, 'deleted'::text]))),
  constraint checkpoints_device_artifact_id_fkey FOREIGN KEY (device_artifact_id) REFERENCES artifacts(id),
  constraint checkpoints_memory_artifact_id_fkey FOREIGN KEY (memory_artifact_id) REFERENCES artifacts(id),
  constraint checkpoints_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE,
  constraint checkpoints_scratch_artifact_id_fkey FOREIGN KEY (scratch_artifact_id) REFERENCES artifacts(id),
  constraint checkpoints_template_artifact_id_fkey FOREIGN KEY (template_artifact_id) REFERENCES artifacts(id),
  constraint checkpoints_wait_id_fkey FOREIGN KEY (wait_id) REFERENCES run_waits(id) ON DELETE CASCADE,
  constraint checkpoints_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers(id)
);
CREATE INDEX checkpoints_device ON public.checkpoints USING btree (device_artifact_id) WHERE (device_artifact_id IS NOT NULL);
CREATE INDEX checkpoints_ended ON public.checkpoints USING btree (ended_at) WHERE ((state = ANY (ARRAY['invalid'::text, 'deleted'::text])) AND (memory_artifact_id IS NOT NULL));
CREATE INDEX checkpoints_memory ON public.checkpoints USING btree (memory_artifact_id) WHERE (memory_artifact_id IS NOT NULL);
CREATE INDEX checkpoints_released ON public.checkpoints USING btree (ended_at) WHERE ((state = ANY (ARRAY['invalid'::text, 'deleted'::text])) AND (memory_artifact_id IS NULL));
CREATE INDEX checkpoints_run ON public.checkpoints USING btree (run_id, created_at DESC);
CREATE INDEX checkpoints_run_ready ON public.checkpoints USING btree (run_id) WHERE (state = 'ready'::text);
CREATE INDEX checkpoints_scratch ON public.checkpoints USING btree (scratch_artifact_id) WHERE (scratch_artifact_id IS NOT NULL);
CREATE INDEX checkpoints_template ON public.checkpoints USING btree (template_artifact_id) WHERE (template_artifact_id IS NOT NULL);
CREATE INDEX checkpoints_wait ON public.checkpoints USING btree (wait_id);

create table continuations (
  record_id  uuid not null,
  session_id uuid not null,
  stream_id  uuid not null,
  sequence   bigint not null,
  position   bigint not null,
  state      text not null,
  run_id     uuid,
  created_at timestamp with time zone not null default now(),
  constraint continuations_pkey PRIMARY KEY (record_id),
  constraint continuations_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'started'::text, 'read'::text, 'skipped'::text]))),
  constraint continuations_record_id_fkey FOREIGN KEY (record_id) REFERENCES stream_records(id) ON DELETE CASCADE,
  constraint continuations_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE
);
CREATE INDEX continuations_pending ON public.continuations USING btree (session_id, "position") WHERE (state = 'pending'::text);
CREATE INDEX continuations_session ON public.continuations USING btree (session_id);

create table deployment_days (
  environment_id uuid not null,
  day            date not null,
  count          integer not null,
  constraint deployment_days_pkey PRIMARY KEY (environment_id, day),
  constraint deployment_days_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE
);

create table deployment_events (
  deployment_id uuid not null,
  seq           bigint not null,
  kind          text not null,
  severity      text not null default 'info'::text,
  message       text not null,
  attributes    jsonb not null default '{}'::jsonb,
  occurred_at   timestamp with time zone not null,
  created_at    timestamp with time zone not null default now(),
  constraint deployment_events_pkey PRIMARY KEY (deployment_id, seq),
  constraint deployment_events_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
);

create table deployment_queues (
  deployment_id     uuid not null,
  name              text not null,
  concurrency_limit integer,
  constraint deployment_queues_pkey PRIMARY KEY (deployment_id, name),
  constraint deployment_queues_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
);

create table deployment_sandboxes (
  id                uuid not null,
  environment_id    uuid not null,
  deployment_id     uuid not null,
  sandbox_id        text not null,
  fingerprint       text not null,
  image_artifact_id uuid,
  image_ref         text not null,
  image_config      jsonb not null default '{}'::jsonb,
  workspace_path    text not null,
  milli_cpu         integer not null,
  memory_mib        integer not null,
  disk_mib          integer,
  network           jsonb not null,
  created_at        timestamp with time zone not null default now(),
  constraint deployment_sandboxes_pkey PRIMARY KEY (id),
  constraint deployment_sandboxes_deployment_id_sandbox_id_key UNIQUE (deployment_id, sandbox_id),
  constraint deployment_sandboxes_environment_id_id_key UNIQUE (environment_id, id),
  constraint deployment_sandboxes_environment_id_deployment_id_fkey FOREIGN KEY (environment_id, deployment_id) REFERENCES deployments(environment_id, id) ON DELETE CASCADE
);
CREATE INDEX deployment_sandboxes_image ON public.deployment_sandboxes USING btree (image_artifact_id) WHERE (image_artifact_id IS NOT NULL);

create table deployment_schedules (
  deployment_id uuid not null,
  task_id       text not null,
  cron          text not null,
  timezone      text not null,
  constraint deployment_schedules_pkey PRIMARY KEY (deployment_id, task_id),
  constraint deployment_schedules_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
);

create table deployment_streams (
  deployment_id uuid not null,
  direction     text not null,
  name          text not null,
  fingerprint   text not null,
  constraint deployment_streams_pkey PRIMARY KEY (deployment_id, direction, name),
  constraint deployment_streams_direction_check CHECK ((direction = ANY (ARRAY['input'::text, 'output'::text]))),
  constraint deployment_streams_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
);

create table deployment_tasks (
  id                   uuid not null,
  environment_id       uuid not null,
  deployment_id        uuid not null,
  task_id              text not null,
  sandbox_id           uuid not null,
  file_path            text not null,
  export_name          text not null,
  module_path          text not null,
  bundle_digest        text,
  queue_name           text not null,
  concurrency_limit    integer,
  ttl                  text,
  max_duration_seconds integer not null,
  retry                jsonb not null,
  secrets              jsonb not null default '[]'::jsonb,
  checkpoint_policy    jsonb not null default '{}'::jsonb,
  created_at           timestamp with time zone not null default now(),
  constraint deployment_tasks_pkey PRIMARY KEY (id),
  constraint deployment_tasks_deployment_id_task_id_key UNIQUE (deployment_id, task_id),
  constraint deployment_tasks_environment_id_id_key UNIQUE (environment_id, id),
  constraint deployment_tasks_environment_id_deployment_id_fkey FOREIGN KEY (environment_id, deployment_id) REFERENCES deployments(environment_id, id) ON DELETE CASCADE,
  constraint deployment_tasks_environment_id_sandbox_id_fkey FOREIGN KEY (environment_id, sandbox_id) REFERENCES deployment_sandboxes(environment_id, id)
);

create table deployments (
  id                         uuid not null,
  org_id                     uuid not null,
  project_id                 uuid not null,
  environment_id             uuid not null,
  version                    text not null,
  content_hash               text not null,
  source_size_bytes          bigint not null,
  api_version                text not null,
  sdk_version                text,
  cli_version                text,
  bundle_format_version      integer not null,
  worker_protocol_version    text not null,
  state                      text not null,
  error                      jsonb,
  task_artifact_id           uuid,
  build_manifest_digest      text,
  deployment_manifest_digest text,
  fence                      bigint not null default 0,
  lease_id                   uuid,
  build_attempts             integer not null default 0,
  build_report_seq           bigint not null default 0,
  cancel_requested_at        timestamp with time zone,
  event_seq                  bigint not null default 0,
  trace_id                   text not null,
  created_at                 timestamp with time zone not null default now(),
  updated_at                 timestamp with time zone not null default now(),
  building_at                timestamp with time zone,
  built_at                   timestamp with time zone,
  deployed_at                timestamp with time zone,
  failed_at                  timestamp with time zone,
  constraint deployments_pkey PRIMARY KEY (id),
  constraint deployments_environment_id_id_key UNIQUE (environment_id, id),
  constraint deployments_environment_id_version_key UNIQUE (environment_id, version),
  constraint deployments_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'building'::text, 'deployed'::text, 'failed'::text]))),
  constraint deployments_project_id_environment_id_fkey FOREIGN KEY (project_id, environment_id) REFERENCES environments(project_id, id) ON DELETE CASCADE,
  constraint deployments_task_artifact_id_fkey FOREIGN KEY (task_artifact_id) REFERENCES artifacts(id)
);
CREATE UNIQUE INDEX deployments_content ON public.deployments USING btree (environment_id, content_hash) WHERE (state <> 'failed'::text);
CREATE INDEX deployments_list ON public.deployments USING btree (environment_id, created_at DESC, id DESC);
CREATE INDEX deployments_pending ON public.deployments USING btree (created_at) WHERE (state = ANY (ARRAY['queued'::text, 'building'::text]));
CREATE INDEX deployments_source ON public.deployments USING btree (org_id, content_hash);
CREATE INDEX deployments_task_artifact ON public.deployments USING btree (task_artifact_id) WHERE (task_artifact_id IS NOT NULL);

create table device_logins (
  id               uuid not null,
  device_code_hash bytea not null,
  user_code        text not null,
  status           text not null,
  user_id          uuid,
  last_polled_at   timestamp with time zone,
  created_at       timestamp with time zone not null default now(),
  expires_at       timestamp with time zone not null,
  constraint device_logins_pkey PRIMARY KEY (id),
  constraint device_logins_device_code_hash_key UNIQUE (device_code_hash),
  constraint device_logins_user_code_key UNIQUE (user_code),
  constraint device_logins_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text, 'denied'::text, 'consumed'::text, 'expired'::text]))),
  constraint device_logins_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX device_logins_expiry ON public.device_logins USING btree (expires_at);

create table environments (
  id                    uuid not null,
  org_id                uuid not null,
  project_id            uuid not null,
  slug                  text not null,
  name                  text not null,
  color_hex             text not null,
  is_default            boolean not null default false,
  worker_group          text not null default 'default'::text,
  current_deployment_id uuid,
  created_at            timestamp with time zone not null default now(),
  updated_at            timestamp with time zone not null default now(),
  deleted_at            timestamp with time zone,
  constraint environments_pkey PRIMARY KEY (id),
  constraint environments_project_id_id_key UNIQUE (project_id, id),
  constraint environments_id_current_deployment_id_fkey FOREIGN KEY (id, current_deployment_id) REFERENCES deployments(environment_id, id),
  constraint environments_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES projects(org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX environments_default ON public.environments USING btree (project_id) WHERE (is_default AND (deleted_at IS NULL));
CREATE INDEX environments_deleted ON public.environments USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE UNIQUE INDEX environments_slug ON public.environments USING btree (project_id, slug) WHERE (deleted_at IS NULL);

create table image_steps (
  project_id  uuid not null,
  key         text not null,
  place       text not null,
  inputs      jsonb not null,
  config      jsonb not null,
  artifact_id uuid not null,
  created_at  timestamp with time zone not null default now(),
  used_at     timestamp with time zone not null default now(),
  constraint image_steps_pkey PRIMARY KEY (project_id, key),
  constraint image_steps_artifact_id_fkey FOREIGN KEY (artifact_id) REFERENCES artifacts(id) ON DELETE CASCADE,
  constraint image_steps_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE
);
CREATE INDEX image_steps_artifact ON public.image_steps USING btree (artifact_id);
CREATE INDEX image_steps_place ON public.image_steps USING btree (project_id, place, created_at DESC);
CREATE INDEX image_steps_used ON public.image_steps USING btree (used_at);

create table invitations (
  id                  uuid not null,
  org_id              uuid not null,
  token_hash          bytea not null,
  email               text not null,
  role                text not null,
  status              text not null,
  invited_by_user_id  uuid,
  accepted_by_user_id uuid,
  revoked_by_user_id  uuid,
  created_at          timestamp with time zone not null default now(),
  expires_at          timestamp with time zone not null,
  accepted_at         timestamp with time zone,
  revoked_at          timestamp with time zone,
  constraint invitations_pkey PRIMARY KEY (id),
  constraint invitations_token_hash_key UNIQUE (token_hash),
  constraint invitations_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'developer'::text, 'viewer'::text]))),
  constraint invitations_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'accepted'::text, 'revoked'::text]))),
  constraint invitations_accepted_by_user_id_fkey FOREIGN KEY (accepted_by_user_id) REFERENCES users(id),
  constraint invitations_invited_by_user_id_fkey FOREIGN KEY (invited_by_user_id) REFERENCES users(id),
  constraint invitations_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id) ON DELETE CASCADE,
  constraint invitations_revoked_by_user_id_fkey FOREIGN KEY (revoked_by_user_id) REFERENCES users(id)
);
CREATE INDEX invitations_org ON public.invitations USING btree (org_id, created_at DESC);

create table leases (
  id            uuid not null,
  kind          text not null,
  run_id        uuid,
  deployment_id uuid,
  mount_id      uuid,
  attempt_id    uuid,
  in_mount_id   uuid,
  worker_id     uuid not null,
  worker_epoch  bigint not null,
  fence         bigint not null,
  lane          text,
  state         text not null,
  milli_cpu     integer not null,
  memory_mib    integer not null,
  disk_mib      bigint not null,
  active_ms     bigint not null default 0,
  granted_at    timestamp with time zone not null default now(),
  deadline      timestamp with time zone not null,
  ended_at      timestamp with time zone,
  constraint leases_pkey PRIMARY KEY (id),
  constraint leases_check CHECK ((num_nonnulls(run_id, deployment_id, mount_id) = 1)),
  constraint leases_kind_check CHECK ((kind = ANY (ARRAY['run'::text, 'build'::text, 'mount'::text]))),
  constraint leases_state_check CHECK ((state = ANY (ARRAY['held'::text, 'released'::text, 'expired'::text, 'fenced'::text]))),
  constraint leases_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE,
  constraint leases_mount_id_fkey FOREIGN KEY (mount_id) REFERENCES workspace_mounts(id) ON DELETE CASCADE,
  constraint leases_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE,
  constraint leases_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers(id)
);
CREATE INDEX leases_build ON public.leases USING btree (deployment_id) WHERE (deployment_id IS NOT NULL);
CREATE UNIQUE INDEX leases_build_held ON public.leases USING btree (deployment_id) WHERE ((state = 'held'::text) AND (deployment_id IS NOT NULL));
CREATE INDEX leases_deadline ON public.leases USING btree (deadline) WHERE (state = 'held'::text);
CREATE INDEX leases_ended ON public.leases USING btree (ended_at) WHERE (state <> 'held'::text);
CREATE UNIQUE INDEX leases_in_mount_held ON public.leases USING btree (in_mount_id) WHERE ((state = 'held'::text) AND (in_mount_id IS NOT NULL));
CREATE INDEX leases_lane_held ON public.leases USING btree (lane) WHERE ((state = 'held'::text) AND (lane IS NOT NULL));
CREATE INDEX leases_mount ON public.leases USING btree (mount_id) WHERE (mount_id IS NOT NULL);
CREATE UNIQUE INDEX leases_mount_held ON public.leases USING btree (mount_id) WHERE ((state = 'held'::text) AND (mount_id IS NOT NULL));
CREATE INDEX leases_run ON public.leases USING btree (run_id) WHERE (run_id IS NOT NULL);
CREATE UNIQUE INDEX leases_run_held ON public.leases USING btree (run_id) WHERE ((state = 'held'::text) AND (run_id IS NOT NULL));
CREATE INDEX leases_worker_held ON public.leases USING btree (worker_id) WHERE (state = 'held'::text);
CREATE INDEX leases_worker_lost ON public.leases USING btree (worker_id, ended_at) WHERE (state = ANY (ARRAY['expired'::text, 'fenced'::text]));

create table local_login_links (
  id         uuid not null,
  token_hash bytea not null,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  used_at    timestamp with time zone,
  constraint local_login_links_pkey PRIMARY KEY (id),
  constraint local_login_links_token_hash_key UNIQUE (token_hash)
);

create table login_sessions (
  id           uuid not null,
  token_hash   bytea not null,
  user_id      uuid not null,
  kind         text not null,
  created_at   timestamp with time zone not null default now(),
  last_used_at timestamp with time zone not null default now(),
  expires_at   timestamp with time zone not null,
  revoked_at   timestamp with time zone,
  constraint login_sessions_pkey PRIMARY KEY (id),
  constraint login_sessions_token_hash_key UNIQUE (token_hash),
  constraint login_sessions_kind_check CHECK ((kind = ANY (ARRAY['browser'::text, 'device'::text]))),
  constraint login_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX login_sessions_expiry ON public.login_sessions USING btree (expires_at);
CREATE INDEX login_sessions_user ON public.login_sessions USING btree (user_id);

create table magic_links (
  id            uuid not null,
  token_hash    bytea not null,
  email         text not null,
  next_path     text,
  invitation_id uuid,
  created_at    timestamp with time zone not null default now(),
  expires_at    timestamp with time zone not null,
  used_at       timestamp with time zone,
  constraint magic_links_pkey PRIMARY KEY (id),
  constraint magic_links_token_hash_key UNIQUE (token_hash)
);
CREATE INDEX magic_links_email ON public.magic_links USING btree (email, created_at);
CREATE INDEX magic_links_expiry ON public.magic_links USING btree (expires_at);

create table members (
  org_id      uuid not null,
  user_id     uuid not null,
  role        text not null,
  status      text not null default 'active'::text,
  created_at  timestamp with time zone not null default now(),
  updated_at  timestamp with time zone not null default now(),
  disabled_at timestamp with time zone,
  constraint members_pkey PRIMARY KEY (org_id, user_id),
  constraint members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'developer'::text, 'viewer'::text]))),
  constraint members_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text]))),
  constraint members_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id),
  constraint members_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)
);
CREATE INDEX members_user ON public.members USING btree (user_id);

create table organizations (
  id         uuid not null,
  slug       text not null,
  name       text not null,
  created_at timestamp with time zone not null default now(),
  constraint organizations_pkey PRIMARY KEY (id),
  constraint organizations_slug_key UNIQUE (slug)
);

create table packs (
  id                 uuid not null,
  org_id             uuid not null,
  object_key         text not null,
  size_bytes         bigint not null,
  created_at         timestamp with time zone not null default now(),
  unreferenced_since timestamp with time zone,
  deleted_at         timestamp with time zone,
  purged_at          timestamp with time zone,
  constraint packs_pkey PRIMARY KEY (id),
  constraint packs_object_key_key UNIQUE (object_key),
  constraint packs_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id) ON DELETE CASCADE
);
CREATE INDEX packs_live ON public.packs USING btree (org_id, created_at) WHERE (deleted_at IS NULL);
CREATE INDEX packs_tombstones ON public.packs USING btree (purged_at) WHERE (purged_at IS NOT NULL);
CREATE INDEX packs_unpurged ON public.packs USING btree (deleted_at) WHERE ((deleted_at IS NOT NULL) AND (purged_at IS NULL));
CREATE INDEX packs_unreferenced ON public.packs USING btree (unreferenced_since) WHERE ((unreferenced_since IS NOT NULL) AND (deleted_at IS NULL));

create table projects (
  id         uuid not null,
  org_id     uuid not null,
  slug       text not null,
  name       text not null,
  is_default boolean not null default false,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  deleted_at timestamp with time zone,
  constraint projects_pkey PRIMARY KEY (id),
  constraint projects_org_id_id_key UNIQUE (org_id, id),
  constraint projects_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id)
);
CREATE UNIQUE INDEX projects_default ON public.projects USING btree (org_id) WHERE (is_default AND (deleted_at IS NULL));
CREATE INDEX projects_deleted ON public.projects USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE UNIQUE INDEX projects_slug ON public.projects USING btree (org_id, slug) WHERE (deleted_at IS NULL);

create table public_access_tokens (
  id             uuid not null,
  environment_id uuid not null,
  token_hash     bytea not null,
  kind           text not null,
  session_id     uuid not null,
  stream         text not null,
  correlation_id text,
  uses           integer not null default 0,
  max_uses       integer,
  expires_at     timestamp with time zone not null,
  revoked_at     timestamp with time zone,
  created_at     timestamp with time zone not null default now(),
  constraint public_access_tokens_pkey PRIMARY KEY (id),
  constraint public_access_tokens_token_hash_key UNIQUE (token_hash),
  constraint public_access_tokens_kind_check CHECK ((kind = ANY (ARRAY['session.input.send'::text, 'session.output.read'::text]))),
  constraint public_access_tokens_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE,
  constraint public_access_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE
);
CREATE INDEX public_access_tokens_expiry ON public.public_access_tokens USING btree (expires_at);
CREATE INDEX public_access_tokens_session ON public.public_access_tokens USING btree (session_id);

create table rate_limits (
  key        text not null,
  tokens     double precision not null,
  updated_at timestamp with time zone not null,
  constraint rate_limits_pkey PRIMARY KEY (key)
);
CREATE INDEX rate_limits_age ON public.rate_limits USING btree (updated_at);

create table run_attempts (
  id         uuid not null,
  run_id     uuid not null,
  number     integer not null,
  state      text not null,
  report_seq bigint not null default 0,
  exit_code  integer,
  failure    jsonb,
  created_at timestamp with time zone not null default now(),
  started_at timestamp with time zone,
  ended_at   timestamp with time zone,
  constraint run_attempts_pkey PRIMARY KEY (id),
  constraint run_attempts_run_id_number_key UNIQUE (run_id, number),
  constraint run_attempts_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text, 'lost'::text]))),
  constraint run_attempts_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);

create table run_counts (
  environment_id uuid not null,
  outcome        text not null,
  shard          smallint not null,
  count          bigint not null default 0,
  constraint run_counts_pkey PRIMARY KEY (environment_id, outcome, shard),
  constraint run_counts_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE
);

create table run_events (
  run_id         uuid not null,
  seq            bigint not null,
  kind           text not null,
  category       text not null,
  severity       text not null,
  source         text not null,
  redaction      text not null,
  attributes     jsonb not null default '{}'::jsonb,
  lease_id       uuid,
  attempt_id     uuid,
  attempt_number integer,
  occurred_at    timestamp with time zone not null,
  created_at     timestamp with time zone not null default now(),
  constraint run_events_pkey PRIMARY KEY (run_id, seq),
  constraint run_events_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);

create table run_log_chunks (
  run_id         uuid not null,
  seq            bigint not null,
  stream         text not null,
  offset_start   bigint not null,
  offset_end     bigint not null,
  first_record   bigint not null,
  record_count   integer not null,
  tail_before    integer not null,
  lease_id       uuid not null,
  attempt_id     uuid not null,
  attempt_number integer not null,
  observed_seq   bigint not null,
  data           bytea not null,
  observed_at    timestamp with time zone not null,
  constraint run_log_chunks_pkey PRIMARY KEY (run_id, seq),
  constraint run_log_chunks_stream_check CHECK ((stream = ANY (ARRAY['stdout'::text, 'stderr'::text, 'logger'::text]))),
  constraint run_log_chunks_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX run_log_chunks_offset ON public.run_log_chunks USING btree (run_id, stream, offset_start) WHERE (offset_end > offset_start);
CREATE INDEX run_log_chunks_record ON public.run_log_chunks USING btree (run_id, first_record) WHERE (record_count > 0);

create table run_log_streams (
  run_id        uuid not null,
  stream        text not null,
  length        bigint not null default 0,
  earliest      bigint not null default 0,
  tail          integer not null default 0,
  attempt_id    uuid,
  attempt_start bigint not null default 0,
  constraint run_log_streams_pkey PRIMARY KEY (run_id, stream),
  constraint run_log_streams_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);

create table run_operations (
  id                      uuid not null,
  environment_id          uuid not null,
  run_id                  uuid not null,
  kind                    text not null,
  state                   text not null,
  reason                  text,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamp with time zone not null default now(),
  applied_at              timestamp with time zone,
  constraint run_operations_pkey PRIMARY KEY (id),
  constraint run_operations_kind_check CHECK ((kind = 'cancel'::text)),
  constraint run_operations_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'applied'::text, 'rejected'::text]))),
  constraint run_operations_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);
CREATE INDEX run_operations_age ON public.run_operations USING btree (created_at);
CREATE UNIQUE INDEX run_operations_key ON public.run_operations USING btree (run_id, idempotency_key_hash) WHERE (idempotency_key_hash IS NOT NULL);

create table run_queue (
  run_id         uuid not null,
  environment_id uuid not null,
  worker_group   text not null,
  workspace_id   uuid not null,
  lane           text,
  lane_limit     integer,
  gate           text not null,
  resume         boolean not null default false,
  priority       integer not null,
  ready_at       timestamp with time zone not null,
  expires_at     timestamp with time zone,
  milli_cpu      integer not null,
  memory_mib     integer not null,
  disk_mib       bigint not null,
  image_ref      text not null,
  checkpoint_id  uuid,
  requires       text,
  mount_id       uuid,
  queued_at      timestamp with time zone not null default now(),
  constraint run_queue_pkey PRIMARY KEY (run_id),
  constraint run_queue_gate_check CHECK ((gate = ANY (ARRAY['delayed'::text, 'workspace'::text, 'lane'::text, 'open'::text]))),
  constraint run_queue_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX run_queue_admitted ON public.run_queue USING btree (workspace_id) WHERE (gate = ANY (ARRAY['lane'::text, 'open'::text]));
CREATE INDEX run_queue_delayed ON public.run_queue USING btree (ready_at) WHERE (gate = 'delayed'::text);
CREATE INDEX run_queue_expiry ON public.run_queue USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX run_queue_gate ON public.run_queue USING btree (gate, lane, workspace_id) WHERE (gate = ANY (ARRAY['workspace'::text, 'lane'::text]));
CREATE INDEX run_queue_lane ON public.run_queue USING btree (lane, gate, resume DESC, priority DESC, ready_at, run_id) WHERE ((gate = ANY (ARRAY['open'::text, 'lane'::text])) AND (lane IS NOT NULL));
CREATE INDEX run_queue_mount ON public.run_queue USING btree (worker_group, workspace_id) WHERE (mount_id IS NOT NULL);
CREATE INDEX run_queue_open ON public.run_queue USING btree (worker_group, environment_id, milli_cpu, memory_mib, disk_mib, resume DESC, priority DESC, ready_at, run_id) WHERE ((gate = 'open'::text) AND (mount_id IS NULL));
CREATE INDEX run_queue_resume ON public.run_queue USING btree (ready_at) WHERE resume;
CREATE INDEX run_queue_workspace ON public.run_queue USING btree (workspace_id, resume DESC, priority DESC, ready_at, run_id) WHERE (gate = 'workspace'::text);

create table run_waits (
  id              uuid not null,
  environment_id  uuid not null,
  run_id          uuid not null,
  attempt_id      uuid not null,
  call_id         bigint not null,
  kind            text,
  condition       text not null,
  suspension      text not null,
  parkable        boolean not null,
  token_id        uuid,
  stream_id       uuid,
  after_sequence  bigint,
  correlation_id  text,
  due_at          timestamp with time zone,
  timeout_at      timestamp with time zone,
  timeout_seconds integer,
  params          jsonb not null,
  metadata        jsonb not null default '{}'::jsonb,
  tags            text[] not null default '{}'::text[],
  record_id       uuid,
  resolved_by     jsonb,
  created_at      timestamp with time zone not null default now(),
  resolved_at     timestamp with time zone,
  wake_at         timestamp with time zone,
  park_after      timestamp with time zone,
  parked_at       timestamp with time zone,
  constraint run_waits_pkey PRIMARY KEY (id),
  constraint run_waits_attempt_id_call_id_key UNIQUE (attempt_id, call_id),
  constraint run_waits_check CHECK (((kind IS NOT NULL) OR (condition = 'cancelled'::text))),
  constraint run_waits_condition_check CHECK ((condition = ANY (ARRAY['open'::text, 'satisfied'::text, 'timed_out'::text, 'cancelled'::text]))),
  constraint run_waits_kind_check CHECK ((kind = ANY (ARRAY['token'::text, 'stream'::text, 'timer'::text]))),
  constraint run_waits_suspension_check CHECK ((suspension = ANY (ARRAY['live'::text, 'parking'::text, 'parked'::text, 'resuming'::text, 'resumed'::text]))),
  constraint run_waits_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);
CREATE INDEX run_waits_run ON public.run_waits USING btree (run_id);
CREATE INDEX run_waits_run_open ON public.run_waits USING btree (run_id) WHERE (condition = 'open'::text);
CREATE INDEX run_waits_run_parked ON public.run_waits USING btree (run_id) WHERE (suspension = ANY (ARRAY['parked'::text, 'resuming'::text]));
CREATE INDEX run_waits_stream_open ON public.run_waits USING btree (stream_id) WHERE ((condition = 'open'::text) AND (stream_id IS NOT NULL));
CREATE INDEX run_waits_token_open ON public.run_waits USING btree (token_id) WHERE ((condition = 'open'::text) AND (token_id IS NOT NULL));
CREATE INDEX run_waits_wake ON public.run_waits USING btree (wake_at) WHERE ((condition = 'open'::text) AND (wake_at IS NOT NULL));

create table runs (
  id                   uuid not null,
  org_id               uuid not null,
  project_id           uuid not null,
  environment_id       uuid not null,
  session_id           uuid not null,
  deployment_id        uuid not null,
  deployment_task_id   uuid not null,
  task_id              text not null,
  workspace_id         uuid not null,
  turn_index           integer not null,
  previous_run_id      uuid,
  state                text not null,
  outcome              text,
  attempt_id           uuid,
  attempt_number       integer,
  lease_id             uuid,
  fence                bigint not null default 0,
  parked_wait_id       uuid,
  checkpoint_id        uuid,
  payload              json not null,
  queue_name           text not null,
  concurrency_key      text,
  concurrency_limit    integer,
  priority             integer not null default 0,
  ttl_ms               bigint,
  ttl_text             text,
  max_duration_seconds integer not null,
  retry                jsonb not null,
  secrets              jsonb not null default '[]'::jsonb,
  api_version          text not null,
  sdk_version          text,
  cli_version          text,
  deployment_version   text not null,
  trace_id             text not null,
  metadata             jsonb not null default '{}'::jsonb,
  tags                 text[] not null default '{}'::text[],
  output               json,
  exit_code            integer,
  failure              jsonb,
  active_ms            bigint not null default 0,
  lost_starts          integer not null default 0,
  event_seq            bigint not null default 0,
  log_seq              bigint not null default 0,
  record_seq           bigint not null default 0,
  cancel               jsonb,
  cancel_due_at        timestamp with time zone,
  queued_at            timestamp with time zone not null default now(),
  started_at           timestamp with time zone,
  finished_at          timestamp with time zone,
  created_at           timestamp with time zone not null default now(),
  updated_at           timestamp with time zone not null default now(),
  constraint runs_pkey PRIMARY KEY (id),
  constraint runs_environment_id_id_key UNIQUE (environment_id, id),
  constraint runs_session_id_turn_index_key UNIQUE (session_id, turn_index),
  constraint runs_check CHECK (((state = 'finished'::text) = (outcome IS NOT NULL))),
  constraint runs_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text, 'expired'::text, 'dead_lettered'::text]))),
  constraint runs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'leased'::text, 'executing'::text, 'waiting'::text, 'cancelling'::text, 'finished'::text]))),
  constraint runs_checkpoint_id_fkey FOREIGN KEY (checkpoint_id) REFERENCES checkpoints(id) DEFERRABLE INITIALLY DEFERRED,
  constraint runs_environment_id_deployment_id_fkey FOREIGN KEY (environment_id, deployment_id) REFERENCES deployments(environment_id, id),
  constraint runs_environment_id_deployment_task_id_fkey FOREIGN KEY (environment_id, deployment_task_id) REFERENCES deployment_tasks(environment_id, id),
  constraint runs_environment_id_session_id_fkey FOREIGN KEY (environment_id, session_id) REFERENCES sessions(environment_id, id) ON DELETE CASCADE,
  constraint runs_parked_wait_id_fkey FOREIGN KEY (parked_wait_id) REFERENCES run_waits(id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX runs_cancelling ON public.runs USING btree (cancel_due_at) WHERE (state = 'cancelling'::text);
CREATE INDEX runs_checkpoint ON public.runs USING btree (checkpoint_id) WHERE (checkpoint_id IS NOT NULL);
CREATE INDEX runs_list ON public.runs USING btree (environment_id, created_at DESC, id DESC);
CREATE INDEX runs_live ON public.runs USING btree (environment_id, created_at DESC, id DESC) WHERE (outcome IS NULL);
CREATE INDEX runs_outcome ON public.runs USING btree (environment_id, outcome, created_at DESC, id DESC) WHERE (state = 'finished'::text);
CREATE INDEX runs_parked_wait ON public.runs USING btree (parked_wait_id) WHERE (parked_wait_id IS NOT NULL);
CREATE INDEX runs_session ON public.runs USING btree (session_id, turn_index);
CREATE INDEX runs_session_list ON public.runs USING btree (session_id, created_at DESC, id DESC);
CREATE INDEX runs_workspace_live ON public.runs USING btree (workspace_id) WHERE (outcome IS NULL);

create table schedules (
  id                uuid not null,
  org_id            uuid not null,
  project_id        uuid not null,
  environment_id    uuid not null,
  kind              text not null,
  task_id           text not null,
  deduplication_key text not null,
  external_id       text,
  cron              text not null,
  timezone          text not null,
  options           jsonb,
  state             text not null,
  generation        bigint not null default 1,
  failures          integer not null default 0,
  last_error        text,
  next_fire_at      timestamp with time zone,
  due_at            timestamp with time zone,
  last_fire_at      timestamp with time zone,
  created_at        timestamp with time zone not null default now(),
  updated_at        timestamp with time zone not null default now(),
  constraint schedules_pkey PRIMARY KEY (id),
  constraint schedules_environment_id_kind_deduplication_key_key UNIQUE (environment_id, kind, deduplication_key),
  constraint schedules_kind_check CHECK ((kind = ANY (ARRAY['imperative'::text, 'declarative'::text]))),
  constraint schedules_state_check CHECK ((state = ANY (ARRAY['active'::text, 'inactive'::text, 'errored'::text]))),
  constraint schedules_project_id_environment_id_fkey FOREIGN KEY (project_id, environment_id) REFERENCES environments(project_id, id) ON DELETE CASCADE
);
CREATE INDEX schedules_due ON public.schedules USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX schedules_list ON public.schedules USING btree (environment_id, created_at DESC);

create table schema_migrations (
  name       text not null,
  hash       text not null,
  breaking   boolean not null,
  applied_at timestamp with time zone not null default now(),
  constraint schema_migrations_pkey PRIMARY KEY (name)
);

create table secrets (
  environment_id uuid not null,
  name           text not null,
  key_id         text not null,
  sealed         bytea not null,
  created_at     timestamp with time zone not null default now(),
  updated_at     timestamp with time zone not null default now(),
  constraint secrets_pkey PRIMARY KEY (environment_id, name),
  constraint secrets_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE
);
CREATE INDEX secrets_key ON public.secrets USING btree (key_id);

create table session_start_keys (
  environment_id uuid not null,
  task_id        text not null,
  key_hash       bytea not null,
  fingerprint    bytea not null,
  session_id     uuid not null,
  run_id         uuid not null,
  expires_at     timestamp with time zone not null,
  constraint session_start_keys_pkey PRIMARY KEY (environment_id, task_id, key_hash),
  constraint session_start_keys_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE
);
CREATE INDEX session_start_keys_expiry ON public.session_start_keys USING btree (expires_at);

create table session_streams (
  id             uuid not null,
  environment_id uuid not null,
  session_id     uuid not null,
  direction      text not null,
  name           text not null,
  sequence       bigint not null default 0,
  created_at     timestamp with time zone not null default now(),
  constraint session_streams_pkey PRIMARY KEY (id),
  constraint session_streams_session_id_direction_name_key UNIQUE (session_id, direction, name),
  constraint session_streams_direction_check CHECK ((direction = ANY (ARRAY['input'::text, 'output'::text]))),
  constraint session_streams_environment_id_session_id_fkey FOREIGN KEY (environment_id, session_id) REFERENCES sessions(environment_id, id) ON DELETE CASCADE
);

create table sessions (
  id                    uuid not null,
  org_id                uuid not null,
  project_id            uuid not null,
  environment_id        uuid not null,
  task_id               text not null,
  initial_deployment_id uuid not null,
  active_deployment_id  uuid not null,
  external_id           text,
  fingerprint           bytea not null,
  state                 text not null,
  current_run_id        uuid,
  turn_count            integer not null default 0,
  workspace_id          uuid not null,
  metadata              jsonb not null default '{}'::jsonb,
  tags                  text[] not null default '{}'::text[],
  result                jsonb,
  terminal_reason       jsonb,
  expires_at            timestamp with time zone,
  expired_at            timestamp with time zone,
  created_at            timestamp with time zone not null default now(),
  updated_at            timestamp with time zone not null default now(),
  constraint sessions_pkey PRIMARY KEY (id),
  constraint sessions_environment_id_id_key UNIQUE (environment_id, id),
  constraint sessions_state_check CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text, 'cancelled'::text, 'expired'::text]))),
  constraint sessions_environment_id_active_deployment_id_fkey FOREIGN KEY (environment_id, active_deployment_id) REFERENCES deployments(environment_id, id),
  constraint sessions_environment_id_initial_deployment_id_fkey FOREIGN KEY (environment_id, initial_deployment_id) REFERENCES deployments(environment_id, id),
  constraint sessions_environment_id_workspace_id_fkey FOREIGN KEY (environment_id, workspace_id) REFERENCES workspaces(environment_id, id),
  constraint sessions_project_id_environment_id_fkey FOREIGN KEY (project_id, environment_id) REFERENCES environments(project_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_expiry ON public.sessions USING btree (expires_at) WHERE ((state = 'open'::text) AND (expires_at IS NOT NULL));
CREATE UNIQUE INDEX sessions_external ON public.sessions USING btree (environment_id, external_id) WHERE (external_id IS NOT NULL);
CREATE INDEX sessions_list ON public.sessions USING btree (environment_id, state, updated_at DESC, id DESC);
CREATE INDEX sessions_task ON public.sessions USING btree (environment_id, task_id, state, updated_at DESC, id DESC);
CREATE INDEX sessions_workspace ON public.sessions USING btree (workspace_id);

create table stream_records (
  id                      uuid not null,
  stream_id               uuid not null,
  sequence                bigint not null,
  data                    json not null,
  data_bytes              bigint not null,
  content_type            text not null,
  correlation_id          text,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamp with time zone not null default now(),
  constraint stream_records_pkey PRIMARY KEY (id),
  constraint stream_records_stream_id_sequence_key UNIQUE (stream_id, sequence),
  constraint stream_records_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES session_streams(id) ON DELETE CASCADE
);
CREATE INDEX stream_records_correlation ON public.stream_records USING btree (stream_id, correlation_id, sequence) WHERE (correlation_id IS NOT NULL);
CREATE UNIQUE INDEX stream_records_key ON public.stream_records USING btree (stream_id, idempotency_key_hash) WHERE (idempotency_key_hash IS NOT NULL);

create table tokens (
  id                      uuid not null,
  environment_id          uuid not null,
  state                   text not null,
  timeout_at              timestamp with time zone not null,
  due_at                  timestamp with time zone,
  data                    json,
  data_fingerprint        bytea,
  tags                    text[] not null default '{}'::text[],
  metadata                jsonb not null default '{}'::jsonb,
  public_token_used       boolean not null default false,
  secret_key_id           text not null,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  run_id                  uuid,
  created_at              timestamp with time zone not null default now(),
  completed_at            timestamp with time zone,
  constraint tokens_pkey PRIMARY KEY (id),
  constraint tokens_environment_id_id_key UNIQUE (environment_id, id),
  constraint tokens_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'completed'::text, 'expired'::text, 'cancelled'::text]))),
  constraint tokens_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES environments(id) ON DELETE CASCADE
);
CREATE INDEX tokens_due ON public.tokens USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE UNIQUE INDEX tokens_key ON public.tokens USING btree (environment_id, idempotency_key_hash) WHERE (idempotency_key_hash IS NOT NULL);
CREATE INDEX tokens_list ON public.tokens USING btree (environment_id, created_at, id);
CREATE INDEX tokens_list_state ON public.tokens USING btree (environment_id, state, created_at, id);

create table users (
  id                uuid not null,
  email             text,
  display_name      text not null default ''::text,
  profile_image_url text not null default ''::text,
  github_id         bigint,
  local_user        boolean not null default false,
  created_at        timestamp with time zone not null default now(),
  updated_at        timestamp with time zone not null default now(),
  constraint users_pkey PRIMARY KEY (id),
  constraint users_github_id_key UNIQUE (github_id)
);
CREATE UNIQUE INDEX users_email ON public.users USING btree (email) WHERE (email IS NOT NULL);
CREATE UNIQUE INDEX users_local ON public.users USING btree (local_user) WHERE local_user;

create table worker_enrollments (
  id           uuid not null,
  worker_group text not null,
  secret_hash  bytea not null,
  created_at   timestamp with time zone not null default now(),
  revoked_at   timestamp with time zone,
  constraint worker_enrollments_pkey PRIMARY KEY (id),
  constraint worker_enrollments_secret_hash_key UNIQUE (secret_hash)
);

create table workers (
  id              uuid not null,
  worker_group    text not null,
  name            text not null,
  credential_hash bytea not null,
  epoch           bigint not null default 0,
  state           text not null,
  facts           jsonb not null default '{}'::jsonb,
  restores        text not null default ''::text,
  milli_cpu       integer not null default 0,
  memory_mib      integer not null default 0,
  disk_mib        bigint not null default 0,
  slots           integer not null default 0,
  last_seen_at    timestamp with time zone not null default now(),
  created_at      timestamp with time zone not null default now(),
  constraint workers_pkey PRIMARY KEY (id),
  constraint workers_credential_hash_key UNIQUE (credential_hash),
  constraint workers_worker_group_name_key UNIQUE (worker_group, name),
  constraint workers_state_check CHECK ((state = ANY (ARRAY['joining'::text, 'active'::text, 'draining'::text, 'drained'::text, 'lost'::text])))
);
CREATE INDEX workers_seen ON public.workers USING btree (last_seen_at) WHERE (state = ANY (ARRAY['active'::text, 'draining'::text]));

create table workspace_capture_keys (
  workspace_id uuid not null,
  key_hash     bytea not null,
  fingerprint  bytea not null,
  version_id   uuid not null,
  is_unchanged boolean not null,
  expires_at   timestamp with time zone not null,
  constraint workspace_capture_keys_pkey PRIMARY KEY (workspace_id, key_hash),
  constraint workspace_capture_keys_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);
CREATE INDEX workspace_capture_keys_expiry ON public.workspace_capture_keys USING btree (expires_at);

create table workspace_execs (
  id                      uuid not null,
  environment_id          uuid not null,
  workspace_id            uuid not null,
  kind                    text not null,
  mount_id                uuid,
  number                  integer,
  command                 text[] not null default '{}'::text[],
  cwd                     text not null,
  env                     jsonb not null default '{}'::jsonb,
  detached                boolean not null default false,
  cols                    integer,
  rows                    integer,
  state                   text not null,
  process_id              text,
  exit_code               integer,
  signal                  text,
  error                   jsonb,
  kill_signal             text,
  kill_seq                integer not null default 0,
  timeout_seconds         integer,
  stdin_closed_at         timestamp with time zone,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamp with time zone not null default now(),
  started_at              timestamp with time zone,
  ended_at                timestamp with time zone,
  updated_at              timestamp with time zone not null default now(),
  constraint workspace_execs_pkey PRIMARY KEY (id),
  constraint workspace_execs_environment_id_id_key UNIQUE (environment_id, id),
  constraint workspace_execs_kind_check CHECK ((kind = ANY (ARRAY['exec'::text, 'pty'::text]))),
  constraint workspace_execs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'materializing'::text, 'running'::text, 'exited'::text, 'terminated'::text, 'lost'::text, 'failed'::text, 'creating'::text, 'open'::text, 'resizing'::text, 'closing'::text, 'closed'::text]))),
  constraint workspace_execs_environment_id_workspace_id_fkey FOREIGN KEY (environment_id, workspace_id) REFERENCES workspaces(environment_id, id) ON DELETE CASCADE
);
CREATE INDEX workspace_execs_ended ON public.workspace_execs USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE UNIQUE INDEX workspace_execs_key ON public.workspace_execs USING btree (workspace_id, kind, idempotency_key_hash) WHERE (idempotency_key_hash IS NOT NULL);
CREATE INDEX workspace_execs_list ON public.workspace_execs USING btree (workspace_id, kind, created_at DESC, id DESC);
CREATE INDEX workspace_execs_live ON public.workspace_execs USING btree (workspace_id) WHERE (state <> ALL (ARRAY['exited'::text, 'terminated'::text, 'lost'::text, 'failed'::text, 'closed'::text]));
CREATE INDEX workspace_execs_mount ON public.workspace_execs USING btree (mount_id) WHERE (state <> ALL (ARRAY['exited'::text, 'terminated'::text, 'lost'::text, 'failed'::text, 'closed'::text]));
CREATE UNIQUE INDEX workspace_execs_number ON public.workspace_execs USING btree (mount_id, number) WHERE (mount_id IS NOT NULL);
CREATE INDEX workspace_execs_waiting ON public.workspace_execs USING btree (created_at) WHERE ((mount_id IS NULL) AND (state <> ALL (ARRAY['exited'::text, 'terminated'::text, 'lost'::text, 'failed'::text, 'closed'::text])));

create table workspace_mounts (
  id                     uuid not null,
  org_id                 uuid not null,
  project_id             uuid not null,
  environment_id         uuid not null,
  workspace_id           uuid not null,
  deployment_sandbox_id  uuid not null,
  base_version_id        uuid,
  worker_id              uuid,
  lease_id               uuid,
  fence                  bigint not null,
  state                  text not null,
  claim_attempt          integer not null default 0,
  dirty_generation       bigint not null default 0,
  error                  jsonb,
  stop_requested_at      timestamp with time zone,
  stop_reason            text,
  reservation_expires_at timestamp with time zone,
  last_heartbeat_at      timestamp with time zone,
  idle_since             timestamp with time zone,
  created_at             timestamp with time zone not null default now(),
  updated_at             timestamp with time zone not null default now(),
  constraint workspace_mounts_pkey PRIMARY KEY (id),
  constraint workspace_mounts_environment_id_id_key UNIQUE (environment_id, id),
  constraint workspace_mounts_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'mounting'::text, 'mounted'::text, 'unmounting'::text, 'unmounted'::text, 'lost'::text, 'failed'::text]))),
  constraint workspace_mounts_environment_id_workspace_id_fkey FOREIGN KEY (environment_id, workspace_id) REFERENCES workspaces(environment_id, id) ON DELETE CASCADE,
  constraint workspace_mounts_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES workers(id)
);
CREATE INDEX workspace_mounts_ended ON public.workspace_mounts USING btree (updated_at) WHERE (state = ANY (ARRAY['unmounted'::text, 'lost'::text, 'failed'::text]));
CREATE UNIQUE INDEX workspace_mounts_live ON public.workspace_mounts USING btree (workspace_id) WHERE (state = ANY (ARRAY['requested'::text, 'mounting'::text, 'mounted'::text, 'unmounting'::text]));
CREATE INDEX workspace_mounts_requested ON public.workspace_mounts USING btree (created_at) WHERE (state = 'requested'::text);
CREATE INDEX workspace_mounts_worker ON public.workspace_mounts USING btree (worker_id) WHERE (state = ANY (ARRAY['mounting'::text, 'mounted'::text, 'unmounting'::text]));
CREATE INDEX workspace_mounts_workspace ON public.workspace_mounts USING btree (workspace_id, created_at DESC);

create table workspace_stop_keys (
  workspace_id uuid not null,
  key_hash     bytea not null,
  mount_id     uuid,
  expires_at   timestamp with time zone not null,
  constraint workspace_stop_keys_pkey PRIMARY KEY (workspace_id, key_hash),
  constraint workspace_stop_keys_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);
CREATE INDEX workspace_stop_keys_expiry ON public.workspace_stop_keys USING btree (expires_at);

create table workspace_versions (
  id                uuid not null,
  environment_id    uuid not null,
  workspace_id      uuid not null,
  parent_version_id uuid,
  kind              text not null,
  state             text not null,
  artifact_id       uuid,
  content_digest    text not null,
  size_bytes        bigint not null default 0,
  entry_count       integer not null default 0,
  message           text,
  run_id            uuid,
  attempt_id        uuid,
  promoted_at       timestamp with time zone,
  created_at        timestamp with time zone not null default now(),
  constraint workspace_versions_pkey PRIMARY KEY (id),
  constraint workspace_versions_workspace_id_id_key UNIQUE (workspace_id, id),
  constraint workspace_versions_kind_check CHECK ((kind = ANY (ARRAY['user'::text, 'system'::text]))),
  constraint workspace_versions_state_check CHECK ((state = ANY (ARRAY['capturing'::text, 'artifact_verified'::text, 'ready'::text, 'failed'::text, 'deleted'::text]))),
  constraint workspace_versions_artifact_id_fkey FOREIGN KEY (artifact_id) REFERENCES artifacts(id),
  constraint workspace_versions_environment_id_workspace_id_fkey FOREIGN KEY (environment_id, workspace_id) REFERENCES workspaces(environment_id, id) ON DELETE CASCADE
);
CREATE INDEX workspace_versions_artifact ON public.workspace_versions USING btree (artifact_id) WHERE (artifact_id IS NOT NULL);
CREATE INDEX workspace_versions_list ON public.workspace_versions USING btree (workspace_id, created_at DESC, id DESC);

create table workspaces (
  id                      uuid not null,
  org_id                  uuid not null,
  project_id              uuid not null,
  environment_id          uuid not null,
  deployment_sandbox_id   uuid not null,
  sandbox_id              text not null,
  sandbox_fingerprint     text not null,
  external_id             text,
  current_version_id      uuid,
  state                   text not null,
  desired_state           text not null default 'active'::text,
  dirty_state             text not null default 'clean'::text,
  last_mount_id           uuid,
  fence                   bigint not null default 0,
  metadata                jsonb not null default '{}'::jsonb,
  tags                    text[] not null default '{}'::text[],
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  idempotency_expires_at  timestamp with time zone,
  auto_stop_at            timestamp with time zone,
  auto_archive_at         timestamp with time zone,
  auto_delete_at          timestamp with time zone,
  last_activity_at        timestamp with time zone not null default now(),
  created_at              timestamp with time zone not null default now(),
  updated_at              timestamp with time zone not null default now(),
  archived_at             timestamp with time zone,
  deleted_at              timestamp with time zone,
  constraint workspaces_pkey PRIMARY KEY (id),
  constraint workspaces_environment_id_id_key UNIQUE (environment_id, id),
  constraint workspaces_desired_state_check CHECK ((desired_state = ANY (ARRAY['active'::text, 'stopped'::text, 'archived'::text, 'deleted'::text]))),
  constraint workspaces_dirty_state_check CHECK ((dirty_state = ANY (ARRAY['clean'::text, 'dirty'::text, 'capturing'::text, 'capture_failed'::text, 'dirty_state_lost'::text]))),
  constraint workspaces_state_check CHECK ((state = ANY (ARRAY['active'::text, 'deleting'::text, 'recovery_required'::text, 'archived'::text, 'deleted'::text]))),
  constraint workspaces_environment_id_deployment_sandbox_id_fkey FOREIGN KEY (environment_id, deployment_sandbox_id) REFERENCES deployment_sandboxes(environment_id, id),
  constraint workspaces_id_current_version_id_fkey FOREIGN KEY (id, current_version_id) REFERENCES workspace_versions(workspace_id, id) DEFERRABLE INITIALLY DEFERRED,
  constraint workspaces_project_id_environment_id_fkey FOREIGN KEY (project_id, environment_id) REFERENCES environments(project_id, id) ON DELETE CASCADE
);
CREATE INDEX workspaces_archived ON public.workspaces USING btree (archived_at) WHERE (state = 'archived'::text);
CREATE INDEX workspaces_auto_stop ON public.workspaces USING btree (auto_stop_at) WHERE (auto_stop_at IS NOT NULL);
CREATE INDEX workspaces_deleting ON public.workspaces USING btree (updated_at) WHERE (state = 'deleting'::text);
CREATE UNIQUE INDEX workspaces_external ON public.workspaces USING btree (environment_id, external_id) WHERE (external_id IS NOT NULL);
CREATE UNIQUE INDEX workspaces_idempotency ON public.workspaces USING btree (environment_id, idempotency_key_hash) WHERE (idempotency_key_hash IS NOT NULL);
CREATE INDEX workspaces_list ON public.workspaces USING btree (environment_id, created_at DESC, id DESC);
