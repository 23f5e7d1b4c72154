/**
 * A machine out of a snapshot: of a template (start) or of another machine (restore).
 *
 *   private    memory is mapped copy-on-write from the snapshot's file, which nobody may write to: nothing to copy, cannot be snapshotted
 *   own        memory is a sparse copy in the machine's directory, mapped shared: 50 ms more, a later snapshot is the file itself
 */
import { execFile } from "node:child_process";
import { chmod, chown, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type Accelerator,
  type Compatibility,
  type DiskSlot,
  diskSlots,
  type Machine,
  type MachineDisk,
  type MachineHandle,
  type MachineSpec,
  type Snapshot,
  type Template,
  VmError,
} from "../driver.ts";
import { vmLimits } from "../limits.ts";
import { orAborted, within } from "../limited-time.ts";
import { Undo } from "../undo.ts";
import { monitorArguments, placeholderBytes, type SlotBacking } from "./command-line.ts";
import { DescriptorTable, type LaunchHost, launchMonitor, type Monitor } from "./launch.ts";
import { QemuMachine } from "./machine.ts";
import type { MonitorUser } from "./machine-directory.ts";
import { backingFile } from "./overlay-backing.ts";
import { loadDeviceState, prepareMigration } from "./snapshot.ts";
import { requireUntouched, templateFiles } from "./template.ts";

const run = promisify(execFile);
const copyMs = 60_000;
const ownMemoryName = "memory";
export const handleName = "machine.json";

export interface CloneContext {
  host: LaunchHost;
  accelerator: Accelerator;
  compatibility: (template: Template) => Compatibility;
}

export interface CloneRequest {
  spec: MachineSpec;
  source: Pick<Snapshot, "memory" | "device">;
  signal: AbortSignal;
  fromTemplate: boolean;
}

/** What `adopt` needs to know beside the process. */
export interface HandleDetails {
  compatibility: Compatibility;
  user: MonitorUser | null;
  memory: string | null;
}

export function cloneMachine(context: CloneContext, request: CloneRequest): Promise<Machine> {
  const { spec, signal } = request;
  return within({ ms: vmLimits.restoreMs, code: "restore_failed", what: `Starting machine ${spec.id}`, signal }, (bound) =>
    startClone(context, { ...request, signal: bound }),
  );
}

async function startClone(context: CloneContext, request: CloneRequest): Promise<Machine> {
  const { spec, source, signal } = request;
  const { isolation } = context.host;
  const undo = new Undo();
  const files = new DescriptorTable();
  try {
    if (request.fromTemplate) await requireUntouched(spec.template);
    const user = isolation.acquireUser();
    if (user) undo.add(() => isolation.releaseUser(user));
    const memory = spec.snapshotable ? await ownMemory(spec, { source: source.memory, user, undo }) : source.memory;
    const plan = await describeClone(context, { spec, files, memory, device: source.device });
    const monitor = await launchMonitor(context.host, {
      id: spec.id,
      directory: spec.directory,
      shape: spec.template.spec.shape,
      milliCpu: spec.limits.milliCpu,
      user,
      files,
      args: plan.args,
      privateMemory: spec.snapshotable ? undefined : plan.memory,
      undo,
      signal,
    });
    await wakeUp(monitor, { spec, device: plan.device, signal });
    const machine = await describeMachine(context, { monitor, spec, user, undo, memory: spec.snapshotable ? memory : undefined });
    // Given up while the last step was under way: nobody will take it.
    signal.throwIfAborted();
    return machine;
  } catch (error) {
    await undo.run();
    throw asVmError(error, "restore_failed", `Machine ${spec.id} could not be started`);
  } finally {
    await files.close();
  }
}

