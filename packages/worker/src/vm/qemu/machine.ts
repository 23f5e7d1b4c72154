/**
 * One running machine of the QEMU driver.
 *
 *   running ⇄ paused → ended        `stop`, a guest that ends, and a monitor that dies all lead to `ended`, once
 *
 * `ended` is reached through one door (`finish`): it kills the monitor, closes sockets, removes the control group, gives the user back, and
 * only then resolves `exited`. A snapshot leaves the machine paused; its memory file is the machine's own until the machine is stopped, so
 * `resume` after a snapshot makes that snapshot worthless.
 */
import type { Duplex } from "node:stream";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type Compatibility,
  type DiskCopy,
  type Machine,
  type MachineDiskSlot,
  type MachineExit,
  type MachineHandle,
  type Snapshot,
  VmError,
} from "../driver.ts";
import { vmLimits } from "../limits.ts";
import { within } from "../limited-time.ts";
import type { Undo } from "../undo.ts";
import { DiskCopies } from "./disk-copies.ts";
import type { FilePasser } from "./file-passer.ts";
import type { MachineDirectory } from "./machine-directory.ts";
import type { MonitorProcess } from "./monitor-process.ts";
import type { Qmp, QmpEvent } from "./qmp.ts";
import { keepMemory, saveDeviceState } from "./snapshot.ts";

export const snapshotFiles = { memory: "memory", device: "device" } as const;

export interface MachineParts {
  id: string;
  compatibility: Compatibility;
  handle: MachineHandle;
  control: Duplex;
  network: Duplex;
  process: MonitorProcess;
  qmp: Qmp;
  directory: MachineDirectory;
  files: FilePasser;
  /** File of the guest's memory when it is the machine's own. */
  memory: string | undefined;
  undo: Undo;
}

export class QemuMachine implements Machine {
  readonly id: string;
  readonly compatibility: Compatibility;
  readonly handle: MachineHandle;
  readonly control: Duplex;
  readonly network: Duplex;
  readonly exited: Promise<MachineExit>;
  private readonly parts: MachineParts;
  private readonly copies: DiskCopies;
  private resolveExited: (exit: MachineExit) => void = () => {};
  private ending: Promise<void> | undefined;

  constructor(parts: MachineParts) {
    this.parts = parts;
    this.id = parts.id;
    this.compatibility = parts.compatibility;
    this.handle = parts.handle;
    this.control = parts.control;
    this.copies = new DiskCopies({ qmp: parts.qmp, files: parts.files, command: (name, args) => this.command(name, args) });
    this.network = parts.network;
    this.exited = new Promise((resolve) => {
      this.resolveExited = resolve;
    });
    for (const stream of [parts.control, parts.network]) {
      stream.on("error", () => {
        // The machine's end is told by `exited`, not by its streams.
      });
    }
    parts.qmp.onEvent((event) => this.receive(event));
    void parts.process.exited.then(({ code, signal }) => this.died(code, signal));
  }

  async pause(): Promise<void> {
    await this.command("stop");
  }

  async resume(): Promise<void> {
    await this.command("cont");
  }

  snapshot(directory: string, copyDisks: () => Promise<void>): Promise<Snapshot> {
    const { memory } = this.parts;
    if (memory === undefined) {
      throw new VmError("snapshot_failed", `Machine ${this.id} shares its memory with the template: start it as snapshotable`);
    }
    return within({ ms: vmLimits.snapshotMs, code: "snapshot_failed", what: `The snapshot of machine ${this.id}` }, async (signal) => {
      await mkdir(directory, { recursive: true });
      const snapshot = { directory, memory: join(directory, snapshotFiles.memory), device: join(directory, snapshotFiles.device) };
      const started = performance.now();
      try {
        // Answered when the processors stand still and every disk request is finished and in its file.
        await this.command("stop");
        const { qmp, directory: place } = this.parts;
        await allSettled([saveDeviceState(qmp, place, snapshot.device, signal), keepMemory(memory, snapshot.memory), copyDisks()]);
      } catch (error) {
        await this.discardSnapshot(snapshot);
        throw error;
      }
      return { ...snapshot, pausedMs: performance.now() - started };
    });
  }

