/** Bounds of reading versions without a machine. Bytes and milliseconds unless the name says otherwise. */
const MiB = 1024 * 1024;

export const fileLimits = {
  chunkCacheBytes: 64 * MiB,
  manifestCacheBytes: 32 * MiB,
  directoryCacheEntries: 300_000,
  /** One piece of a file on its way out. */
  readBytesMax: 1 * MiB,
  /** The thread's own memory: it ends, and is started again, before it takes the server's. */
  threadHeapMib: 384,
  /** Requests in the thread at once, and how many more may wait. */
  requestsMax: 32,
  waitingMax: 512,
  /** A request that is not answered by then has failed; a thread that does not answer a ping by then is ended. */
  requestMs: 60_000,
  pingEveryMs: 1_000,
  pingMs: 10_000,
  /** Comparison of two trees: entries that are looked at, and bytes of contents that are compared where chunks say nothing. */
  diffEntriesMax: 2_000_000,
  diffCompareBytesMax: 128 * MiB,
  /** One side of a text diff; larger files are compared, not shown. */
  textBytesMax: 1 * MiB,
  textLinesMax: 50_000,
  /** Edits that are searched for before the rest is shown as replaced. */
  textEditsMax: 2_000,
  textContextLines: 3,
} as const;
