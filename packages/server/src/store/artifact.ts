/**
 * Block artifacts and the packs that hold their chunks. Workers write the objects first; these rows make them true. Ids are the workers' (UUIDs), so
 * a repeat inserts nothing.
 */
import type { NewArtifact } from "@helmr/protocol/worker";
import { RepeatTransaction, type Tx } from "./db.ts";
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

const insert = statement<InsertParams, { id: string }>(
  "artifact_insert",
  `with made as (insert into artifacts (id, org_id, kind, state, manifest_key, digest, length_bytes, stored_bytes)
                 values ($id, $org_id, $kind, 'ready', $manifest_key, $digest, $length_bytes, $stored_bytes) on conflict (id) do nothing returning id),
        known as (insert into packs (id, org_id, object_key, size_bytes)
                  select p.id, $org_id, p.key, p.size from unnest($pack_ids::uuid[], $pack_keys::text[], $pack_sizes::bigint[]) as p (id, key, size)
                  on conflict (id) do nothing returning id),
        joined as (insert into artifact_packs (artifact_id, pack_id) select $id, unnest($pack_ids::uuid[]) on conflict do nothing)
   select id from made union all select id from known`,
);
const givenUp = statement<{ id: string; pack_ids: string[] }, { id: string }>(
  "artifact_given_up",
  `(select id from artifacts where id = $id and state = 'deleted')
   union all (select id from packs where id = any($pack_ids::uuid[]) and deleted_at is not null limit 1)`,
);

/**
 * The named packs that are known, and whether they may not be named: of other organizations, under another key, or given up by the collection. Locked, so that
 * the collection leaves them alone until the transaction ends (storage-collection.ts).
 */
const knownPacks = statement<{ org_id: string; pack_ids: string[]; pack_keys: string[] }, { id: string; foreign_pack: boolean }>(
  "artifact_known_packs",
  `select p.id, p.org_id <> $org_id or p.object_key <> x.key or p.deleted_at is not null as foreign_pack
     from packs p join unnest($pack_ids::uuid[], $pack_keys::text[]) as x (id, key) on x.id = p.id for key share of p`,
);
const knownArtifact = statement<{ id: string; org_id: string }, { usable: boolean }>(
  "artifact_known",
  "select org_id = $org_id and state = 'ready' as usable from artifacts where id = $id for key share",
);

/**
 * After `check-artifact.ts` found that it may be named. An upload that nobody has committed for long may be given up between the two (storage-collection.ts):
 * then the transaction begins again, and is told.
 */
export async function artifactInsert(
  tx: Tx,
  orgId: string,
  kind: "image" | "task" | "workspace" | "memory" | "device" | "scratch",
  artifact: NewArtifact,
): Promise<void> {
  const packIds = artifact.packs.map((pack) => pack.pack_id);
  const made = await tx.all(insert, {
    id: artifact.artifact_id,
    org_id: orgId,
    kind,
    manifest_key: artifact.manifest_key,
    digest: artifact.digest,
    length_bytes: artifact.length_bytes,
    stored_bytes: artifact.stored_bytes,
    pack_ids: packIds,
    pack_keys: artifact.packs.map((pack) => pack.object_key),
    pack_sizes: artifact.packs.map((pack) => pack.size_bytes),
  });
  if (made.length === 1 + packIds.length) return;
  const gone = await tx.one(givenUp, { id: artifact.artifact_id, pack_ids: packIds });
  if (gone) throw new RepeatTransaction(`Artifact ${artifact.artifact_id} or pack ${gone.id} was given up a moment ago`);
}

export async function artifactForeignPacks(tx: Tx, orgId: string, packs: NewArtifact["packs"]): Promise<{ id: string }[]> {
  const known = await tx.all(knownPacks, {
    org_id: orgId,
    pack_ids: packs.map((pack) => pack.pack_id),
    pack_keys: packs.map((pack) => pack.object_key),
  });
  return known.filter((pack) => pack.foreign_pack);
}

/** Undefined: there is no artifact with this id yet. */
export const artifactUsable = async (tx: Tx, orgId: string, id: string): Promise<boolean | undefined> =>
  (await tx.one(knownArtifact, { id, org_id: orgId }))?.usable;