  /** The machine is paused as before and may be resumed. */
  private async discardSnapshot({ memory, device }: Pick<Snapshot, "memory" | "device">): Promise<void> {
    await Promise.all([rm(memory, { force: true }), rm(device, { force: true })]);
    // Nothing to cancel is an error here, and of no interest.
    await this.parts.qmp.execute("migrate_cancel").catch(() => {});
  }

  async resizeDisk(slot: MachineDiskSlot, sizeBytes: number): Promise<void> {
    await this.command("block_resize", { "node-name": slot, size: sizeBytes });
  }

  copyDisk(slot: MachineDiskSlot, copy: DiskCopy): Promise<void> {
    return this.copies.copy(slot, copy);
  }

  async stop(): Promise<void> {
    await this.finish({ reason: "stopped" });
  }

  /** For a machine that was taken over: its guest may have ended while nobody listened. */
  async noticeEnd(): Promise<void> {
    const { status } = (await this.command("query-status")) as { status: string };
    if (status !== "shutdown" && status !== "guest-panicked" && status !== "internal-error") return;
    const console = await readConsole(this.parts.qmp);
    const panicked = status !== "shutdown" || console.includes("Kernel panic");
    await this.finish(panicked ? { reason: "guest_panic", console } : { reason: "guest_shutdown" });
  }

  /** A monitor that does not answer is killed: nothing can be known about its machine any more. */
  private async command(name: string, args?: Record<string, unknown>): Promise<unknown> {
    try {
      return await this.parts.qmp.execute(name, args);
    } catch (error) {
      if (error instanceof VmError && error.code === "monitor_unresponsive")
        await this.finish({ reason: "monitor_died", exitCode: null, signal: null, stderr: error.message });
      throw error;
    }
  }

  private receive({ event, data }: QmpEvent): void {
    if (event !== "SHUTDOWN" || data["guest"] !== true) return;
    void this.guestEnded(String(data["reason"]));
  }

  /** A reset that nobody can ask for in a guest is the triple fault of a kernel that panicked (`reboot=t panic=-1`). */
  private async guestEnded(reason: string): Promise<void> {
    const exit: MachineExit =
      reason === "guest-shutdown" ? { reason: "guest_shutdown" } : { reason: "guest_panic", console: await readConsole(this.parts.qmp) };
    await this.finishQuietly(exit);
  }

  private async died(exitCode: number | null, signal: string | null): Promise<void> {
    await this.finishQuietly({ reason: "monitor_died", exitCode, signal, stderr: await this.parts.process.complaints() });
  }

  /** For ends that nobody here asked for: who waits for `exited` learns of them, a failure to clean up included. */
  private async finishQuietly(exit: MachineExit): Promise<void> {
    await this.finish(exit).catch(() => {});
  }

  private finish(exit: MachineExit): Promise<void> {
    this.ending ??= this.end(exit);
    return this.ending;
  }

  private async end(exit: MachineExit): Promise<void> {
    let reported = exit;
    try {
      await this.parts.undo.run();
    } catch (error) {
      const stderr = error instanceof Error ? error.message : String(error);
      reported = { reason: "monitor_died", exitCode: null, signal: null, stderr };
      throw error;
    } finally {
      this.control.destroy();
      this.network.destroy();
      this.resolveExited(reported);
    }
  }
}

/** The first failure, once nothing is under way any more: a machine that is resumed while its state is still being written would stop again. */
async function allSettled(works: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === "rejected") throw result.reason;
}

/** What the guest's kernel and init said last. */
export async function readConsole(qmp: Qmp): Promise<string> {
  const text = await qmp.execute("ringbuf-read", { device: "console", size: vmLimits.consoleBytes }).catch(() => "");
  return typeof text === "string" ? text.trim() : "";
}
