/**
 * What this host has and what leases have taken of it. The control plane places by these numbers; the ledger is the worker's own check that
 * they add up. Taking is never refused: a lease that was granted is granted, and the next claim shows less than nothing as nothing.
 */
import type { Capacity } from "@helmr/protocol/worker";
import { assert } from "../assert.ts";

export interface Needs {
  milli_cpu: number;
  memory_mib: number;
  disk_mib: number;
}

const none: Capacity = { milli_cpu: 0, memory_mib: 0, disk_mib: 0, slots: 0 };

export class CapacityLedger {
  readonly total: Capacity;
  /** Added to the memory of every machine: the monitor itself. */
  private readonly machineOverheadMib: number;
  private readonly taken = new Map<string, Capacity>();
  /** Leases whose machines stand still: only their memory and disk count. */
  private readonly still = new Set<string>();
  private waiters: (() => void)[] = [];

  constructor(total: Capacity, machineOverheadMib: number) {
    this.total = total;
    this.machineOverheadMib = machineOverheadMib;
  }

  get leases(): number {
    return this.taken.size;
  }

  take(leaseId: string, needs: Needs): void {
    assert(!this.taken.has(leaseId), `Lease ${leaseId} has taken its capacity already`);
    this.taken.set(leaseId, { ...needs, memory_mib: needs.memory_mib + this.machineOverheadMib, slots: 1 });
  }

  /** Its machine was cut and its bytes are on their way: slot and processors are free meanwhile. */
  standStill(leaseId: string, state: "still" | "moving"): void {
    if (state === "moving") this.still.delete(leaseId);
    else {
      this.still.add(leaseId);
      this.wake();
    }
  }

  release(leaseId: string): void {
    this.still.delete(leaseId);
    if (this.taken.delete(leaseId)) this.wake();
  }

  private wake(): void {
    const waiters = this.waiters;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  free(): Capacity {
    const used = { ...none };
    for (const [leaseId, one] of this.taken) {
      used.memory_mib += one.memory_mib;
      used.disk_mib += one.disk_mib;
      if (this.still.has(leaseId)) continue;
      used.milli_cpu += one.milli_cpu;
      used.slots += one.slots;
    }
    const left = (key: keyof Capacity) => Math.max(0, this.total[key] - used[key]);
    // The overhead is taken off here, so that what the control plane sees as free fits with it.
    const memory = Math.max(0, left("memory_mib") - this.machineOverheadMib);
    return { milli_cpu: left("milli_cpu"), memory_mib: memory, disk_mib: left("disk_mib"), slots: left("slots") };
  }

  /** Resolves when something was released, or the signal is aborted. */
  released(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = () => {
        signal.removeEventListener("abort", finish);
        this.waiters = this.waiters.filter((one) => one !== finish);
        resolve();
      };
      signal.addEventListener("abort", finish, { once: true });
      this.waiters.push(finish);
    });
  }
}
