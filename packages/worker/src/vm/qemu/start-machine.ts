/** Makes a machine of a clone, a fresh one or a spare: its disks, its limits, its name; then it runs. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Compatibility, Machine, MachineHandle, MachineSpec, Snapshot } from "../driver.ts";
import { orAborted, within } from "../limited-time.ts";
import { vmLimits } from "../limits.ts";
import { assignDisks } from "./assign-disks.ts";
import { asVmError, type Clone, type CloneContext, makeClone, ownMemoryName } from "./clone.ts";
import { QemuMachine } from "./machine.ts";
import type { MonitorUser } from "./machine-directory.ts";
import type { Spares } from "./spares.ts";
import { requireUntouched, templateSource } from "./template.ts";

/** Below the machine's directory. */
export const monitorDirectory = "monitor";
export const handleName = "machine.json";

/** What `adopt` needs to know beside the process; the handle's directory is the monitor's. */
export interface HandleDetails {
  compatibility: Compatibility;
  user: MonitorUser | null;
  snapshotable: boolean;
  group: string;
}

export interface StartRequest {
  spec: MachineSpec;
  signal: AbortSignal;
  /** What to restore; the template itself when absent. */
  snapshot?: Pick<Snapshot, "memory" | "device">;
  spares?: Spares;
}

export function startMachine(context: CloneContext, request: StartRequest): Promise<Machine> {
  const { spec, signal } = request;
  return within({ ms: vmLimits.restoreMs, code: "restore_failed", what: `Starting machine ${spec.id}`, signal }, async (bound) => {
    const clone = await obtainClone(context, { ...request, signal: bound });
    try {
      return await letGo(context, clone, { spec, signal: bound });
    } catch (error) {
      await clone.undo.run();
      throw asVmError(error, "restore_failed", `Machine ${spec.id} could not be started`);
    }
  });
}

async function obtainClone(context: CloneContext, { spec, snapshot, spares, signal }: StartRequest): Promise<Clone> {
  const directory = join(spec.directory, monitorDirectory);
  if (snapshot === undefined) await requireUntouched(spec.template);
  const spare =
    snapshot === undefined ? await spares?.take({ template: spec.template, snapshotable: spec.snapshotable, directory }) : undefined;
  if (spare) return spare;
  const source = snapshot ?? templateSource(spec.template);
  return makeClone(context, {
    id: spec.id,
    directory,
    template: spec.template,
    source,
    snapshotable: spec.snapshotable,
    milliCpu: spec.limits.milliCpu,
    signal,
  });
}

async function letGo(context: CloneContext, clone: Clone, { spec, signal }: { spec: MachineSpec; signal: AbortSignal }): Promise<Machine> {
  const { monitor, user, undo } = clone;
  await orAborted(Promise.resolve(spec.prepared), signal);
  await Promise.all([assignDisks(monitor, { disks: spec.disks, signal }), context.host.cgroups.limit(clone.id, monitorGroupLimits(spec))]);
  const compatibility = context.compatibility(spec.template);
  const details: HandleDetails = { compatibility, user, snapshotable: spec.snapshotable, group: clone.id };
  const { pid, startTime } = monitor.process;
  const directory = monitor.directory.path;
  const handle: MachineHandle = { driver: "qemu", id: spec.id, directory, pid, pidStartTime: startTime, details: { ...details } };
  // Before it runs: a machine that runs can always be found again.
  await writeFile(join(directory, handleName), JSON.stringify(handle), { mode: 0o600 });
  signal.throwIfAborted();
  await monitor.qmp.execute("cont");
  const { process, qmp, control, network, files } = monitor;
  const memory = spec.snapshotable ? join(directory, ownMemoryName) : undefined;
  const machine = new QemuMachine({
    id: spec.id,
    compatibility,
    handle,
    control,
    network,
    process,
    qmp,
    directory: monitor.directory,
    files,
    memory,
    undo,
  });
  // Given up while the last step was under way: nobody will take it.
  signal.throwIfAborted();
  return machine;
}

export function monitorGroupLimits({ template, limits }: Pick<MachineSpec, "template" | "limits">) {
  const memoryBytes = (template.spec.shape.memoryMib + vmLimits.monitorMemoryMib) * 1024 * 1024;
  return { milliCpu: limits.milliCpu, memoryBytes, tasks: vmLimits.monitorTasks };
}
