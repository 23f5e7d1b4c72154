/**
 * What an earlier worker left on this host: monitors that still run. Found by what cannot lie: a monitor's working directory is in its machine's
 * directory.
 */
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import type { Leftover, MachineHandle } from "../driver.ts";
import { handleName } from "./start-machine.ts";
import { findMonitor, type ProcessIdentity, readStartTime } from "./monitor-process.ts";
import { monitorLogName } from "./launch.ts";

/** Monitors whose directory is this one or lies below it, however deep. */
export async function findLeftovers(directory: string): Promise<Leftover[]> {
  const root = await realpath(directory).catch(() => undefined);
  if (root === undefined) return [];
  const found: Leftover[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const leftover = await examine(Number(name), root);
    if (leftover) found.push(leftover);
  }
  return found;
}

async function examine(pid: number, root: string): Promise<Leftover | undefined> {
  // A process that ends meanwhile, or that this user may not look at, is none of ours.
  const [cwd, executable] = await Promise.all([readlink(`/proc/${pid}/cwd`), readlink(`/proc/${pid}/exe`)]).catch(() => ["", ""]);
  const place = cwd?.replace(/ \(deleted\)$/, "") ?? "";
  const below = place === root || place.startsWith(root + sep);
  if (!below || !basename(executable ?? "").startsWith("qemu-system")) return undefined;
  const startTime = await readStartTime(pid);
  if (startTime === undefined) return undefined;
  return { pid, pidStartTime: startTime, directory: place, handle: await readHandle(place, { pid, startTime }) };
}

/** Only when it speaks of this very process. */
async function readHandle(directory: string, process: ProcessIdentity): Promise<MachineHandle | undefined> {
  try {
    const handle = JSON.parse(await readFile(join(directory, handleName), "utf8")) as MachineHandle;
    return handle.pid === process.pid && handle.pidStartTime === process.startTime ? handle : undefined;
  } catch {
    // Never written, or half written.
    return undefined;
  }
}

export async function endLeftover({ pid, pidStartTime, directory }: Leftover): Promise<void> {
  const monitor = await findMonitor({ pid, startTime: pidStartTime }, join(directory, monitorLogName));
  await monitor?.kill();
}
