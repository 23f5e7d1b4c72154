/** The VM port without machines: templates are a small file, a machine is a pair of streams with a FakeGuest behind it. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Duplex, duplexPair } from "node:stream";
import {
  type DiskCopy,
  type DriverFacts,
  type Leftover,
  type Machine,
  type MachineDiskSlot,
  type MachineExit,
  type MachineHandle,
  type MachineSpec,
  type Snapshot,
  type SpareWish,
  type Template,
  type TemplateSpec,
  VmError,
  type VmDriver,
} from "../vm/driver.ts";
import { FakeGuest, type GuestBehaviour } from "./fake-guest.ts";

export class FakeMachine implements Machine {
  readonly id: string;
  readonly spec: MachineSpec;
  readonly guest: FakeGuest;
  control: Duplex;
  network: Duplex;
  readonly exited: Promise<MachineExit>;
  readonly handle: MachineHandle;
  readonly compatibility: Machine["compatibility"];
  stops = 0;
  private leave: (exit: MachineExit) => void = () => {};

  /** `guest`: of the machine that this one is the restore of. */
  constructor(spec: MachineSpec, behaviour: GuestBehaviour, guest?: FakeGuest) {
    this.id = spec.id;
    this.spec = spec;
    const [control, inside] = duplexPair();
    this.control = control;
    this.guest = guest ?? new FakeGuest(inside, behaviour);
    guest?.moveTo(inside);
    [this.network] = duplexPair();
    this.exited = new Promise((resolve) => {
      this.leave = resolve;
    });
    const { template } = spec;
    this.handle = { driver: "fake", id: spec.id, directory: spec.directory, pid: 1, pidStartTime: 1, details: {} };
    this.compatibility = {
      driver: "fake",
      driverVersion: "1",
      accelerator: "tcg",
      cpuFamily: "none",
      templateKey: template.key,
      shape: template.spec.shape,
    };
  }

  /** As for a worker process that takes over: new streams, and the guest speaks first. */
  reconnect(): void {
    this.control.destroy();
    const [control, inside] = duplexPair();
    this.control = control;
    [this.network] = duplexPair();
    queueMicrotask(() => this.guest.reconnect(inside));
  }

  /** As when its process was killed by somebody. */
  die(exit: MachineExit): void {
    this.leave(exit);
    this.control.destroy();
    this.network.destroy();
  }

  resumes = 0;
  async pause(): Promise<void> {}
  async resume(): Promise<void> {
    this.resumes += 1;
  }
  async resizeDisk(): Promise<void> {}
  /** Its memory says which machine it was; everything else is in the guest's object. */
  async snapshot(directory: string, copyDisks: () => Promise<void>): Promise<Snapshot> {
    this.onSnapshot();
    const memory = join(directory, "memory");
    const device = join(directory, "device");
    await mkdir(directory, { recursive: true });
    await writeFile(memory, Buffer.alloc(8192, this.id));
    await writeFile(device, this.id);
    await copyDisks();
    return { directory, memory, device, pausedMs: 1 };
  }

  onSnapshot: () => void = () => {};

  readonly copies: DiskCopy["since"][] = [];
  /** Everything, whatever was asked for: more than is wanted is never wrong. */
  async copyDisk(slot: MachineDiskSlot, { target, at, since }: DiskCopy): Promise<void> {
    this.copies.push(since);
    const disk = this.spec.disks[slot];
    await at(() => copyFile(disk?.path ?? "", target));
  }

  async stop(): Promise<void> {
    this.stops += 1;
    this.die({ reason: "stopped" });
  }
}

export class FakeDriver implements VmDriver {
  readonly machines: FakeMachine[] = [];
  templatesMade = 0;
  leftovers: Leftover[] = [];
  wishes: readonly SpareWish[] = [];
  /** Of the next machines. */
  behaviour: GuestBehaviour = {};
  /** Throws to make a start fail. */
  onStart: (spec: MachineSpec) => void = () => {};
  /** At the beginning of each; throws to make it fail. */
  onSnapshot: (machine: FakeMachine) => void = () => {};
  /** Holds the making of a template back until it resolves. */
  templateGate: Promise<void> = Promise.resolve();

  get last(): FakeMachine {
    return this.machines.at(-1) as FakeMachine;
  }

  async facts(): Promise<DriverFacts> {
    return { driver: "fake", version: "1", accelerator: "tcg", explanation: "a fake of the tests", cpuFamily: "none" };
  }

  async templateKey(spec: TemplateSpec): Promise<string> {
    return `${Buffer.from(spec.image).toString("hex").slice(-16)}-${spec.shape.vcpus}-${spec.shape.memoryMib}`;
  }

  async createTemplate(spec: TemplateSpec, directory: string, signal: AbortSignal): Promise<Template> {
    await this.templateGate;
    signal.throwIfAborted();
    this.templatesMade += 1;
    await writeFile(join(directory, "memory"), Buffer.alloc(8192, 1));
    const template = { key: await this.templateKey(spec), directory, spec, createdAt: Date.now(), sizeBytes: 8192 };
    await writeFile(join(directory, "template.json"), JSON.stringify(template));
    return template;
  }

  async readTemplate(directory: string): Promise<Template | undefined> {
    const text = await readFile(join(directory, "template.json"), "utf8").catch(() => undefined);
    return text === undefined ? undefined : { ...(JSON.parse(text) as Template), directory };
  }

  async findLeftovers(directory: string): Promise<Leftover[]> {
    return this.leftovers.filter((one) => one.directory === directory || one.directory.startsWith(`${directory}/`));
  }

  async endLeftover(leftover: Leftover): Promise<void> {
    this.leftovers = this.leftovers.filter((one) => one !== leftover);
  }

  async start(spec: MachineSpec, signal: AbortSignal): Promise<Machine> {
    signal.throwIfAborted();
    this.onStart(spec);
    return this.add(new FakeMachine(spec, this.behaviour));
  }

  async restore(spec: MachineSpec, snapshot: Pick<Snapshot, "memory" | "device">): Promise<Machine> {
    const id = await readFile(snapshot.device, "utf8");
    const before = this.machines.find((one) => one.id === id);
    const memory = await readFile(snapshot.memory);
    if (before === undefined || !memory.equals(Buffer.alloc(8192, id)))
      throw new VmError("restore_failed", "The memory is of no machine that was cut");
    return this.add(new FakeMachine(spec, this.behaviour, before.guest));
  }

  private add(machine: FakeMachine): FakeMachine {
    machine.onSnapshot = () => this.onSnapshot(machine);
    this.machines.push(machine);
    return machine;
  }

  async keepSpares(wishes: readonly SpareWish[]): Promise<void> {
    this.wishes = wishes;
  }

  async close(): Promise<void> {}

  async adopt(handle: MachineHandle): Promise<Machine | "gone"> {
    const machine = this.machines.find((one) => one.id === handle.id && one.stops === 0);
    machine?.reconnect();
    return machine ?? "gone";
  }
}
