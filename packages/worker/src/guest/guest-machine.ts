/**
 * One machine with its supervisor: template and disks are put together, the machine is started, and the guest is attached (clock, entropy,
 * identity, lease, disks). Used by runs and builds. Everything it acquires is in the cleanup it is given, undone last in first out.
 */
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import type { AttachRequest } from "@helmr/protocol/guest";
import type { ImageRef, Lease } from "@helmr/protocol/worker";
import type { HeldLease } from "../control/held-lease.ts";
import type { LayeredDisk } from "../disks/layered-disk.ts";
import type { Cleanup } from "../host/cleanup.ts";
import { CleanupFailed } from "../host/cleanup.ts";
import type { HeldTemplate } from "../templates/template-store.ts";
import { type Machine, type MachineDisk, type MachineShape, type MachineSpec, VmError } from "../vm/driver.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";
import { GuestLink } from "./guest-link.ts";

export interface MachinePlan {
  held: HeldLease;
  directory: string;
  image: ImageRef;
  network: Lease["network"];
  hostname: string;
  /** Where the writable disk is mounted in the task's root. */
  workspacePath: string;
}

export interface MachineDisks {
  scratch: LayeredDisk;
  workspace: LayeredDisk;
  /** Read-only task tree. */
  task: string | undefined;
}

export interface GuestMachine {
  machine: Machine;
  link: GuestLink;
}

export function shapeOf(needs: Pick<Lease["needs"], "milli_cpu" | "memory_mib">): MachineShape {
  return { vcpus: Math.max(1, Math.ceil(needs.milli_cpu / 1000)), memoryMib: needs.memory_mib };
}

/** The template of the lease's image and shape. */
export async function acquireTemplate(
  host: WorkerHost,
  lease: Lease,
  parts: { access: Access; cleanup: Cleanup; onWait: () => void },
): Promise<HeldTemplate> {
  const { image } = lease;
  let path = host.builtInImage;
  if (image.artifact !== null) {
    const base = await host.bases.acquire(image.artifact, parts.access);
    await parts.cleanup.add("base of the image", () => base.release());
    path = base.path;
  }
  const wait = { signal: parts.access.signal, onWait: parts.onWait };
  const held = await host.templates.acquire({ ref: image.ref, path }, shapeOf(lease.needs), wait);
  await parts.cleanup.add("template", () => held.release());
  return held;
}

/** A template that does not restore is discarded; the next start builds it again. */
export async function startMachine(
  host: WorkerHost,
  plan: MachinePlan,
  parts: { template: HeldTemplate; disks: MachineDisks; cleanup: Cleanup; signal: AbortSignal },
): Promise<GuestMachine> {
  const { template, disks, cleanup, signal } = parts;
  const spec: MachineSpec = {
    id: plan.held.id,
    directory: plan.directory,
    template: template.template,
    disks: {
      scratch: disks.scratch.machineDisk,
      workspace: disks.workspace.machineDisk,
      ...(disks.task === undefined ? {} : { task: await readOnlyDisk(disks.task) }),
    },
    limits: { milliCpu: plan.held.lease.needs.milli_cpu },
    // A run may park, and spares serve runs and builds alike.
    snapshotable: true,
  };
  let machine: Machine;
  try {
    machine = await host.driver.start(spec, AbortSignal.any([signal, AbortSignal.timeout(host.limits.startMachineMs)]));
  } catch (error) {
    if (error instanceof VmError && error.code === "restore_failed") {
      host.spares.forget(template.template.key);
      await template.discard();
    }
    throw error;
  }
  return serveMachine(host, plan, { machine, cleanup });
}

/** From here on the machine has a network and somebody to talk to, and is stopped with the cleanup. */
export async function serveMachine(
  host: WorkerHost,
  plan: MachinePlan,
  parts: { machine: Machine; cleanup: Cleanup },
): Promise<GuestMachine> {
  const { machine, cleanup } = parts;
  await cleanup.add("machine", () => machine.stop());
  const network = host.network.attach(machine.network, plan.network, { leaseId: plan.held.id });
  await cleanup.add("network", () => network.close());
  return { machine, link: new GuestLink(machine.control) };
}

/** Without disks: the machine was restored and has them. */
export async function attachGuest(
  host: WorkerHost,
  plan: MachinePlan,
  parts: { link: GuestLink; disks: MachineDisks | undefined },
): Promise<void> {
  const { held, image } = plan;
  const { disks } = parts;
  const request: Omit<AttachRequest, "id"> = {
    type: "attach",
    resumed: disks === undefined,
    clock: { unixUs: Math.round((performance.timeOrigin + performance.now()) * 1000), entropy: randomBytes(64).toString("base64") },
    hostname: plan.hostname,
    leaseMs: held.leftMs(),
    ...(disks === undefined
      ? {}
      : { disks: { scratch: "disk" as const, workspace: { path: plan.workspacePath }, task: disks.task !== undefined } }),
    image: image.config,
    environment: host.guest.environment,
    ...(host.guest.extraCa === undefined ? {} : { extraCa: host.guest.extraCa }),
    network: { enabled: plan.network.internet },
  };
  await parts.link.request(request, host.limits.attachMs);
  held.onExtended(() => parts.link.notify({ type: "lease.extend", leaseMs: held.leftMs() }));
}

export async function readOnlyDisk(path: string): Promise<MachineDisk> {
  return { path, format: "raw", readOnly: true, sizeBytes: (await stat(path)).size };
}

/** Undoing failed: what is left is reported, not thrown at somebody who waits for something else. */
export async function cleanUp(host: WorkerHost, cleanup: Cleanup, what: string): Promise<void> {
  try {
    await cleanup.run();
  } catch (error) {
    if (!(error instanceof CleanupFailed)) throw error;
    host.telemetry("background.failed", { what, message: error.message });
  }
}
