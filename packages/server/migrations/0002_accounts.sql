-- How people and programs sign in. Secrets are stored as SHA-256 of random values only.
-- breaking: no

create table login_sessions (
  id           uuid primary key,
  token_hash   bytea not null unique,
  user_id      uuid not null references users on delete cascade,
  kind         text not null check (kind in ('browser', 'device')),
  created_at   timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at   timestamptz not null,
  revoked_at   timestamptz
);
create index login_sessions_user on login_sessions (user_id);
create index login_sessions_expiry on login_sessions (expires_at);

create table magic_links (
  id            uuid primary key,
  token_hash    bytea not null unique,
  email         text not null,
  next_path     text,
  invitation_id uuid,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz not null,
  used_at       timestamptz
);
create index magic_links_email on magic_links (email, created_at);
create index magic_links_expiry on magic_links (expires_at);

create table local_login_links (
  id         uuid primary key,
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at    timestamptz
);

create table device_logins (
  id               uuid primary key,
  device_code_hash bytea not null unique,
  user_code        text not null unique,
  status           text not null check (status in ('pending', 'approved', 'denied', 'consumed', 'expired')),
  user_id          uuid references users on delete cascade,
  last_polled_at   timestamptz,
  created_at       timestamptz not null default now(),
  expires_at       timestamptz not null
);
create index device_logins_expiry on device_logins (expires_at);

create table invitations (
  id                  uuid primary key,
  org_id              uuid not null references organizations on delete cascade,
  token_hash          bytea not null unique,
  email               text not null,
  role                text not null check (role in ('owner', 'admin', 'developer', 'viewer')),
  status              text not null check (status in ('pending', 'accepted', 'revoked')),
  invited_by_user_id  uuid references users,
  accepted_by_user_id uuid references users,
  revoked_by_user_id  uuid references users,
  created_at          timestamptz not null default now(),
  expires_at          timestamptz not null,
  accepted_at         timestamptz,
  revoked_at          timestamptz
);
create index invitations_org on invitations (org_id, created_at desc);

create table api_keys (
  id             uuid primary key,
  org_id         uuid not null,
  project_id     uuid not null,
  environment_id uuid not null,
  name           text not null,
  key_hash       bytea not null unique,
  key_prefix     text not null,
  scopes         text[] not null,
  -- A key may do what its creator's present role allows; null is the install itself (single-machine key), which counts as owner.
  creator_id     uuid references users,
  created_at     timestamptz not null default now(),
  last_used_at   timestamptz,
  expires_at     timestamptz,
  revoked_at     timestamptz,
  foreign key (project_id, environment_id) references environments (project_id, id) on delete cascade
);
create index api_keys_environment on api_keys (environment_id, created_at desc);

-- Token buckets of unauthenticated routes: key is route and address (or e-mail), hashed.
create table rate_limits (
  key        text primary key,
  tokens     double precision not null,
  updated_at timestamptz not null
);
create index rate_limits_age on rate_limits (updated_at);
