/** Bounds of the supervisor. Sizes in bytes, times in milliseconds of the guest's monotonic clock. */
export const guestLimits = {
  /** One bytes frame: small enough that a control message never waits long behind it. */
  frameDataBytes: 65_536,
  /** Control messages not yet written to the host; beyond this nothing more is read from the program. */
  controlQueueBytes: 2_000_000,
  /** An acknowledgement waits this long for company. */
  ackDelayMs: 20,
  /** After its last word the program has this long to flush its output and leave. */
  programExitMs: 10_000,
  /** A killed control group must be empty after this time. */
  groupEmptyMs: 5_000,
  /** Freezing all processes of the tenant. */
  groupFreezeMs: 2_000,
  /** Output in flight that the host must take before a machine may be parked. */
  parkFlushMs: 5_000,
  /** One call of the guest tool. */
  toolMs: 30_000,
  /** Wait between two tries to open the control device. */
  reopenMs: 50,
  /** Memory that the tenant's processes may not have: the kernel's and the supervisor's own. */
  reservedMemoryBytes: 64 * 1024 * 1024,
  pidsMax: 32_768,
  /** A directory with more entries is not listed. */
  directoryEntriesMax: 200_000,
  treeDepthMax: 256,
  symlinksMax: 40,
  uploadEntriesMax: 1_000_000,
  connectionsMax: 256,
  fileOperationsMax: 64,
  connectMs: 10_000,
} as const;
