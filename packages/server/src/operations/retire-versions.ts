/**
 * Retention of versions, and the end of workspaces that were deleted (engine §1: every list a user can grow has one). A version that is let go of keeps its
 * place in the history without its content; a deleted workspace loses all versions, a bounded number at a time, and is then `deleted`. What was only theirs is
 * collected later (collect-storage.ts). Locks: one workspace at a time → its versions.
 */
import { required } from "../assert.ts";
import { workspaceTransitions } from "../domain/workspace.ts";
import type { EngineContext } from "../engine-context.ts";
import { storageLimits } from "../storage-limits.ts";
import {
  versionExpiredPage,
  versionLetGo,
  type VersionRules,
  workspaceArchivedExpired,
  workspaceForgetHead,
  workspaceRemoveVersions,
} from "../store/version-retention.ts";
import { workspaceLock, workspaceLockById, workspaceSetState } from "../store/workspace.ts";
import type { Collected } from "./collect-storage.ts";

type Context = Pick<EngineContext, "db">;

/** One walk over all versions. */
export async function retireVersions(
  { db }: Context,
  rules: VersionRules = storageLimits,
  page: number = storageLimits.page,
): Promise<Collected> {
  const pass = { scanned: 0, changed: 0, more: false };
  for (let after: string | null = "00000000-0000-0000-0000-000000000000"; after !== null;) {
    const found: Awaited<ReturnType<typeof versionExpiredPage>> = await versionExpiredPage(db, rules, { after, limit: page });
    const { last, scanned, workspaces } = required(found, "An aggregate returns a row");
    pass.scanned += scanned;
    for (const id of workspaces)
      pass.changed += await db.tx(async (tx) => ((await workspaceLockById(tx, id)) ? versionLetGo(tx, id, rules, page) : 0));
    after = scanned === page ? last : null;
  }
  return pass;
}

export async function removeDeletedWorkspaces(
  { db }: Context,
  { keptMs = storageLimits.archivedWorkspacesKeptMs, batch = storageLimits.batch }: { keptMs?: number; batch?: number } = {},
): Promise<Collected> {
  const rows = await workspaceArchivedExpired(db, keptMs, batch);
  let changed = 0;
  for (const { id, environment_id: environmentId } of rows) {
    for (let done = false; !done;) {
      done = await db.tx(async (tx) => {
        const workspace = await workspaceLock(tx, environmentId, id);
        if (workspace?.state !== workspaceTransitions.purge.from[0]) return true;
        await workspaceForgetHead(tx, id);
        const removed = await workspaceRemoveVersions(tx, id, storageLimits.versionsRemovedAtOnce);
        if (removed === storageLimits.versionsRemovedAtOnce) return false;
        await workspaceSetState(tx, id, workspaceTransitions.purge.to, "deleted");
        return true;
      });
    }
    changed += 1;
  }
  return { scanned: rows.length, changed, more: rows.length === batch };
}
