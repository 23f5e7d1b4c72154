/**
 * Removes source archives that no deployment refers to any more. Unlike chunks they are named by their content, so the same one may be uploaded again at any
 * moment: the row is held while the object is removed, and an upload says first that it expects the archive (create-deployment.ts).
 */
import { blobKey } from "../blobs/keys.ts";
import type { EngineContext } from "../engine-context.ts";
import { storageLimits } from "../storage-limits.ts";
import { storageMarkSources, storageRemoveSource, storageUnreferencedSources } from "../store/storage-collection.ts";
import type { Collected, CollectOptions } from "./collect-storage.ts";

type Context = Pick<EngineContext, "db" | "blobs">;

/** One walk over all of them, then a bounded number is removed. */
export async function collectSources({ db, blobs }: Context, options: CollectOptions = {}): Promise<Collected> {
  const { graceMs = storageLimits.graceMs, batch = storageLimits.batch } = options;
  const pass = { scanned: 0, changed: 0, more: false };
  let after: { orgId: string; digest: string } | undefined = { orgId: "00000000-0000-0000-0000-000000000000", digest: "" };
  while (after !== undefined) {
    const page: Awaited<ReturnType<typeof storageMarkSources>> = await storageMarkSources(db, after, storageLimits.page);
    pass.scanned += page?.scanned ?? 0;
    pass.changed += page?.changed ?? 0;
    const full: boolean = page?.scanned === storageLimits.page && page.org_id !== null && page.digest !== null;
    after = full ? { orgId: page?.org_id ?? "", digest: page?.digest ?? "" } : undefined;
  }
  const rows = await storageUnreferencedSources(db, graceMs, batch);
  for (const { org_id: orgId, digest } of rows) {
    const removed = await db.tx(async (tx) => {
      if (!(await storageRemoveSource(tx, { orgId, digest }, graceMs))) return false;
      // Before the row is gone for others: deleting again what is not there does no harm when the transaction is repeated.
      await blobs.delete(blobKey.source(orgId, digest));
      return true;
    });
    if (removed) pass.changed += 1;
  }
  return { ...pass, more: rows.length === batch };
}
