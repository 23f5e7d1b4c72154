/**
 * A clone: a monitor that has loaded a snapshot, of a template or of another machine, and stands still with nothing behind its disk slots.
 * It becomes a machine when it is given its disks (assign-disks.ts) and is let go.
 *
 *   private    memory is mapped copy-on-write from the snapshot's file, which nobody may write to: nothing to copy, cannot be snapshotted
 *   own        memory is a sparse copy in the clone's directory, mapped shared: 50 ms more, a later snapshot is the file itself
 *
 * Its directory holds everything that it is: sockets, own memory, the monitor's log. It is made here and removed with the clone.
 */
import { execFile } from "node:child_process";
import { chmod, chown, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Accelerator, type Compatibility, type Snapshot, type Template, VmError } from "../driver.ts";
import { Undo } from "../undo.ts";
import { monitorArguments } from "./command-line.ts";
import { DescriptorTable, type LaunchHost, launchMonitor, type Monitor } from "./launch.ts";
import type { MonitorUser } from "./machine-directory.ts";
import { loadDeviceState, prepareMigration } from "./snapshot.ts";
import { templateFiles } from "./template.ts";

const run = promisify(execFile);
const copyMs = 60_000;
export const ownMemoryName = "memory";

export interface CloneContext {
  host: LaunchHost;
  accelerator: Accelerator;
  compatibility: (template: Template) => Compatibility;
}

export interface CloneRequest {
  /** Names the control group. */
  id: string;
  /** Made here. */
  directory: string;
  template: Template;
  source: Pick<Snapshot, "memory" | "device">;
  snapshotable: boolean;
  milliCpu: number;
  signal: AbortSignal;
}

export interface Clone {
  id: string;
  template: Template;
  snapshotable: boolean;
  user: MonitorUser | null;
  monitor: Monitor;
  undo: Undo;
}

export async function makeClone(context: CloneContext, request: CloneRequest): Promise<Clone> {
  const { id, directory, template, snapshotable, signal } = request;
  const { isolation } = context.host;
  const undo = new Undo();
  const files = new DescriptorTable();
  let monitor: Monitor | undefined;
  try {
    const user = isolation.acquireUser();
    if (user) undo.add(() => isolation.releaseUser(user));
    await mkdir(directory);
    // A spare's has moved by then.
    undo.add(() => rm(monitor?.directory.path ?? directory, { recursive: true, force: true }));
    const memory = snapshotable ? await copyMemory(request, user) : request.source.memory;
    const plan = await describeClone(context, { request, files, memory });
    const { shape } = template.spec;
    const privateMemory = snapshotable ? undefined : plan.memory;
    const { args } = plan;
    const { milliCpu } = request;
    monitor = await launchMonitor(context.host, { id, directory, shape, milliCpu, user, files, args, privateMemory, undo, signal });
    await prepareMigration(monitor.qmp);
    await loadDeviceState(monitor.qmp, plan.device, signal);
    signal.throwIfAborted();
    return { id, template, snapshotable, user, monitor, undo };
  } catch (error) {
    await undo.run();
    throw asVmError(error, "restore_failed", `Clone ${id} could not be made`);
  } finally {
    await files.close();
  }
}

/** Errors of ours stay; anything else on the way is a failure of what was tried. */
export function asVmError(error: unknown, code: VmError["code"], what: string): VmError {
  if (error instanceof VmError) return error;
  return new VmError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

async function copyMemory({ directory, source }: CloneRequest, user: MonitorUser | null): Promise<string> {
  const target = join(directory, ownMemoryName);
  await run("cp", ["--sparse=auto", "--reflink=auto", "--", source.memory, target], { timeout: copyMs });
  if (user) await chown(target, user.uid, user.gid);
  await chmod(target, 0o600);
  return target;
}

interface ClonePlan {
  args: string[];
  memory: number;
  device: number;
}

interface CloneParts {
  request: CloneRequest;
  files: DescriptorTable;
  memory: string;
}

async function describeClone(context: CloneContext, { request, files, memory: path }: CloneParts): Promise<ClonePlan> {
  const { template, source, snapshotable } = request;
  const memory = await files.add(path, snapshotable ? "write" : "read");
  const device = await files.add(source.device, "read");
  const kernel = await files.add(join(template.directory, templateFiles.kernel), "read");
  const args = monitorArguments({
    accelerator: context.accelerator,
    shape: template.spec.shape,
    memory: { descriptor: memory, share: snapshotable },
    kernel: { descriptor: kernel },
    substrate: await files.add(template.spec.substrate, "read"),
    image: await files.add(template.spec.image, "read"),
    clone: true,
  });
  return { args, memory, device };
}
