/**
 * Removes what nothing refers to (engine §6), safe under writers at any moment:
 *
 *   mark      every artifact and pack, page by page: since when nothing refers to it. Being referred to again takes the mark away.
 *   give up   after a grace period, one row at a time under a lock that excludes whoever is about to refer to it, looking again. From then on a
 *             writer who names it is refused (check-artifact.ts).
 *   purge     the object, then the row is told; a crash in between repeats it. The row stays a while and refuses late writers.
 *   orphans   objects that no row names and that are older than the grace period: uploads that were never committed. They are refused first, too.
 *
 * Nothing is removed that was not given up in the database before, and nothing is given up that is referred to.
 */
import { isUuid } from "@helmr/protocol/shared";
import type { BlobStore, ListedBlob } from "../blobs/port.ts";
import type { EngineContext } from "../engine-context.ts";
import { storageLimits } from "../storage-limits.ts";
import {
  storageForget,
  storageForgetCheckpoints,
  storageGiveUpArtifact,
  storageGiveUpPack,
  storageKnown,
  storageMark,
  storagePurged,
  storageRefuse,
  storageReleaseCheckpoints,
  storageUnpurged,
  storageUnreferenced,
} from "../store/storage-collection.ts";

type Context = Pick<EngineContext, "db" | "blobs">;
type Kind = "artifacts" | "packs";

export interface Collected {
  scanned: number;
  changed: number;
  more: boolean;
}

export interface CollectOptions {
  graceMs?: number;
  batch?: number;
}

const before = "00000000-0000-0000-0000-000000000000";

/** One walk over everything. */
export async function markStorage({ db }: Context, page: number = storageLimits.page): Promise<Collected> {
  let changed = await storageReleaseCheckpoints(db, storageLimits.endedCheckpointsMs, page);
  changed += await storageForgetCheckpoints(db, storageLimits.endedCheckpointRowsMs, page);
  let scanned = 0;
  // Artifacts first: what they let go of is seen by the walk over the packs.
  for (const kind of ["artifacts", "packs"] as const) {
    for (let after: string | null = before; after !== null;) {
      const marked: Awaited<ReturnType<(typeof storageMark)[Kind]>> = await storageMark[kind](db, { after, limit: page });
      scanned += marked.scanned;
      changed += marked.changed;
      after = marked.scanned === page ? marked.last : null;
    }
  }
  return { scanned, changed, more: false };
}

export async function giveUpStorage({ db }: Context, options: CollectOptions = {}): Promise<Collected> {
  const { graceMs = storageLimits.graceMs, batch = storageLimits.batch } = options;
  const artifacts = await storageUnreferenced.artifacts(db, graceMs, batch);
  const packs = await storageUnreferenced.packs(db, graceMs, batch);
  let changed = 0;
  for (const { id } of artifacts) if (await db.tx((tx) => storageGiveUpArtifact(tx, id))) changed += 1;
  for (const { id } of packs) if (await db.tx((tx) => storageGiveUpPack(tx, id))) changed += 1;
  // Rows that are referred to again keep their mark until the next walk: only progress is a reason to go on at once.
  return { scanned: artifacts.length + packs.length, changed, more: changed > 0 && (artifacts.length === batch || packs.length === batch) };
}

export async function purgeStorage({ db, blobs }: Context, batch: number = storageLimits.batch): Promise<Collected> {
  let changed = 0;
  let full = false;
  for (const kind of ["artifacts", "packs"] as const) {
    const rows = await storageUnpurged[kind](db, batch);
    full ||= rows.length === batch;
    for (const { id, object_key: key } of rows) {
      await blobs.delete(key);
      changed += await storagePurged[kind](db, id);
    }
  }
  const forgotten = await storageForget(db, storageLimits.tombstoneMs, storageLimits.page);
  return { scanned: changed, changed: changed + forgotten, more: full };
}

const objectKey = /^orgs\/([^/]+)\/(packs|manifests)\/([^/]+)$/;

/** `now`: the clock that the store's times are compared with, which is this process's. */
export async function refuseOrphans({ db, blobs }: Context, options: CollectOptions & { now?: number } = {}): Promise<Collected> {
  const { graceMs = storageLimits.graceMs, now = Date.now() } = options;
  let scanned = 0;
  let changed = 0;
  for await (const found of inBatches(blobs.list("orgs/"), storageLimits.page)) {
    scanned += found.length;
    const old = found.filter(({ storedAtMs }) => storedAtMs <= now - graceMs).flatMap(parseKey);
    for (const kind of ["artifacts", "packs"] as const)
      changed += await refuseUnknown(
        { db, blobs },
        kind,
        old.filter((object) => object.kind === kind),
      );
  }
  return { scanned, changed, more: false };
}

interface StoredObject {
  kind: Kind;
  id: string;
  orgId: string;
  key: string;
}

function parseKey({ key }: ListedBlob): StoredObject[] {
  const [, orgId, folder, id] = objectKey.exec(key) ?? [];
  if (orgId === undefined || id === undefined || !isUuid(orgId) || !isUuid(id)) return [];
  return [{ kind: folder === "packs" ? "packs" : "artifacts", id, orgId, key }];
}

async function refuseUnknown({ db, blobs }: Context, kind: Kind, objects: StoredObject[]): Promise<number> {
  if (objects.length === 0) return 0;
  const known = await storageKnown[kind](
    db,
    objects.map(({ id }) => id),
  );
  let changed = 0;
  for (const object of objects) {
    if (known.has(object.id)) continue;
    const refused = (await storageRefuse[kind](db, object)) > 0;
    // Committed meanwhile: it stays. Otherwise its organization is gone, and nobody can commit it any more.
    if (!refused && (await storageKnown[kind](db, [object.id])).has(object.id)) continue;
    await blobs.delete(object.key);
    if (refused) await storagePurged[kind](db, object.id);
    changed += 1;
  }
  return changed;
}

async function* inBatches(list: ReturnType<BlobStore["list"]>, size: number): AsyncGenerator<ListedBlob[]> {
  let batch: ListedBlob[] = [];
  for await (const blob of list) {
    batch.push(blob);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
