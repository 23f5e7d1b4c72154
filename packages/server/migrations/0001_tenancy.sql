-- Who owns what: organizations, their people, projects and environments.
-- breaking: no
--
-- Every table that holds a tenant's data carries environment_id (or org_id) and repeats it in its foreign keys, so that a reference
-- across tenants cannot be stored.

create table organizations (
  id         uuid primary key,
  slug       text not null unique,
  name       text not null,
  created_at timestamptz not null default now()
);

create table users (
  id                uuid primary key,
  email             text,                       -- lower case; null for the local user of a single-machine install
  display_name      text not null default '',
  profile_image_url text not null default '',
  github_id         bigint unique,
  local_user        boolean not null default false,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now()
);
create unique index users_email on users (email) where email is not null;
create unique index users_local on users (local_user) where local_user;

create table members (
  org_id      uuid not null references organizations,
  user_id     uuid not null references users,
  role        text not null check (role in ('owner', 'admin', 'developer', 'viewer')),
  status      text not null default 'active' check (status in ('active', 'disabled')),
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  disabled_at timestamptz,
  primary key (org_id, user_id)
);
create index members_user on members (user_id);

create table projects (
  id         uuid primary key,
  org_id     uuid not null references organizations,
  slug       text not null,
  name       text not null,
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- Deleting hides a project or environment at once; its rows are removed in batches afterwards (operations/purge-environments.ts).
  deleted_at timestamptz,
  unique (org_id, id)
);
create unique index projects_slug on projects (org_id, slug) where deleted_at is null;
create unique index projects_default on projects (org_id) where is_default and deleted_at is null;
create index projects_deleted on projects (deleted_at) where deleted_at is not null;

create table environments (
  id                    uuid primary key,
  org_id                uuid not null,
  project_id            uuid not null,
  slug                  text not null,
  name                  text not null,
  color_hex             text not null,
  is_default            boolean not null default false,
  worker_group          text not null default 'default',
  current_deployment_id uuid,                   -- the promoted deployment; foreign key added with the deployments
  created_at            timestamptz not null default now(),
  updated_at            timestamptz not null default now(),
  deleted_at            timestamptz,
  unique (project_id, id),
  foreign key (org_id, project_id) references projects (org_id, id) on delete cascade
);
create unique index environments_slug on environments (project_id, slug) where deleted_at is null;
create unique index environments_default on environments (project_id) where is_default and deleted_at is null;
create index environments_deleted on environments (deleted_at) where deleted_at is not null;
