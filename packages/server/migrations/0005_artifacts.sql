-- Content-addressed bytes: source archives (plain blobs) and block artifacts (a manifest of chunks in packs).
-- breaking: no

create table blobs (
  org_id     uuid not null references organizations on delete cascade,
  digest     text not null,                     -- sha256:<hex> of the plain bytes
  media_type text not null,
  size_bytes bigint not null,
  created_at timestamptz not null default now(),
  primary key (org_id, digest)
);

-- A block artifact: the content of a disk (image, task tree, workspace version) or memory, stored as chunks.
create table artifacts (
  id             uuid primary key,
  org_id         uuid not null references organizations on delete cascade,
  kind           text not null check (kind in ('image', 'task', 'workspace', 'memory', 'device', 'scratch')),
  state          text not null check (state in ('ready', 'corrupt', 'deleted')),
  manifest_key   text not null,                 -- object key of the sealed manifest in the blob store
  digest         text not null,                 -- digest of the manifest's plain form: equal content in one organization gives an equal digest
  length_bytes   bigint not null,               -- logical length of the device
  stored_bytes   bigint not null,               -- bytes this artifact added to the store
  created_at     timestamptz not null default now()
);
create index artifacts_digest on artifacts (org_id, kind, digest);

-- A pack is one object of some MiB that holds many sealed chunks. Packs are written before the manifest that names them.
create table packs (
  id         uuid primary key,
  org_id     uuid not null references organizations on delete cascade,
  object_key text not null unique,
  size_bytes bigint not null,
  created_at timestamptz not null default now(),
  deleted_at timestamptz
);
create index packs_live on packs (org_id, created_at) where deleted_at is null;

create table artifact_packs (
  artifact_id uuid not null references artifacts on delete cascade,
  pack_id     uuid not null references packs,
  primary key (artifact_id, pack_id)
);
create index artifact_packs_pack on artifact_packs (pack_id);
