/**
 * Control groups (version 2) of the tenant's processes: one leaf per program, exec or build step below one parent. The tool makes a leaf
 * when it starts a process in it; here they are watched, frozen, killed and removed.
 */
import { readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { guestLimits } from "./limits.ts";

export interface GroupMemory {
  oomKills: number;
  peakBytes: number | undefined;
  currentBytes: number | undefined;
}

export interface ControlGroup {
  /** Kills every process in it, now. */
  kill(): void;
  /** Waits until no process is left; false when some outlived the limit. */
  emptied(): Promise<boolean>;
  memory(): GroupMemory;
  cpuUs(): number | undefined;
  remove(): void;
}

export interface ControlGroups {
  leaf(name: string): ControlGroup;
  /** All leaves together. */
  setFrozen(frozen: boolean): Promise<boolean>;
  total(): ControlGroup;
  /** What the tenant's processes may use together, if it is known. */
  memoryMax(): number | undefined;
}

export function controlGroups(parent: string): ControlGroups {
  return {
    leaf: (name) => controlGroup(`${parent}/${name}`),
    total: () => controlGroup(parent),
    memoryMax: () => readNumber(`${parent}/memory.max`),
    async setFrozen(frozen) {
      writeFileSync(`${parent}/cgroup.freeze`, frozen ? "1" : "0");
      return eventually(() => readField(`${parent}/cgroup.events`, "frozen") === (frozen ? 1 : 0), guestLimits.groupFreezeMs);
    },
  };
}

function controlGroup(path: string): ControlGroup {
  return {
    kill: () => ignoringMissing(() => writeFileSync(`${path}/cgroup.kill`, "1")),
    emptied: () => eventually(() => (readField(`${path}/cgroup.events`, "populated") ?? 0) === 0, guestLimits.groupEmptyMs),
    memory: () => ({
      oomKills: readField(`${path}/memory.events`, "oom_kill") ?? 0,
      peakBytes: readNumber(`${path}/memory.peak`),
      currentBytes: readNumber(`${path}/memory.current`),
    }),
    cpuUs: () => readField(`${path}/cpu.stat`, "usage_usec"),
    remove: () => ignoringMissing(() => rmdirSync(path)),
  };
}

/** Looks again with growing pauses: the kernel needs between microseconds and a few milliseconds. */
async function eventually(condition: () => boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    if (condition()) return true;
    if (performance.now() >= deadline) return false;
    await pause(pauseMs);
  }
}

function ignoringMissing(act: () => void): void {
  try {
    act();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENODEV: the group went away between open and write. EBUSY: a process is still leaving; the group stays, empty soon.
    if (code !== "ENOENT" && code !== "ENODEV" && code !== "EBUSY") throw error;
  }
}

function readField(path: string, field: string): number | undefined {
  for (const line of readLines(path)) {
    const [name, value] = line.split(" ");
    if (name === field) return Number(value);
  }
  return undefined;
}

function readNumber(path: string): number | undefined {
  const value = Number(readLines(path)[0]);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** A group that is gone, or a controller that is not there, has no numbers. */
function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").trim().split("\n");
  } catch {
    return [];
  }
}
