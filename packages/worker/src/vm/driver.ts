/**
 * The port between the worker and a virtual machine monitor. A driver knows how to boot, restore, pause, snapshot and stop one kind of
 * machine and how to give byte streams to the supervisor in it. It knows no runs, workspaces, leases or protocols.
 *
 *   template   made once per (kernel, initramfs, substrate, image, shape): boot to "supervisor ready, nothing of a tenant mounted",
 *              snapshot, verify, keep. A cache: any template may be evicted and made again.
 *   machine    a copy-on-write clone of a template or the restore of a checkpoint.
 *                starting → running ⇄ paused → stopped      (stopped from every state; `exited` tells how it ended)
 *
 * Disks of a machine are fixed slots, because a restored machine has exactly the devices of its template; a slot that is not used stays
 * an empty placeholder. Every operation has a bound of its own (limits.ts) and every resource an undo; a monitor that does not answer is
 * killed.
 */
import type { Duplex } from "node:stream";

export type Accelerator = "kvm" | "hvf" | "tcg";

/** In this order on the guest's bus: /dev/vda is the substrate. `task` is read-only for its guest, the slots after it and before it are not. */
export const diskSlots = ["substrate", "image", "scratch", "workspace", "task", "extra0", "extra1", "extra2", "extra3"] as const;
export type DiskSlot = (typeof diskSlots)[number];
/** What differs per machine; the other slots belong to the template. */
export type MachineDiskSlot = Exclude<DiskSlot, "substrate" | "image">;

export interface MachineShape {
  vcpus: number;
  memoryMib: number;
}

export interface TemplateSpec {
  kernel: string;
  initramfs: string;
  substrate: string;
  image: string;
  shape: MachineShape;
}

export interface Template {
  /** Digest over the content of all ingredients, the shape, the driver and its version: equal keys are interchangeable. */
  key: string;
  directory: string;
  spec: TemplateSpec;
  createdAt: number;
  /** Bytes on disk. */
  sizeBytes: number;
}

/** A file that stands behind a disk slot. `overlay` is a qcow2 file over a raw one. */
export interface MachineDisk {
  path: string;
  format: "raw" | "overlay";
  /**
   * The raw file under an overlay. Without it the name in the overlay's header counts, which only a file that no monitor has written to may
   * be trusted with.
   */
  backing?: string;
  readOnly: boolean;
  /** Device size the guest must see, when it differs from the placeholder's. */
  sizeBytes: number;
}

export interface MachineSpec {
  /** Unique on this host; names the machine's directory, cgroup and processes. */
  id: string;
  /** Private directory of this machine, made by the caller, removed by the caller after `stop`. The driver uses `monitor/` in it. */
  directory: string;
  template: Template;
  disks: Partial<Record<MachineDiskSlot, MachineDisk>>;
  limits: { milliCpu: number };
  /** true: memory is a private file from the start, so that a later snapshot costs milliseconds (parking). */
  snapshotable: boolean;
  /** Work that must be done before the disks are looked at, such as making them. The monitor starts meanwhile. */
  prepared?: Promise<unknown>;
}

/** Files of a snapshot inside the directory it was written to. All belong to one cut. */
export interface Snapshot {
  directory: string;
  memory: string;
  device: string;
  /** How long the machine stood still. */
  pausedMs: number;
}

export interface DiskCopy {
  /** An empty overlay of the disk's size, made by the caller. Gets the clusters that were written, and nothing else. */
  target: string;
  /** Since the machine began, or since the instant of the last copy that this process of the worker has made. */
  since: "start" | "copy";
  /** Called once everything is ready: the instant is when `cut` is called. A failure gives the copy up. */
  at: (cut: () => Promise<void>) => Promise<void>;
  signal: AbortSignal;
}

/** What a host must have so that a snapshot of this machine restores there. */
export interface Compatibility {
  driver: string;
  /** Driver version that wrote the device state. */
  driverVersion: string;
  accelerator: Accelerator;
  cpuFamily: string;
  templateKey: string;
  shape: MachineShape;
}

export type MachineExit =
  | { reason: "stopped" } // stop() was called
  | { reason: "guest_shutdown" } // the guest halted or rebooted
  | { reason: "guest_panic"; console: string } // its kernel or its init died; what it said last
  | { reason: "monitor_died"; exitCode: number | null; signal: string | null; stderr: string };

