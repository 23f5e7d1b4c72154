/** The VM port without machines: templates are a small file, a machine is a pair of streams with a FakeGuest behind it. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Duplex, duplexPair } from "node:stream";
import {
  type DriverFacts,
  type Leftover,
  type Machine,
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

  constructor(spec: MachineSpec, behaviour: GuestBehaviour) {
    this.id = spec.id;
    this.spec = spec;
    const [control, inside] = duplexPair();
    this.control = control;
    this.guest = new FakeGuest(inside, behaviour);
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

  async pause(): Promise<void> {}
  async resume(): Promise<void> {}
  async resizeDisk(): Promise<void> {}
  snapshot(): Promise<Snapshot> {
    return Promise.reject(new VmError("snapshot_failed", "A fake has no memory"));
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

  async findLeftovers(): Promise<Leftover[]> {
    return this.leftovers;
  }

  async endLeftover(leftover: Leftover): Promise<void> {
    this.leftovers = this.leftovers.filter((one) => one !== leftover);
  }

  async start(spec: MachineSpec, signal: AbortSignal): Promise<Machine> {
    signal.throwIfAborted();
    this.onStart(spec);
    const machine = new FakeMachine(spec, this.behaviour);
    this.machines.push(machine);
    return machine;
  }

  restore(): Promise<Machine> {
    return Promise.reject(new VmError("restore_failed", "A fake has no memory"));
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
