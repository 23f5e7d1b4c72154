/**
 * Collection of stored bytes: which artifacts, packs and source archives nothing refers to any more, and giving them up (docs/architecture/storage.md).
 *
 * Marking walks every row in pages and only writes down since when a row is not referred to; it may be wrong by the time it commits. Giving up decides: it
 * locks the row against everybody who is about to refer to it (`for update` against their key-share locks) and looks again, in a statement of its own.
 */
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

/** Every column that refers to an artifact; test/contract/storage.contract.ts compares this with the schema. */
export const artifactReferences = [
  ["workspace_versions", "artifact_id"],
  ["deployments", "task_artifact_id"],
  ["deployment_sandboxes", "image_artifact_id"],
  ["checkpoints", "memory_artifact_id"],
  ["checkpoints", "device_artifact_id"],
  ["checkpoints", "scratch_artifact_id"],
  ["checkpoints", "template_artifact_id"],
  ["image_steps", "artifact_id"],
] as const;

/** With a limit each question is one look into an index; an `exists` among others could be answered by reading the whole table. */
export const isReferred = (id: string) =>
  artifactReferences.map(([table, column]) => `(select 1 from ${table} x where x.${column} = ${id} limit 1) is not null`).join(" or ");

interface Marked {
  last: string | null;
  scanned: number;
  changed: number;
}

const markPage = (table: string, live: string, referred: string) =>
  `with page as (select id, unreferenced_since from ${table} p where ${live} and id > $after order by id limit $row_limit),
        seen as (select p.id, ${referred} as referred, p.unreferenced_since is not null as marked from page p),
        marked as (update ${table} t set unreferenced_since = case when s.referred then null else now() end
                     from seen s where t.id = s.id and s.referred = s.marked returning t.id)
   select (select id from page order by id desc limit 1) as last, (select count(*)::int from page) as scanned, (select count(*)::int from marked) as changed`;

const markArtifacts = statement<{ after: string; row_limit: number }, Marked>(
  "storage_mark_artifacts",
  markPage("artifacts", "p.state <> 'deleted'", `(${isReferred("p.id")})`),
);
const markPacks = statement<{ after: string; row_limit: number }, Marked>(
  "storage_mark_packs",
  markPage("packs", "p.deleted_at is null", "exists (select from artifact_packs x where x.pack_id = p.id)"),
);

const unreferencedArtifacts = statement<{ grace_ms: number; row_limit: number }, { id: string }>(
  "storage_unreferenced_artifacts",
  `select id from artifacts
    where state <> 'deleted' and unreferenced_since is not null and unreferenced_since <= now() - $grace_ms * interval '1 millisecond'
    order by unreferenced_since limit $row_limit`,
);
const unreferencedPacks = statement<{ grace_ms: number; row_limit: number }, { id: string }>(
  "storage_unreferenced_packs",
  `select id from packs
    where deleted_at is null and unreferenced_since is not null and unreferenced_since <= now() - $grace_ms * interval '1 millisecond'
    order by unreferenced_since limit $row_limit`,
);

/** Whoever is about to refer to the row holds a key-share lock on it: then it is left for another time. */
const lockArtifact = statement<{ id: string }, { id: string }>(
  "storage_lock_artifact",
  "select id from artifacts where id = $id and state <> 'deleted' for update skip locked",
);
const lockPack = statement<{ id: string }, { id: string }>(
  "storage_lock_pack",
  "select id from packs where id = $id and deleted_at is null for update skip locked",
);
/** Lets go of its packs at once: they are looked at by themselves. */
const giveUpArtifact = statement<{ id: string }>(
  "storage_give_up_artifact",
  `with gone as (update artifacts a set state = 'deleted', deleted_at = now() where a.id = $id and not (${isReferred("a.id")}) returning a.id)
   delete from artifact_packs where artifact_id in (select id from gone)`,
);
const isGivenUp = statement<{ id: string }, { id: string }>(
  "storage_is_given_up",
  "select id from artifacts where id = $id and state = 'deleted'",
);
const giveUpPack = statement<{ id: string }>(
  "storage_give_up_pack",
  "update packs p set deleted_at = now() where p.id = $id and not exists (select from artifact_packs x where x.pack_id = p.id)",
);

interface GivenUp {
  id: string;
  object_key: string;
}
const unpurgedArtifacts = statement<{ row_limit: number }, GivenUp>(
  "storage_unpurged_artifacts",
  "select id, manifest_key as object_key from artifacts where deleted_at is not null and purged_at is null order by deleted_at limit $row_limit",
);
const unpurgedPacks = statement<{ row_limit: number }, GivenUp>(
  "storage_unpurged_packs",
  "select id, object_key from packs where deleted_at is not null and purged_at is null order by deleted_at limit $row_limit",
);
const artifactPurged = statement<{ id: string }>(
  "storage_artifact_purged",
  "update artifacts set purged_at = now() where id = $id and deleted_at is not null",
);
const packPurged = statement<{ id: string }>(
  "storage_pack_purged",
  "update packs set purged_at = now() where id = $id and deleted_at is not null",
);

