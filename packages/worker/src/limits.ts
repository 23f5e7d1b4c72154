/** Bounds of the worker that are not for operators to tune. Times in milliseconds, sizes in bytes. */
export interface RunLimits {
  /** Everything before the machine starts: artifacts, template, disks. */
  prepareMs: number;
  startMachineMs: number;
  /** First answer of a restored guest; under emulation a loaded host is slow. */
  attachMs: number;
  /** Secrets placed, program being started. */
  startRunMs: number;
  /** Beyond the guest's own limit and grace the worker acts by itself. */
  guestSlackMs: number;
  /** From the first cancel until the machine is killed. */
  cancelTotalMs: number;
  cancelGraceMs: number;
  /** A forced stop of the program, by the guest. */
  forceMs: number;
  /** Output that is on its way when the run has ended. */
  outputMs: number;
  syncMs: number;
  /** Hash, compress and upload a workspace; while it lasts the lease is renewed. */
  captureMs: number;
  spoolBytesMax: number;
  /** The guest stands still, or goes on again: everything said and taken, file systems frozen. */
  parkPrepareMs: number;
  /** One park from its beginning to the control plane's answer. */
  parkMs: number;
}

export const runLimits: RunLimits = {
  prepareMs: 15 * 60_000,
  startMachineMs: 60_000,
  attachMs: 20_000,
  startRunMs: 20_000,
  guestSlackMs: 5_000,
  cancelTotalMs: 25_000,
  cancelGraceMs: 10_000,
  forceMs: 5_000,
  outputMs: 10_000,
  syncMs: 20_000,
  captureMs: 30 * 60_000,
  spoolBytesMax: 256 * 1024 * 1024,
  parkPrepareMs: 30_000,
  parkMs: 15 * 60_000,
};