/** Errors of ours stay; anything else on the way is a failure of what was tried. */
export function asVmError(error: unknown, code: VmError["code"], what: string): VmError {
  if (error instanceof VmError) return error;
  return new VmError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

interface MemoryRequest {
  source: string;
  user: MonitorUser | null;
  undo: Undo;
}

async function ownMemory(spec: MachineSpec, { source, user, undo }: MemoryRequest): Promise<string> {
  const target = join(spec.directory, ownMemoryName);
  // A snapshot of the machine has a link of its own to the file.
  undo.add(() => rm(target, { force: true }));
  await run("cp", ["--sparse=auto", "--reflink=auto", "--", source, target], { timeout: copyMs });
  if (user) await chown(target, user.uid, user.gid);
  await chmod(target, 0o600);
  return target;
}

interface ClonePlan {
  args: string[];
  memory: number;
  device: number;
}

async function describeClone(
  context: CloneContext,
  parts: { spec: MachineSpec; files: DescriptorTable; memory: string; device: string },
): Promise<ClonePlan> {
  const { spec, files } = parts;
  const { template } = spec;
  const memory = await files.add(parts.memory, spec.snapshotable ? "write" : "read");
  const device = await files.add(parts.device, "read");
  const kernel = await files.add(join(template.directory, templateFiles.kernel), "read");
  const slots = await backSlots(spec, files);
  const args = monitorArguments({
    accelerator: context.accelerator,
    shape: template.spec.shape,
    memory: { descriptor: memory, share: spec.snapshotable },
    kernel: { descriptor: kernel },
    slots,
    incoming: true,
  });
  return { args, memory, device };
}

async function backSlots(spec: MachineSpec, files: DescriptorTable): Promise<Record<DiskSlot, SlotBacking>> {
  const { substrate, image } = spec.template.spec;
  const slots: Partial<Record<DiskSlot, SlotBacking>> = {};
  for (const slot of diskSlots) {
    if (slot === "substrate" || slot === "image") {
      slots[slot] = { kind: "raw", descriptor: await files.add(slot === "substrate" ? substrate : image, "read"), readOnly: true };
      continue;
    }
    const disk = spec.disks[slot];
    slots[slot] = disk ? await backSlot(disk, files) : { kind: "placeholder" };
  }
  return slots as Record<DiskSlot, SlotBacking>;
}

async function backSlot(disk: MachineDisk, files: DescriptorTable): Promise<SlotBacking> {
  const descriptor = await files.add(disk.path, disk.readOnly ? "read" : "write");
  if (disk.format === "raw") return { kind: "raw", descriptor, readOnly: disk.readOnly };
  const backing = await files.add(disk.backing ?? (await backingFile(disk.path)), "read");
  return { kind: "overlay", descriptor, readOnly: disk.readOnly, backing };
}

/** Devices first, then the real sizes of the disks, then the processors. */
async function wakeUp(
  monitor: Monitor,
  { spec, device, signal }: { spec: MachineSpec; device: number; signal: AbortSignal },
): Promise<void> {
  const { qmp } = monitor;
  await prepareMigration(qmp);
  await loadDeviceState(qmp, device, signal);
  for (const [slot, disk] of Object.entries(spec.disks)) {
    // A read-only disk cannot be resized; what reads it believes its file system, not the device.
    if (!disk.readOnly && disk.sizeBytes !== placeholderBytes)
      await qmp.execute("block_resize", { "node-name": slot, size: disk.sizeBytes });
  }
  await orAborted(Promise.resolve(spec.prepared), signal);
  await qmp.execute("cont");
}

interface MachineRequest {
  monitor: Monitor;
  spec: MachineSpec;
  user: MonitorUser | null;
  memory: string | undefined;
  undo: Undo;
}

async function describeMachine(context: CloneContext, { monitor, spec, user, memory, undo }: MachineRequest): Promise<Machine> {
  const compatibility = context.compatibility(spec.template);
  const details: HandleDetails = { compatibility, user, memory: memory ?? null };
  const { pid, startTime } = monitor.process;
  const handle: MachineHandle = {
    driver: "qemu",
    id: spec.id,
    directory: spec.directory,
    pid,
    pidStartTime: startTime,
    details: { ...details },
  };
  await writeFile(join(spec.directory, handleName), JSON.stringify(handle), { mode: 0o600 });
  return new QemuMachine({
    id: spec.id,
    compatibility,
    handle,
    control: monitor.control,
    network: monitor.network,
    process: monitor.process,
    qmp: monitor.qmp,
    directory: monitor.directory,
    memory,
    undo,
  });
}
