/**
 * Takes deleted environments and projects apart in pages. Each page is a transaction of its own; a pass does a bounded number of them and says whether
 * there is more. Nothing depends on an order between passes or processes: two at once only do each other's work.
 */
import type { Db } from "../store/db.ts";
import { purgeEnvironment, purgeMarked, purgePage, purgeProjects, purgeUnpromote } from "../store/purge.ts";

export interface PurgeLimits {
  /** Rows of one table that go in one statement; a session counts as one whatever hangs on it. */
  rowsPerPage: number;
  pagesPerPass: number;
}

const defaults: PurgeLimits = { rowsPerPage: 50, pagesPerPass: 40 };

export interface PurgePass {
  /** Rows removed, children that went with their parents not counted. */
  changed: number;
  more: boolean;
}

export async function purgeDeletedEnvironments(db: Db, limits: PurgeLimits = defaults): Promise<PurgePass> {
  let changed = 0;
  let pages = 0;
  for (const environment of await purgeMarked(db, limits.pagesPerPass)) {
    await purgeUnpromote(db, environment.id);
    for (;;) {
      if (pages >= limits.pagesPerPass) return { changed, more: true };
      pages += 1;
      const removed = await purgePage(db, environment.id, limits.rowsPerPage);
      changed += removed;
      if (removed === 0) break;
    }
    changed += await purgeEnvironment(db, environment.id);
  }
  changed += await purgeProjects(db);
  return { changed, more: (await purgeMarked(db, 1)).length > 0 };
}