const forgetArtifacts = statement<{ older_ms: number; row_limit: number }>(
  "storage_forget_artifacts",
  `delete from artifacts where id in (select a.id from artifacts a where a.purged_at < now() - $older_ms * interval '1 millisecond'
                                        and not (${isReferred("a.id")}) order by a.purged_at limit $row_limit)`,
);
const forgetPacks = statement<{ older_ms: number; row_limit: number }>(
  "storage_forget_packs",
  `delete from packs where id in (select id from packs where purged_at < now() - $older_ms * interval '1 millisecond' order by purged_at limit $row_limit)`,
);

/** Objects without a row: uploads that were never committed. The row that is made now refuses whoever would still commit them. */
const knownPacks = statement<{ ids: string[] }, { id: string }>("storage_known_packs", "select id from packs where id = any($ids::uuid[])");
const knownArtifacts = statement<{ ids: string[] }, { id: string }>(
  "storage_known_artifacts",
  "select id from artifacts where id = any($ids::uuid[])",
);
const refusePack = statement<{ id: string; org_id: string; object_key: string }>(
  "storage_refuse_pack",
  `insert into packs (id, org_id, object_key, size_bytes, deleted_at)
   select $id, o.id, $object_key, 0, now() from organizations o where o.id = $org_id on conflict do nothing`,
);
const refuseArtifact = statement<{ id: string; org_id: string; manifest_key: string }>(
  "storage_refuse_artifact",
  `insert into artifacts (id, org_id, kind, state, manifest_key, digest, length_bytes, stored_bytes, deleted_at)
   select $id, o.id, 'workspace', 'deleted', $manifest_key, '', 0, 0, now() from organizations o where o.id = $org_id on conflict do nothing`,
);

/**
 * Source archives. Whoever is about to store one says so first (`sourceExpected`), which takes the mark away; whoever removes one holds its row until the object is
 * gone. So an archive is either there when it was answered to be, or is stored again.
 */
const expectSource = statement<{ org_id: string; digest: string }>(
  "storage_expect_source",
  `insert into blobs (org_id, digest, media_type, size_bytes) values ($org_id, $digest, 'application/x-tar', 0)
   on conflict (org_id, digest) do update set unreferenced_since = null`,
);
const markSources = statement<
  { org_id: string; digest: string; row_limit: number },
  { org_id: string | null; digest: string | null; scanned: number; changed: number }
>(
  "storage_mark_sources",
  `with page as (select org_id, digest, unreferenced_since from blobs where (org_id, digest) > ($org_id, $digest) order by org_id, digest limit $row_limit),
        seen as (select p.org_id, p.digest, p.unreferenced_since is not null as marked,
                        (select 1 from deployments d where d.org_id = p.org_id and d.content_hash = p.digest limit 1) is not null as referred from page p),
        marked as (update blobs b set unreferenced_since = case when s.referred then null else now() end
                     from seen s where b.org_id = s.org_id and b.digest = s.digest and s.referred = s.marked returning b.digest),
        last as (select org_id, digest from page order by org_id desc, digest desc limit 1)
   select (select org_id from last) as org_id, (select digest from last) as digest, (select count(*)::int from page) as scanned,
          (select count(*)::int from marked) as changed`,
);
const unreferencedSources = statement<{ grace_ms: number; row_limit: number }, { org_id: string; digest: string }>(
  "storage_unreferenced_sources",
  `select org_id, digest from blobs where unreferenced_since is not null and unreferenced_since <= now() - $grace_ms * interval '1 millisecond'
    order by unreferenced_since limit $row_limit`,
);
const lockSource = statement<{ org_id: string; digest: string; grace_ms: number }, { digest: string }>(
  "storage_lock_source",
  `select digest from blobs where org_id = $org_id and digest = $digest and unreferenced_since <= now() - $grace_ms * interval '1 millisecond' for update skip locked`,
);
const removeSource = statement<{ org_id: string; digest: string }>(
  "storage_remove_source",
  `delete from blobs b where b.org_id = $org_id and b.digest = $digest
      and not exists (select from deployments d where d.org_id = b.org_id and d.content_hash = b.digest)`,
);

