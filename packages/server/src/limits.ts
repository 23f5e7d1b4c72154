/** Bounds that are ours alone (what both sides of a wire must agree on is in protocol/shared/limits.ts). Times in milliseconds. */
export const engineLimits = {
  /** A run whose machine never came up is queued again as the same attempt that often; then its retry policy decides. */
  lostStartsMax: 5,
  /** A deployment build that was interrupted by infrastructure is tried that often. */
  buildAttemptsMax: 3,
  buildTimeoutMs: 20 * 60_000,
  buildNeeds: { milliCpu: 2000, memoryMib: 2048, diskMib: 8192 },
  /** Size of a workspace whose sandbox names none. */
  workspaceMibDefault: 10_240,
  /** What such a disk counts as in placement: it is sparse, and most stay nearly empty. */
  diskNeedMibDefault: 1_024,
  /** Runs looked at per page of the ready index, and leases granted in one transaction. */
  candidatesPage: 256,
  grantBatchMax: 64,
  /** A worker that was not heard of for so long has no part in placement and is shown as missing. */
  workerSilentMs: 45_000,
  /** Rows a reconciler touches in one pass. */
  reconcileBatch: 200,
  garbageBatch: 5_000,
  /** Ended leases and mounts answer repeats for that long. */
  endedRetentionMs: 86_400_000,
  /** An idempotency key of a cancel, and everything else that is only kept to answer repeats. */
  repeatRetentionMs: 30 * 86_400_000,
  /** A step of an image that no build has asked for so long is made anew. */
  imageStepRetentionMs: 30 * 86_400_000,
  /** A write without a mount starts one and waits for it so long. */
  mountWaitMs: 120_000,
  /** A capture is waited for as long as the worker tries. */
  captureWaitMs: 30 * 60_000,
  /** Ended execs and terminals with their output. */
  execRetentionMs: 30 * 86_400_000,
  /** How long a waiting claim may live without looking by itself: hints can be lost. */
  claimLookAnywayMs: 10_000,
  /** How long a worker may use a URL it was given. */
  grantTtlMs: 15 * 60_000,
  /** A checkpoint is tried so often when trying again may help; then its task decides. */
  restoreFailuresMax: 5,
  /** Bytes of one stored log chunk, and of one record derived from it. */
  logChunkBytesMax: 64 * 1024,
  logRecordBytesMax: 64 * 1024,
  loggerRecordBytesMax: 1024 * 1024,
} as const;
