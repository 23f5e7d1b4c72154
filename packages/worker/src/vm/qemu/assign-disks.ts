/**
 * Puts files behind the disk slots of a clone that stands still. The files are opened by the worker and travel as descriptors, so their
 * modes and the directories they are in do not matter to the monitor's user.
 */
import { type DiskSlot, type MachineDisk, type MachineDiskSlot, VmError } from "../driver.ts";
import { diskNode, diskNodeName, placeholderBytes, readOnlySlot, slotNode } from "./command-line.ts";
import { DescriptorTable, firstDescriptor, type Monitor } from "./launch.ts";
import { backingFile } from "./overlay-backing.ts";

/** Sets that came with the command line have the numbers of their descriptors, which are small. */
const firstSet = 100;

interface Assignment {
  slot: DiskSlot;
  disk: MachineDisk;
  set: number;
  backingSet?: number;
}

export type MachineDisks = Partial<Record<MachineDiskSlot, MachineDisk>>;

export async function assignDisks(monitor: Monitor, { disks, signal }: { disks: MachineDisks; signal: AbortSignal }): Promise<void> {
  const files = new DescriptorTable();
  try {
    const assignments: Assignment[] = [];
    for (const [slot, disk] of Object.entries(disks)) assignments.push(await openDisk(slot as MachineDiskSlot, disk, files));
    if (assignments.length === 0) return;
    await monitor.files.pass(
      files,
      files.numbers().map((_, index) => firstSet + firstDescriptor + index),
      signal,
    );
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
  const name = diskNodeName(slot);
  const steps = [
    qmp.execute("blockdev-add", diskNode(name, { set, readOnly: disk.readOnly, ...(backingSet === undefined ? {} : { backingSet }) })),
    qmp.execute("blockdev-reopen", { options: [slotNode(slot, name)] }),
  ];
  // A read-only disk cannot be resized; what reads it believes its file system, not the device.
  if (!disk.readOnly && disk.sizeBytes !== placeholderBytes)
    steps.push(qmp.execute("block_resize", { "node-name": slot, size: disk.sizeBytes }));
  return steps;
}
