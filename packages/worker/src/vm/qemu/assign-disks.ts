/**
 * Puts files behind the disk slots of a clone that stands still. The files are opened by the worker and travel as descriptors, so their
 * modes and the directories they are in do not matter to the monitor's user.
 */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { type DiskSlot, type MachineDisk, type MachineDiskSlot, VmError } from "../driver.ts";
import { diskNode, placeholderBytes, readOnlySlot, slotNode } from "./command-line.ts";
import { DescriptorTable, type Monitor } from "./launch.ts";
import { backingFile } from "./overlay-backing.ts";

/** Sets that came with the command line have the numbers of their descriptors, which are small. */
const firstSet = 100;
const passMs = 10_000;

interface Assignment {
  slot: DiskSlot;
  disk: MachineDisk;
  set: number;
  backingSet?: number;
}

export type MachineDisks = Partial<Record<MachineDiskSlot, MachineDisk>>;

export async function assignDisks(
  tool: string,
  monitor: Monitor,
  { disks, signal }: { disks: MachineDisks; signal: AbortSignal },
): Promise<void> {
  const files = new DescriptorTable();
  try {
    const assignments: Assignment[] = [];
    for (const [slot, disk] of Object.entries(disks)) assignments.push(await openDisk(slot as MachineDiskSlot, disk, files));
    if (assignments.length === 0) return;
    await passDescriptors(tool, await monitor.files.accept(signal), files);
    // Commands are carried out in order; their answers need not be waited for one by one.
    await Promise.all(assignments.flatMap((assignment) => exchange(monitor, assignment)));
  } finally {
    await files.close();
  }
}

async function openDisk(slot: MachineDiskSlot, disk: MachineDisk, files: DescriptorTable): Promise<Assignment> {
  const required = slot === readOnlySlot;
  if (required && !disk.readOnly) throw new VmError("disk_missing", `The disk of slot ${slot} must be read-only`);
  if (!required && disk.readOnly)
    throw new VmError("disk_missing", `The disk of slot ${slot} must be writable; read-only disks go into slot ${readOnlySlot}`);
  const set = firstSet + (await files.add(disk.path, disk.readOnly ? "read" : "write"));
  if (disk.format === "raw") return { slot, disk, set };
  return { slot, disk, set, backingSet: firstSet + (await files.add(disk.backing ?? (await backingFile(disk.path)), "read")) };
}

function exchange({ qmp }: Monitor, { slot, disk, set, backingSet }: Assignment): Promise<unknown>[] {
  const name = `${slot}-disk`;
  const steps = [
    qmp.execute("blockdev-add", diskNode(name, { set, readOnly: disk.readOnly, ...(backingSet === undefined ? {} : { backingSet }) })),
    qmp.execute("blockdev-reopen", { options: [slotNode(slot, name)] }),
  ];
  // A read-only disk cannot be resized; what reads it believes its file system, not the device.
  if (!disk.readOnly && disk.sizeBytes !== placeholderBytes)
    steps.push(qmp.execute("block_resize", { "node-name": slot, size: disk.sizeBytes }));
  return steps;
}

/** A program of ours does it (host-tools/pass-descriptors.c): Node cannot send descriptors. */
function passDescriptors(tool: string, connection: Socket, files: DescriptorTable): Promise<void> {
  const sets = files.numbers().map((_, index) => String(firstSet + 3 + index));
  const child = spawn(tool, sets, {
    stdio: ["ignore", "ignore", "pipe", connection, ...files.numbers()],
    timeout: passMs,
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(0, 500);
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new VmError("restore_failed", `Cannot start ${tool}: ${cause.message}`, { cause })));
    child.once("close", (code, signal) => {
      // Kept open, because the monitor would connect again every second; what it says here is of no interest.
      connection.on("error", () => connection.destroy());
      connection.resume();
      connection.unref();
      if (code === 0) resolve();
      else reject(new VmError("restore_failed", `The monitor did not take its disks (${signal ?? `code ${code}`}): ${said.trim()}`));
    });
  });
}
