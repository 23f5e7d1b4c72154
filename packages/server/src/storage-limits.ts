/** How long stored bytes, versions and workspaces are kept. Milliseconds unless the name says otherwise. */
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export const storageLimits = {
  /**
   * An artifact or pack that nothing refers to is kept for so long. Longer than any upload, and than workers go on pointing to chunks they have seen
   * (worker/src/chunks/chunk-index.ts: an hour) plus the longest lease of a run: whoever counts on a chunk has named it by then.
   */
  graceMs: 2 * DAY,
  /** The row of a pack that is gone refuses late writers for so long. */
  tombstoneMs: 7 * DAY,
  /** Rows looked at in one statement. */
  page: 1_000,
  /** Objects given up or removed in one pass of a loop. */
  batch: 200,
  /** Of each workspace the newest versions are kept whatever their age; the head and what was made on purpose too. */
  versionsKeptMin: 50,
  versionsKeptMs: 30 * DAY,
  failedVersionsKeptMs: 7 * DAY,
  /** A workspace that was deleted can be looked at and forked for so long. */
  archivedWorkspacesKeptMs: 7 * DAY,
  /** Versions of such a workspace removed in one transaction. */
  versionsRemovedAtOnce: 500,
  /** An ended checkpoint lets go of its memory after so long: a worker may still be reading it. */
  endedCheckpointsMs: HOUR,
  /** That a run was parked, for how long its machine stood still and where, is remembered for so long afterwards. */
  endedCheckpointRowsMs: 7 * DAY,
  orphanPeriodMs: 6 * HOUR,
} as const;
