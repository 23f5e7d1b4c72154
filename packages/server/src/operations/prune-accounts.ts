/** The owner of what logins leave behind (engine §1): ended sessions, links, device logins, rate buckets and old invitations. */
import { accountLimits } from "../account-limits.ts";
import { type RetainedTable, retentionPrune } from "../store/account-retention.ts";
import type { Queryable } from "../store/db.ts";

const retentionMs: Readonly<Record<RetainedTable, number>> = {
  login_sessions: accountLimits.endedRetentionMs,
  magic_links: accountLimits.endedRetentionMs,
  device_logins: accountLimits.endedRetentionMs,
  rate_limits: accountLimits.rateLimitRetentionMs,
  invitations: accountLimits.invitationRetentionMs,
};

/** One page per table; `more` when a table may have another one. */
export async function pruneAccounts(db: Queryable, rowLimit = 500): Promise<{ changed: number; more: boolean }> {
  let changed = 0;
  let more = false;
  for (const [table, ageMs] of Object.entries(retentionMs) as [RetainedTable, number][]) {
    const removed = await retentionPrune(db, table, { age_ms: ageMs, row_limit: rowLimit });
    changed += removed;
    more ||= removed === rowLimit;
  }
  return { changed, more };
}
