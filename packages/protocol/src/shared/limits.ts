/** Limits that both sides of a wire must agree on. Sizes in bytes, times in milliseconds unless the name says otherwise. */
const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** http §1.1 */
  apiBodyBytesMax: 128 * MiB,
  /** http §9.1 */
  deploymentMetadataBytesMax: 1 * MiB,
  deploymentUnpackedBytesMax: 512 * MiB,
  deploymentEntriesMax: 100_000,
  /** http §1.6 */
  tagsMax: 10,
  tokenTagsMax: 32,
  tagBytesMax: 128,
  keyBytesMax: 512,
  /** Our own bound: code that walks JSON may recurse, and PostgreSQL's parser has a stack too. */
  jsonDepthMax: 1_000,
  /** sdk §8.5 */
  jsonValueBytesMax: 256 * KiB,
  logEntryBytesMax: 64 * KiB,
  waitMetadataBytesMax: 64 * KiB,
  /** http §13: one stored chunk of a byte stream, and what is kept per stream */
  byteChunkBytesMax: 64 * KiB,
  byteStreamRetainedBytes: 64 * MiB,
  stdinWriteBytesMax: 1 * MiB,
  /** http §7.5: snapshot of run logs, per stream */
  logSnapshotBytes: 1 * MiB,
  /** http §7.6 */
  runDurationSecondsMin: 5,
  runDurationSecondsMax: 86_400,
  runDurationSecondsDefault: 900,
  /** http §1.7 */
  sseKeepAliveMs: 15_000,
  sseLifetimeMs: 30 * 60_000,
  /** engine §2: how long a lease lasts without renewal, and how often a holder renews it */
  leaseTtlMs: 75_000,
  leaseRenewMs: 10_000,
  /** engine §3: time between the cancel signal and stopping the program; whole cancel bound */
  cancelGraceMs: 10_000,
  cancelTotalMs: 30_000,
} as const;
