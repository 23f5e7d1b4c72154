/**
 * The QEMU driver: microvm machines, with KVM where the probes prove it and emulation elsewhere.
 *
 * A template is made by booting once; after that every machine is a restore (clone.ts). The driver owns no list of machines: who starts one
 * stops it, and what a dead worker left is found in the file system (leftovers.ts).
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Accelerator,
  type Compatibility,
  type DriverFacts,
  type Leftover,
  type Machine,
  type MachineHandle,
  type MachineSpec,
  type Snapshot,
  type SpareWish,
  type Template,
  type TemplateSpec,
  type VmDriver,
} from "../driver.ts";
import { adoptMachine } from "./adopt.ts";
import type { CloneContext } from "./clone.ts";
import { Spares } from "./spares.ts";
import { startMachine } from "./start-machine.ts";
import { bootTemplate } from "./boot-template.ts";
import { chooseAccelerator } from "./probes.ts";
import { FileDigests } from "./file-digests.ts";
import { findHostFacts, type HostFacts, type MonitorTools } from "./host-facts.ts";
import { endLeftover, findLeftovers } from "./leftovers.ts";
import { readTemplate } from "./template.ts";

export interface QemuDriverOptions {
  /** For what the driver remembers: probe results, digests. Made when missing. */
  stateDirectory: string;
  /** What the probes boot: the guest's own kernel and initramfs. */
  probe: { kernel: string; initramfs: string };
  tools: MonitorTools;
  binary?: string;
  /** Where spare machines wait; on the file system of the machines' directories. */
  spareDirectory?: string;
  /** Name of the control group above the machines'; one per install. */
  cgroupName?: string;
  /** Leaves the probes out. */
  accelerator?: Accelerator;
}

/** Part of the template key: raised whenever the command line or the way of booting changes. */
const machineVersion = 5;

export class QemuDriver implements VmDriver {
  private readonly options: QemuDriverOptions;
  private readonly binary: string;
  private readonly digests: FileDigests;
  private readonly spares: Spares;
  private found: Promise<HostFacts> | undefined;

  constructor(options: QemuDriverOptions) {
    this.options = options;
    this.binary = options.binary ?? "qemu-system-x86_64";
    this.digests = new FileDigests(join(options.stateDirectory, "digests.json"));
    this.spares = new Spares(options.spareDirectory ?? join(options.stateDirectory, "spares"), () => this.context());
  }

  async facts(): Promise<DriverFacts> {
    const { driver, version, accelerator, explanation, cpuFamily } = await this.hostFacts();
    return { driver, version, accelerator, explanation, cpuFamily };
  }

  async templateKey(spec: TemplateSpec): Promise<string> {
    const { version, accelerator, cpuFamily } = await this.hostFacts();
    await mkdir(this.options.stateDirectory, { recursive: true });
    const ingredients = [];
    for (const path of [spec.kernel, spec.initramfs, spec.substrate, spec.image]) ingredients.push(await this.digests.digest(path));
    const parts = {
      machineVersion,
      version,
      accelerator,
      cpuFamily,
      ingredients,
      vcpus: spec.shape.vcpus,
      memoryMib: spec.shape.memoryMib,
    };
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  }

  async createTemplate(spec: TemplateSpec, directory: string, signal: AbortSignal): Promise<Template> {
    const [facts, key] = await Promise.all([this.hostFacts(), this.templateKey(spec)]);
    return bootTemplate({ context: await this.context(facts), spec, directory, key, tscKhz: facts.tscKhz, signal });
  }

  async start(spec: MachineSpec, signal: AbortSignal): Promise<Machine> {
    return startMachine(await this.context(), { spec, signal, spares: this.spares });
  }

  async restore(spec: MachineSpec, snapshot: Pick<Snapshot, "memory" | "device">, signal: AbortSignal): Promise<Machine> {
    return startMachine(await this.context(), { spec, signal, snapshot });
  }

  /** See spares.ts. Replaces earlier wishes. */
  async keepSpares(wishes: readonly SpareWish[]): Promise<void> {
    await this.spares.wish(wishes);
  }

  /** Pids of the spares that are ready. */
  listSpares(): number[] {
    return this.spares.list();
  }

  async close(): Promise<void> {
    await this.spares.close();
    const facts = await this.found?.catch(() => undefined);
    await facts?.cgroups.dissolve();
  }

  async adopt(handle: MachineHandle): Promise<Machine | "gone"> {
    return adoptMachine(await this.context(), handle);
  }

  readTemplate(directory: string): Promise<Template | undefined> {
    return readTemplate(directory);
  }

  findLeftovers(directory: string): Promise<Leftover[]> {
    return findLeftovers(directory);
  }

  async endLeftover(leftover: Leftover): Promise<void> {
    await endLeftover(leftover);
    const { cgroups } = await this.hostFacts();
    const group = leftover.handle?.details["group"];
    if (typeof group === "string") await cgroups.remove(group);
  }

  private hostFacts(): Promise<HostFacts> {
    this.found ??= this.findFacts().catch((error: unknown) => {
      // Asked again next time: a missing package may be there by then.
      this.found = undefined;
      throw error;
    });
    return this.found;
  }

  private async findFacts(): Promise<HostFacts> {
    const { stateDirectory, tools, cgroupName = "helmr", accelerator, probe } = this.options;
    await mkdir(stateDirectory, { recursive: true });
    return findHostFacts({
      binary: this.binary,
      tools,
      cgroupName,
      chooseAccelerator: async (version) => {
        if (accelerator) return { accelerator, explanation: `${accelerator} was asked for` };
        return chooseAccelerator({
          binary: this.binary,
          version,
          stateDirectory,
          ...probe,
          kernelDigest: await this.digests.digest(probe.kernel),
        });
      },
    });
  }

  private async context(known?: HostFacts): Promise<CloneContext> {
    const facts = known ?? (await this.hostFacts());
    const { isolation, cgroups, accelerator, driver, version, cpuFamily } = facts;
    const { privateMemory, passDescriptors } = this.options.tools;
    const host = { binary: this.binary, privateMemoryLibrary: privateMemory, passDescriptors, isolation, cgroups };
    const compatibility = ({ key, spec }: Template): Compatibility => ({
      driver,
      driverVersion: version,
      accelerator,
      cpuFamily,
      templateKey: key,
      shape: spec.shape,
    });
    return { host, accelerator, compatibility };
  }
}