export interface Machine {
  readonly id: string;
  readonly compatibility: Compatibility;
  /** Guest protocol stream, from a frame boundary on. Ends when the machine ends. */
  readonly control: Duplex;
  /** Network channel stream (protocol/guest/network.ts), as it comes: what reads it looks for SYNC. */
  readonly network: Duplex;
  /** Resolves once, never rejects. */
  readonly exited: Promise<MachineExit>;
  /** What another process of this worker needs to adopt the machine after a restart; plain JSON. */
  readonly handle: MachineHandle;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Writes memory and device state of a machine that is paused (by this call when it is running) into `directory` and leaves it paused.
   * `copyDisks` runs while the machine stands still, so that disks belong to the same cut. The memory may be the machine's own file: the
   * snapshot is valid once the machine is stopped, and worthless as soon as it is resumed.
   */
  snapshot(directory: string, copyDisks: () => Promise<void>): Promise<Snapshot>;
  /** Tells the guest that a disk has another size. */
  resizeDisk(slot: MachineDiskSlot, sizeBytes: number): Promise<void>;
  /**
   * Copies what was written to an overlay disk, as of one instant, while the machine goes on. One copy of a disk at a time. When it fails, the target is
   * worth nothing and the machine goes on; the next copy holds what this one should have.
   */
  copyDisk(slot: MachineDiskSlot, copy: DiskCopy): Promise<void>;
  /** Kills the monitor and waits until it and everything it held is gone. Idempotent. */
  stop(): Promise<void>;
}

export interface MachineHandle {
  driver: string;
  id: string;
  directory: string;
  pid: number;
  /** Start time of the process, so that a recycled pid is not mistaken for the monitor. */
  pidStartTime: number;
  details: Record<string, unknown>;
}

export interface DriverFacts {
  driver: string;
  version: string;
  accelerator: Accelerator;
  /** Why that accelerator: what the probes said, for `helmr doctor`, the API and the console. */
  explanation: string;
  cpuFamily: string;
}

export interface VmDriver {
  facts(): Promise<DriverFacts>;
  /** The key a template of this spec has; content digests are cached by path, size and mtime. */
  templateKey(spec: TemplateSpec): Promise<string>;
  /** Boots and snapshots a template into `directory` (made by the caller, complete only when this resolves). */
  createTemplate(spec: TemplateSpec, directory: string, signal: AbortSignal): Promise<Template>;
  start(spec: MachineSpec, signal: AbortSignal): Promise<Machine>;
  /** Restores a snapshot with the disks it was cut with. */
  restore(spec: MachineSpec, snapshot: Pick<Snapshot, "memory" | "device">, signal: AbortSignal): Promise<Machine>;
  /**
   * Takes over a machine that an earlier process of this worker started; `gone` when it does not run any more. It may be paused, when that
   * process died in between: `resume` does no harm to a machine that runs. Its guest says `hello` again.
   */
  adopt(handle: MachineHandle): Promise<Machine | "gone">;
  /** A template that was made earlier; undefined when it is incomplete or was touched since. */
  readTemplate(directory: string): Promise<Template | undefined>;
  /** Machines in directories below this one that still run, whoever started them: for a worker that has just begun. */
  findLeftovers(directory: string): Promise<Leftover[]>;
  endLeftover(leftover: Leftover): Promise<void>;
  /**
   * Keeps that many machines of each kind made in advance, for `start` to take; replaces earlier wishes. They cost memory (about as much as a
   * machine that has run `node` once) and no processor. Worth it under emulation, where the first run of any code is slow.
   */
  keepSpares(wishes: readonly SpareWish[]): Promise<void>;
  /** Ends the spares; machines are their owners' business. */
  close(): Promise<void>;
}

export interface SpareWish {
  template: Template;
  snapshotable: boolean;
  count: number;
}

export interface Leftover {
  /** The machine's. */
  directory: string;
  pid: number;
  pidStartTime: number;
  /** For `adopt`; undefined when the machine was never ready. */
  handle: MachineHandle | undefined;
}

/** Expected failures of a driver; anything else is a bug. */
export class VmError extends Error {
  override name = "VmError";
  readonly code:
    | "boot_timeout"
    | "boot_failed"
    | "restore_failed"
    | "monitor_unresponsive"
    | "monitor_died"
    | "snapshot_failed"
    | "copy_failed"
    | "disk_missing"
    | "aborted";
  constructor(code: VmError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
