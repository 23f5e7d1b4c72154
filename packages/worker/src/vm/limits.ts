/** Bounds of what drivers do, in milliseconds unless the name says otherwise. Emulation on a busy two-core host decides the values. */
export const vmLimits = {
  /** Cold boot until the supervisor says hello; under emulation 3 to 6 s when nothing else runs. */
  bootMs: 180_000,
  /** From spawning a monitor to a guest that runs. */
  restoreMs: 20_000,
  /** A clone of a fresh template must say something within this. */
  verifyMs: 20_000,
  /** Spares are made once nothing was started for this long, and not at once again after a failure. */
  spareQuietMs: 3_000,
  sparePauseMs: 30_000,
  rehearseMs: 60_000,
  /** Share of the processors for making one. */
  spareMilliCpu: 1_000,
  /** One answer of a monitor. */
  monitorAnswerMs: 10_000,
  /** Standing still for a snapshot: device state only, disks are the caller's. */
  snapshotMs: 30_000,
  /** From SIGKILL to a process that is gone. */
  killMs: 10_000,
  /** What was given up on may take this long to undo itself. */
  undoMs: 15_000,
  /** After a restart of the worker: until an old monitor has connected again (it tries every second). */
  adoptMs: 8_000,
  /** One line of a monitor. */
  monitorLineBytesMax: 1_048_576,
  /** What is kept of a guest's console and of a monitor's complaints. */
  consoleBytes: 65_536,
  complaintBytes: 4_096,
  /** How much may come before the preamble when a machine is taken over: what the device buffers, generously. */
  preambleSearchBytesMax: 8_388_608,
  /** Memory of a monitor beside the guest's: translated code and buffers. */
  monitorMemoryMib: 768,
  monitorTasks: 256,
} as const;
