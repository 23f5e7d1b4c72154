/**
 * The place of one run in the machine of a mount: the next run of the workspace uses the machine that is there instead of booting its own. The mount keeps
 * lease, machine, execs and disks; the run has its own lease, its program and its output.
 *
 *   closed ──machine up──▶ free ⇄ taken (by one run at a time) ──the mount ends──▶ ending ──said──▶ over
 *
 * A run whose program cannot be asked to end has the machine end with it; then the mount says first what became of the tree, and the run after it, so that
 * nobody is sent into a machine that goes. A run that is parked takes the mount with it, when nothing else runs in the machine. The seat decides nothing
 * itself.
 */
import type { HelloMessage } from "@helmr/protocol/guest";
import type { TemplateMemory } from "../checkpoints/template-memory.ts";
import type { StoredDisk } from "../disks/layered-disk.ts";
import type { GuestMachine, MachineDisks } from "../guest/guest-machine.ts";
import type { LiveWorkspace } from "./live-workspace.ts";

export interface LentMachine {
  guest: GuestMachine;
  disks: MachineDisks;
  live: LiveWorkspace;
  /** What the memory of a parked run is a difference against. */
  template: () => Promise<TemplateMemory>;
  /** Its first run, under the process that has booted it: only of such a machine parking is proven. */
  isFresh?: boolean;
  /** Of a machine that was taken over: what it says first. */
  hello?: Promise<HelloMessage> | undefined;
}

interface MountOfSeat {
  /** It is to end; what it has is kept. */
  end: () => void;
  /** It has ended with its run. */
  parked: () => void;
  /** Nobody is in it any more. */
  left: () => void;
}

export interface SeatTaker {
  /** It can hear the guest; of a run that is taken over. Never rejects. */
  readonly opened: Promise<void>;
  /** The machine that was taken over is about to speak. */
  taken(machine: LentMachine): void;
  /** The mount has been decided: nothing more will come of the program. */
  machineEnds(message: string): void;
}

/** The mount has ended, or is about to. */
export class MountGone extends Error {
  override name = "MountGone";
  readonly code = "mount_gone";
}

export class MountSeat {
  private readonly mount: MountOfSeat;
  private machine: LentMachine | undefined;
  private taker: SeatTaker | undefined;
  private wasUsed = false;
  private left: Promise<void> = Promise.resolve();
  private leaveNow: () => void = () => {};
  private reason: string | undefined;
  private readonly opened: Promise<void>;
  private openNow: () => void = () => {};
  /** Resolves when the mount has said its end, and its machine is gone. */
  readonly over: Promise<void>;
  private overNow: () => void = () => {};

  constructor(mount: MountOfSeat) {
    this.mount = mount;
    this.opened = new Promise((resolve) => {
      this.openNow = resolve;
    });
    this.over = new Promise((resolve) => {
      this.overNow = resolve;
    });
  }

  get isTaken(): boolean {
    return this.taker !== undefined;
  }

  get isEnding(): boolean {
    return this.reason !== undefined;
  }

  // What the mount says.

  /** Before a machine that was taken over is heard: the run in it must be able to listen. */
  async whenHeard(): Promise<void> {
    await this.taker?.opened;
  }

  async whenLeft(): Promise<void> {
    if (this.taker !== undefined) await this.left;
  }

  serve(machine: LentMachine): void {
    this.machine = machine;
    if (this.taker !== undefined) this.takeIn(machine, this.taker);
  }

  ready(): void {
    this.openNow();
  }

  ends(message: string): void {
    if (this.reason !== undefined) return;
    this.reason = message;
    // What the program wrote last is in nobody's version.
    if (this.taker !== undefined && this.machine !== undefined) this.machine.live.written = true;
    this.openNow();
    this.taker?.machineEnds(message);
  }

  close(): void {
    this.ends("The mount has ended");
    this.overNow();
  }

  // What a run asks for.

  /** Once the mount is ready and no other run is in it. */
  async lend(taker: SeatTaker): Promise<LentMachine> {
    for (;;) {
      await this.opened;
      if (this.reason !== undefined || this.machine === undefined) throw new MountGone(this.reason ?? "The mount has no machine");
      if (this.taker === undefined) break;
      await Promise.race([this.left, this.over]);
    }
    const isFresh = !this.wasUsed && this.machine.hello === undefined;
    this.wasUsed = true;
    this.occupy(taker);
    this.machine.live.written = true;
    return { ...this.machine, isFresh };
  }

  /** Of a run that an earlier process of this worker had put in: it gets the machine as soon as that is taken over. */
  expect(taker: SeatTaker): void {
    this.occupy(taker);
  }

  leave(taker: SeatTaker): void {
    if (this.taker !== taker) return;
    this.taker = undefined;
    this.leaveNow();
    this.mount.left();
  }

  /** The tree as it is now, while the machine goes on; `commit` says it, and rejects when it was not taken. */
  async capture(versionId: string, commit: (stored: StoredDisk) => Promise<void>): Promise<void> {
    if (this.machine === undefined || this.reason !== undefined) throw new MountGone(this.reason ?? "The mount has no machine");
    await this.machine.live.captureAs(versionId, commit);
  }

  /** The machine goes, with all that runs in it. Resolves when the mount has said what became of the tree. */
  async end(): Promise<void> {
    this.mount.end();
    await this.over;
  }

  /** The control plane has the machine's cut: mount and run are over, and what is left of the machine is the run's to put away before it leaves. */
  parked(): void {
    this.reason ??= "The workspace was parked with its run";
    this.mount.parked();
  }

  private occupy(taker: SeatTaker): void {
    this.taker = taker;
    this.left = new Promise((resolve) => {
      this.leaveNow = resolve;
    });
    if (this.reason !== undefined) taker.machineEnds(this.reason);
  }

  private takeIn(machine: LentMachine, taker: SeatTaker): void {
    machine.live.written = true;
    taker.taken({ ...machine, isFresh: false });
  }
}
