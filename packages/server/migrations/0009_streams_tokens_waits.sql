-- Numbered records of sessions, completion tokens, and the durable pauses of runs that wait for them.
-- breaking: no

create table session_streams (
  id             uuid primary key,
  environment_id uuid not null,
  session_id     uuid not null,
  direction      text not null check (direction in ('input', 'output')),
  name           text not null,
  sequence       bigint not null default 0,
  created_at     timestamptz not null default now(),
  unique (session_id, direction, name),
  foreign key (environment_id, session_id) references sessions (environment_id, id) on delete cascade
);

create table stream_records (
  id                      uuid primary key,
  stream_id               uuid not null references session_streams on delete cascade,
  sequence                bigint not null,
  data                    json not null,
  data_bytes              bigint not null,         -- of the JSON text: a page of records is bounded by bytes, too
  content_type            text not null,
  correlation_id          text,
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  created_at              timestamptz not null default now(),
  unique (stream_id, sequence)
);
create unique index stream_records_key on stream_records (stream_id, idempotency_key_hash) where idempotency_key_hash is not null;
create index stream_records_correlation on stream_records (stream_id, correlation_id, sequence) where correlation_id is not null;

-- An input record that no wait took asks for one more run; one row per unread record.
create table continuations (
  record_id  uuid primary key references stream_records on delete cascade,
  session_id uuid not null references sessions on delete cascade,
  stream_id  uuid not null,
  sequence   bigint not null,
  -- Order of arrival over all streams of the session: given under the lock of the session.
  position   bigint generated always as identity,
  state      text not null check (state in ('pending', 'started', 'read', 'skipped')),
  run_id     uuid,
  created_at timestamptz not null default now()
);
create index continuations_session on continuations (session_id);
create index continuations_pending on continuations (session_id, position) where state = 'pending';

create table tokens (
  id                      uuid primary key,
  environment_id          uuid not null references environments on delete cascade,
  state                   text not null check (state in ('pending', 'completed', 'expired', 'cancelled')),
  timeout_at              timestamptz not null,
  due_at                  timestamptz,             -- its timeout while it is pending: an index that no list of pending tokens can be led astray by
  data                    json,
  data_fingerprint        bytea,
  tags                    text[] not null default '{}',
  metadata                jsonb not null default '{}',
  public_token_used       boolean not null default false,
  secret_key_id           text not null,           -- root key that callback secret and public token are derived with
  idempotency_key_hash    bytea,
  idempotency_fingerprint bytea,
  run_id                  uuid,                    -- the run that created it, when a task did
  created_at              timestamptz not null default now(),
  completed_at            timestamptz,
  unique (environment_id, id)
);
create unique index tokens_key on tokens (environment_id, idempotency_key_hash) where idempotency_key_hash is not null;
create index tokens_list on tokens (environment_id, created_at, id);
create index tokens_list_state on tokens (environment_id, state, created_at, id);
create index tokens_due on tokens (due_at) where due_at is not null;

create table public_access_tokens (
  id             uuid primary key,
  environment_id uuid not null references environments on delete cascade,
  token_hash     bytea not null unique,
  kind           text not null check (kind in ('session.input.send', 'session.output.read')),
  session_id     uuid not null references sessions on delete cascade,
  stream         text not null,
  correlation_id text,
  uses           int not null default 0,
  max_uses       int,
  expires_at     timestamptz not null,
  revoked_at     timestamptz,
  created_at     timestamptz not null default now()
);
create index public_access_tokens_session on public_access_tokens (session_id);
create index public_access_tokens_expiry on public_access_tokens (expires_at);

-- A wait is two small machines: its condition and the suspension of its run.
create table run_waits (
  id             uuid primary key,
  environment_id uuid not null,
  run_id         uuid not null references runs on delete cascade,
  attempt_id     uuid not null,
  call_id        bigint not null,                  -- the program's own number of the call: a replay opens nothing twice
  kind           text check (kind in ('token', 'stream', 'timer')),
  condition      text not null check (condition in ('open', 'satisfied', 'timed_out', 'cancelled')),
  suspension     text not null check (suspension in ('live', 'parking', 'parked', 'resuming', 'resumed')),
  parkable       boolean not null,                 -- once() and on() never park
  token_id       uuid,
  stream_id      uuid,
  after_sequence bigint,
  correlation_id text,
  due_at         timestamptz,                      -- timers
  timeout_at     timestamptz,
  timeout_seconds int,
  params         jsonb not null,
  metadata       jsonb not null default '{}',
  tags           text[] not null default '{}',
  record_id      uuid,                             -- the record that satisfied a wait on a stream
  resolved_by    jsonb,
  created_at     timestamptz not null default now(),
  resolved_at    timestamptz,
  -- When somebody must look at the condition: a timer's or a timeout's time, or at once when the token has changed.
  wake_at        timestamptz,
  park_after     timestamptz,
  parked_at      timestamptz,
  unique (attempt_id, call_id),
  -- A wait that was given up before it arrived has no kind: only its call id is remembered.
  check (kind is not null or condition = 'cancelled')
);
create index run_waits_run on run_waits (run_id);
create index run_waits_run_open on run_waits (run_id) where condition = 'open';
create index run_waits_run_parked on run_waits (run_id) where suspension in ('parked', 'resuming');
create index run_waits_token_open on run_waits (token_id) where condition = 'open' and token_id is not null;
create index run_waits_stream_open on run_waits (stream_id) where condition = 'open' and stream_id is not null;
create index run_waits_wake on run_waits (wake_at) where condition = 'open' and wake_at is not null;

alter table runs add foreign key (parked_wait_id) references run_waits deferrable initially deferred;
create index runs_parked_wait on runs (parked_wait_id) where parked_wait_id is not null;
