/**
 * One step of an image in a machine of its own: the disk of the image is the guest's root, written to in a layer over what the step before left. The
 * machine is stopped before the disk is looked at; whatever happens nothing of it is left.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm, stat } from "node:fs/promises";
import {
  type AttachRequest,
  firstDynamicStream,
  guestStreams,
  type ImageStepRequest,
  imageStepResult,
  type ImageStepResult,
} from "@helmr/protocol/guest";
import type { NetworkPolicy } from "@helmr/protocol/worker";
import type { HeldLease } from "../../control/held-lease.ts";
import type { LayeredDisk } from "../../disks/layered-disk.ts";
import { serveMachine } from "../../guest/guest-machine.ts";
import { Cleanup } from "../../host/cleanup.ts";
import type { HeldTemplate } from "../../templates/template-store.ts";
import type { MachineDisk, MachineDiskSlot } from "../../vm/driver.ts";
import type { WorkerHost } from "../../worker-host.ts";
import type { ImageConfig } from "../registry/manifests.ts";
import type { HeldCache } from "./cache-disks.ts";

export interface StepMachine {
  host: WorkerHost;
  held: HeldLease;
  /** Private to this step; made and removed here. */
  directory: string;
  template: HeldTemplate;
  network: NetworkPolicy;
  config: ImageConfig;
  image: LayeredDisk;
  /** File of the image that is copied from. */
  copyFrom?: string | undefined;
  caches: readonly { mountPath: string; disk: HeldCache }[];
  step: ImageStepRequest["step"];
  /** What a copy sends. */
  input?: (() => AsyncIterable<Buffer>) | undefined;
  timeoutMs: number;
  signal: AbortSignal;
  log: { begin(acknowledge: (offset: number) => void): void; data(bytes: Uint8Array): void; end(): void };
}

export class StepInterrupted extends Error {
  override name = "StepInterrupted";
}

const extraSlots = ["extra0", "extra1", "extra2", "extra3"] as const satisfies readonly MachineDiskSlot[];

export async function runStep(request: StepMachine): Promise<ImageStepResult> {
  const cleanup = new Cleanup();
  const { host, directory, signal } = request;
  try {
    await mkdir(directory, { mode: 0o711 });
    await cleanup.add("step directory", () => rm(directory, { recursive: true, force: true }));
    const bound = AbortSignal.any([signal, AbortSignal.timeout(host.limits.startMachineMs)]);
    const machine = await host.driver.start(
      {
        id: request.held.id,
        directory,
        template: request.template.template,
        disks: await disksOf(request),
        limits: { milliCpu: request.held.lease.needs.milli_cpu },
        snapshotable: false,
      },
      bound,
    );
    const plan = {
      held: request.held,
      directory,
      image: imageOf(request.config),
      network: request.network,
      hostname: "build",
      workspacePath: "/",
    };
    const { link } = await serveMachine(host, plan, { machine, cleanup });
    const abandon = () => link.abandon();
    void machine.exited.then(abandon);
    signal.addEventListener("abort", abandon, { once: true });
    await cleanup.add("abort listener", () => signal.removeEventListener("abort", abandon));
    request.log.begin((offset) => link.acknowledge(guestStreams.buildLog, offset));
    link.receiveStream(guestStreams.buildLog, { data: (data) => request.log.data(data), end: () => request.log.end() });
    await link.request(attachRequest(request), host.limits.attachMs);
    request.held.onExtended(() => link.notify({ type: "lease.extend", leaseMs: request.held.leftMs() }));
    const answer = link.request({ type: "image.step", step: request.step, timeoutMs: request.timeoutMs }, request.timeoutMs + finishMs);
    // A guest that has seen enough stops the stream, and its answer says why.
    if (request.input !== undefined) link.sendStream(firstDynamicStream, request.input()).catch(() => {});
    const parsed = imageStepResult.safeParse(await answer);
    if (!parsed.success) throw new StepInterrupted(`The build guest answered something else: ${parsed.error.message.slice(0, 1000)}`);
    return parsed.data;
  } finally {
    request.log.end();
    await cleanup.run();
  }
}

/** Behind the step's own time: everything is written back, trimmed and frozen. */
const finishMs = 120_000;

async function disksOf(request: StepMachine): Promise<Partial<Record<MachineDiskSlot, MachineDisk>>> {
  const disks: Partial<Record<MachineDiskSlot, MachineDisk>> = { workspace: request.image.machineDisk };
  if (request.copyFrom !== undefined) {
    const { size } = await stat(request.copyFrom);
    disks.task = { path: request.copyFrom, format: "raw", readOnly: true, sizeBytes: size };
  }
  for (const [index, { disk }] of request.caches.entries()) {
    const slot = extraSlots[index];
    if (slot !== undefined) disks[slot] = { path: disk.path, format: "raw", readOnly: false, sizeBytes: disk.sizeBytes };
  }
  return disks;
}

function imageOf(config: ImageConfig) {
  return { ref: "build", artifact: null, config };
}

function attachRequest(request: StepMachine): Omit<AttachRequest, "id"> {
  const { host, held, config } = request;
  return {
    type: "attach",
    resumed: false,
    clock: { unixUs: Math.round((performance.timeOrigin + performance.now()) * 1000), entropy: randomBytes(64).toString("base64") },
    hostname: "build",
    leaseMs: held.leftMs(),
    disks: {
      scratch: "memory",
      workspace: { path: "/" },
      task: request.copyFrom !== undefined,
      caches: request.caches.map(({ mountPath }) => mountPath),
    },
    image: config,
    environment: host.guest.environment,
    ...(host.guest.extraCa === undefined ? {} : { extraCa: host.guest.extraCa }),
    network: { enabled: request.network.internet },
  };
}
