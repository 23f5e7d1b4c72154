/**
 * Block artifacts and the packs that hold their chunks. Workers write the objects first; these rows make them true. Ids are the workers' (UUIDs), so
 * a repeat inserts nothing.
 */
import type { NewArtifact } from "@helmr/protocol/worker";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

interface InsertParams {
  id: string;
  org_id: string;
  kind: string;
  manifest_key: string;
  digest: string;
  length_bytes: number;
  stored_bytes: number;
  pack_ids: string[];
  pack_keys: string[];
  pack_sizes: number[];
}

const insert = statement<InsertParams>(
  "artifact_insert",
  `with made as (insert into artifacts (id, org_id, kind, state, manifest_key, digest, length_bytes, stored_bytes)
                 values ($id, $org_id, $kind, 'ready', $manifest_key, $digest, $length_bytes, $stored_bytes) on conflict (id) do nothing),
        known as (insert into packs (id, org_id, object_key, size_bytes)
                  select p.id, $org_id, p.key, p.size from unnest($pack_ids::uuid[], $pack_keys::text[], $pack_sizes::bigint[]) as p (id, key, size)
                  on conflict (id) do nothing)
   insert into artifact_packs (artifact_id, pack_id) select $id, unnest($pack_ids::uuid[]) on conflict do nothing`,
);

/** Packs of other organizations, or under another key: what a worker must not name. */
const foreignPacks = statement<{ org_id: string; pack_ids: string[]; pack_keys: string[] }, { id: string }>(
  "artifact_foreign_packs",
  `select p.id from packs p join unnest($pack_ids::uuid[], $pack_keys::text[]) as x (id, key) on x.id = p.id
    where p.org_id <> $org_id or p.object_key <> x.key or p.deleted_at is not null`,
);

export const artifactInsert = (
  tx: Tx,
  orgId: string,
  kind: "image" | "task" | "workspace" | "memory" | "device" | "scratch",
  artifact: NewArtifact,
) =>
  tx.run(insert, {
    id: artifact.artifact_id,
    org_id: orgId,
    kind,
    manifest_key: artifact.manifest_key,
    digest: artifact.digest,
    length_bytes: artifact.length_bytes,
    stored_bytes: artifact.stored_bytes,
    pack_ids: artifact.packs.map((pack) => pack.pack_id),
    pack_keys: artifact.packs.map((pack) => pack.object_key),
    pack_sizes: artifact.packs.map((pack) => pack.size_bytes),
  });

export const artifactForeignPacks = (on: Queryable, orgId: string, packs: NewArtifact["packs"]) =>
  on.all(foreignPacks, { org_id: orgId, pack_ids: packs.map((pack) => pack.pack_id), pack_keys: packs.map((pack) => pack.object_key) });