const releaseCheckpoints = statement<{ older_ms: number; row_limit: number }>(
  "storage_release_checkpoints",
  `update checkpoints set memory_artifact_id = null, device_artifact_id = null, scratch_artifact_id = null, template_artifact_id = null
    where id in (select id from checkpoints where state in ('invalid', 'deleted') and memory_artifact_id is not null
                    and ended_at < now() - $older_ms * interval '1 millisecond' order by ended_at limit $row_limit)`,
);

const forgetCheckpoints = statement<{ older_ms: number; row_limit: number }>(
  "storage_forget_checkpoints",
  `delete from checkpoints where id in (select id from checkpoints where state in ('invalid', 'deleted') and memory_artifact_id is null
                                           and ended_at < now() - $older_ms * interval '1 millisecond' order by ended_at limit $row_limit)`,
);

type Pages = { after: string; limit: number };
export const storageMark = {
  artifacts: async (on: Queryable, { after, limit }: Pages) => (await on.one(markArtifacts, { after, row_limit: limit })) as Marked,
  packs: async (on: Queryable, { after, limit }: Pages) => (await on.one(markPacks, { after, row_limit: limit })) as Marked,
};
export const storageUnreferenced = {
  artifacts: (on: Queryable, graceMs: number, limit: number) => on.all(unreferencedArtifacts, { grace_ms: graceMs, row_limit: limit }),
  packs: (on: Queryable, graceMs: number, limit: number) => on.all(unreferencedPacks, { grace_ms: graceMs, row_limit: limit }),
};

/** True when it was given up now; false when somebody refers to it, or is about to. */
export async function storageGiveUpArtifact(tx: Tx, id: string): Promise<boolean> {
  if (!(await tx.one(lockArtifact, { id }))) return false;
  await tx.run(giveUpArtifact, { id });
  return (await tx.one(isGivenUp, { id })) !== undefined;
}

export async function storageGiveUpPack(tx: Tx, id: string): Promise<boolean> {
  return (await tx.one(lockPack, { id })) !== undefined && (await tx.run(giveUpPack, { id })) > 0;
}

export const storageUnpurged = {
  artifacts: (on: Queryable, limit: number) => on.all(unpurgedArtifacts, { row_limit: limit }),
  packs: (on: Queryable, limit: number) => on.all(unpurgedPacks, { row_limit: limit }),
};
export const storagePurged = {
  artifacts: (on: Queryable, id: string) => on.run(artifactPurged, { id }),
  packs: (on: Queryable, id: string) => on.run(packPurged, { id }),
};
export const storageForget = async (on: Queryable, olderMs: number, limit: number): Promise<number> =>
  (await on.run(forgetArtifacts, { older_ms: olderMs, row_limit: limit })) +
  (await on.run(forgetPacks, { older_ms: olderMs, row_limit: limit }));

export const storageKnown = {
  packs: async (on: Queryable, ids: string[]) => new Set((await on.all(knownPacks, { ids })).map(({ id }) => id)),
  artifacts: async (on: Queryable, ids: string[]) => new Set((await on.all(knownArtifacts, { ids })).map(({ id }) => id)),
};
/** Afterwards a loop removes the object like any other that was given up. Zero: somebody committed it meanwhile, or its organization is gone. */
export const storageRefuse = {
  packs: (on: Queryable, object: { id: string; orgId: string; key: string }) =>
    on.run(refusePack, { id: object.id, org_id: object.orgId, object_key: object.key }),
  artifacts: (on: Queryable, object: { id: string; orgId: string; key: string }) =>
    on.run(refuseArtifact, { id: object.id, org_id: object.orgId, manifest_key: object.key }),
};
export const storageReleaseCheckpoints = (on: Queryable, olderMs: number, limit: number) =>
  on.run(releaseCheckpoints, { older_ms: olderMs, row_limit: limit });
export const storageForgetCheckpoints = (on: Queryable, olderMs: number, limit: number) =>
  on.run(forgetCheckpoints, { older_ms: olderMs, row_limit: limit });

interface Source {
  orgId: string;
  digest: string;
}
export const storageExpectSource = (on: Queryable, { orgId, digest }: Source) => on.run(expectSource, { org_id: orgId, digest });
export const storageMarkSources = (on: Queryable, after: Source, limit: number) =>
  on.one(markSources, { org_id: after.orgId, digest: after.digest, row_limit: limit });
export const storageUnreferencedSources = (on: Queryable, graceMs: number, limit: number) =>
  on.all(unreferencedSources, { grace_ms: graceMs, row_limit: limit });
/** Locked until the transaction ends: nobody expects or queues it meanwhile. */
export async function storageRemoveSource(tx: Tx, { orgId, digest }: Source, graceMs: number): Promise<boolean> {
  const locked = await tx.one(lockSource, { org_id: orgId, digest, grace_ms: graceMs });
  return locked !== undefined && (await tx.run(removeSource, { org_id: orgId, digest })) > 0;
}
