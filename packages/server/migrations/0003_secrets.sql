-- Secret values of environments, sealed by the server (AES-256-GCM); key_id names the key that opens them.
-- breaking: no

create table secrets (
  environment_id uuid not null references environments on delete cascade,
  name           text not null,
  key_id         text not null,
  sealed         bytea not null,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  primary key (environment_id, name)
);
create index secrets_key on secrets (key_id);
