-- Content-addressed bytes: source archives (plain blobs) and block artifacts (a manifest of chunks in packs).
-- breaking: no

create table blobs (
  org_id     uuid not null references organizations on delete cascade,
  digest     text not null,                     -- sha256:<hex> of the plain bytes
  media_type text not null,
  size_bytes bigint not null,
  unreferenced_since timestamptz,
  created_at timestamptz not null default now(),
  primary key (org_id, digest)
);
create index blobs_unreferenced on blobs (unreferenced_since) where unreferenced_since is not null;

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
  -- Ids of the content keys that its manifest and its chunks are sealed with, once the rotation of content keys has looked (operations/rotate-content.ts).
  sealed_with    text[],
  -- Collection (docs/architecture/storage.md): since when nothing refers to it; when it was given up (state deleted); when its objects were gone.
  unreferenced_since timestamptz,
  deleted_at     timestamptz,
  purged_at      timestamptz,
  created_at     timestamptz not null default now()
);
create index artifacts_unreferenced on artifacts (unreferenced_since) where unreferenced_since is not null and state <> 'deleted';
create index artifacts_unpurged on artifacts (deleted_at) where deleted_at is not null and purged_at is null;
create index artifacts_tombstones on artifacts (purged_at) where purged_at is not null;
create index artifacts_digest on artifacts (org_id, kind, digest);

-- A pack is one object of some MiB that holds many sealed chunks. Packs are written before the manifest that names them.
create table packs (
  id         uuid primary key,
  org_id     uuid not null references organizations on delete cascade,
  object_key text not null unique,
  size_bytes bigint not null,
  created_at timestamptz not null default now(),
  unreferenced_since timestamptz,
  -- Given up: no new artifact may name it. The row stays a while after the object is gone, so that a late writer is told.
  deleted_at timestamptz,
  purged_at  timestamptz
);
create index packs_unreferenced on packs (unreferenced_since) where unreferenced_since is not null and deleted_at is null;
create index packs_unpurged on packs (deleted_at) where deleted_at is not null and purged_at is null;
create index packs_tombstones on packs (purged_at) where purged_at is not null;
create index packs_live on packs (org_id, created_at) where deleted_at is null;

create table artifact_packs (
  artifact_id uuid not null references artifacts on delete cascade,
  pack_id     uuid not null references packs,
  primary key (artifact_id, pack_id)
);
create index artifact_packs_pack on artifact_packs (pack_id);
