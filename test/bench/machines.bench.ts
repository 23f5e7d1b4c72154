/**
 * What a machine costs, below everything else: the driver and the release's guest, no server. Arguments: how often (8), and `own` for machines
 * that can be cut.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { randomBytes } from "node:crypto";
import { encodeMessage, FrameDecoder } from "@helmr/protocol/guest";
import { guestIngredients } from "@helmr/test/services/guest";
import type { Machine, MachineDisk, MachineSpec, Template } from "@helmr/worker/vm";
import { QemuDriver } from "@helmr/worker/vm/qemu";
import type { Benchmark, Series } from "./measure.ts";

const run = promisify(execFile);
const gib = 1024 ** 3;
const memoryMachines = 6;

interface Ground {
  driver: QemuDriver;
  template: Template;
  directory: string;
  image: { env: Record<string, string>; workdir: string; user: string };
}

type Answer = { type: string; id?: number; message?: string; processId?: number };

export const benchmark: Benchmark = {
  measures: "templates, restores, attach, node, cut and memory of machines (release guest, 1 processor, 512 MiB)",
  async run(args) {
    const count = Number(args[0] ?? 8);
    const series = new Map<string, number[]>();
    const note = (name: string, value: number): void => void series.set(name, [...(series.get(name) ?? []), value]);
    const ground = await prepare(note);
    try {
      await measureStarts(ground, { count, note, spare: false });
      await measureStarts(ground, { count, note, spare: true });
      if (!args.includes("starts")) {
        await measureCuts(ground, { count, note });
        await measureMemory(ground, note);
      }
    } finally {
      await ground.driver.close();
      await rm(ground.directory, { recursive: true, force: true });
    }
    return [...series].map(([name, samples]): Series => ({
      name,
      unit: name.endsWith("memory") || name.endsWith("size") ? "MB" : "ms",
      samples,
    }));
  },
};

type Note = (name: string, value: number) => void;

async function prepare(note: Note): Promise<Ground> {
  const { kernel, initramfs, substrate, baseImage, monitorTools } = await guestIngredients("release");
  const directory = await mkdtemp(join(tmpdir(), "helmr-bench-"));
  const driver = new QemuDriver({
    stateDirectory: join(directory, "driver"),
    probe: { kernel, initramfs },
    tools: monitorTools,
    cgroupName: "helmr-bench",
  });
  const spec = { kernel, initramfs, substrate, image: baseImage.path, shape: { vcpus: 1, memoryMib: 512 } };
  const place = join(directory, "template");
  await driver.facts();
  await driver.templateKey(spec);
  await mkdir(place);
  const began = performance.now();
  const template = await driver.createTemplate(spec, place, new AbortController().signal);
  note("template creation (boot, warm, zero, save, verify)", performance.now() - began);
  note("template size", template.sizeBytes / 1e6);
  return { driver, template, directory, image: baseImage.config };
}

async function newMachine(ground: Ground, changes: Partial<MachineSpec> = {}): Promise<Machine> {
  const directory = await mkdtemp(join(ground.directory, "machine-"));
  const disks = { scratch: await emptyDisk(directory, "scratch"), workspace: await emptyDisk(directory, "workspace") };
  const id = directory.slice(ground.directory.length + 1);
  const spec = { id, directory, template: ground.template, disks, limits: { milliCpu: 2000 }, snapshotable: false, ...changes };
  return ground.driver.start(spec, new AbortController().signal);
}

async function emptyDisk(directory: string, name: string): Promise<MachineDisk> {
  const path = join(directory, `${name}.raw`);
  await writeFile(path, "");
  await truncate(path, gib);
  await run("mke2fs", ["-q", "-F", "-t", "ext4", path]);
  return { path, format: "raw", readOnly: false, sizeBytes: gib };
}

async function measureStarts(ground: Ground, { count, note, spare }: { count: number; note: Note; spare: boolean }): Promise<void> {
  const kind = spare ? "spare: " : "fresh: ";
  for (let index = 0; index < count; index += 1) {
    if (spare) await spareReady(ground);
    // Disks are made before the clock runs: how is the worker's business.
    let began = 0;
    const prepared = Promise.resolve().then(() => {
      began = performance.now();
    });
    const made = performance.now();
    const machine = await newMachine(ground, { prepared });
    note(`${kind}start, disks included`, performance.now() - made);
    const guest = new Conversation(machine);
    let at = performance.now();
    await guest.ask({ type: "ping" });
    note(`${kind}first answer`, performance.now() - at);
    at = performance.now();
    await guest.attach(ground.image);
    note(`${kind}attach`, performance.now() - at);
    for (const name of ["first node -e 0", "second node -e 0"]) {
      at = performance.now();
      await guest.execute(["node", "-e", "0"]);
      note(`${kind}${name}`, performance.now() - at);
    }
    note(`${kind}from disks to the end of node`, performance.now() - began);
    await machine.stop();
  }
  await ground.driver.keepSpares([]);
}

async function spareReady(ground: Ground): Promise<void> {
  await ground.driver.keepSpares([{ template: ground.template, snapshotable: false, count: 1 }]);
  while (ground.driver.listSpares().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function measureCuts(ground: Ground, { count, note }: { count: number; note: Note }): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    let at = performance.now();
    const machine = await newMachine(ground, { snapshotable: true });
    note("own memory: start, disks included", performance.now() - at);
    const guest = new Conversation(machine);
    await guest.attach(ground.image);
    await guest.execute(["node", "-e", "0"]);
    const target = join(ground.directory, `cut-${index}`);
    const snapshot = await machine.snapshot(target, () => Promise.resolve());
    note("cut: pause, disks left out", snapshot.pausedMs);
    await machine.stop();
    const { stdout } = await run("stat", ["-c", "%b", snapshot.memory]);
    note("cut: memory file size", (Number(stdout) * 512) / 1e6);
    at = performance.now();
    const restored = await restore(ground, snapshot, index);
    note("cut: restore", performance.now() - at);
    await new Conversation(restored).ask({ type: "ping" });
    note("cut: restore to first answer", performance.now() - at);
    await restored.stop();
    await rm(target, { recursive: true });
  }
}

async function restore(ground: Ground, snapshot: { memory: string; device: string }, index: number): Promise<Machine> {
  const directory = await mkdtemp(join(ground.directory, "restored-"));
  const disks = { scratch: await emptyDisk(directory, "scratch"), workspace: await emptyDisk(directory, "workspace") };
  const spec = { id: `restored-${index}`, directory, template: ground.template, disks, limits: { milliCpu: 2000 }, snapshotable: false };
  return ground.driver.restore(spec, snapshot, new AbortController().signal);
}

/** Memory that only this monitor has: the guest's own pages and the code translated for it. */
async function measureMemory(ground: Ground, note: Note): Promise<void> {
  const machines: Machine[] = [];
  for (let index = 0; index < memoryMachines; index += 1) machines.push(await newMachine(ground));
  for (const machine of machines) await new Conversation(machine).ask({ type: "ping" });
  for (const machine of machines) note("clone after its first answer: private memory", await privateMegabytes(machine));
  for (const machine of machines) {
    const guest = new Conversation(machine);
    await guest.attach(ground.image);
    await guest.execute(["node", "-e", "0"]);
    note("clone after attach and node: private memory", await privateMegabytes(machine));
  }
  for (const machine of machines) await machine.stop();
}

async function privateMegabytes(machine: Machine): Promise<number> {
  const text = await readFile(`/proc/${machine.handle.pid}/smaps_rollup`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return ((kib("Private_Clean") + kib("Private_Dirty")) * 1024) / 1e6;
}

/** The host's end of the guest protocol, as far as this needs it. */
class Conversation {
  private readonly machine: Machine;
  private readonly waiting = new Map<string, (answer: Answer) => void>();
  private nextId = 1;

  constructor(machine: Machine) {
    this.machine = machine;
    const decoder = new FrameDecoder();
    machine.control.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.kind === "bytes")
          machine.control.write(encodeMessage({ type: "stream.ack", stream: frame.stream, offset: frame.offset + frame.data.length }));
        else this.receive(frame.message as Answer);
      }
    });
  }

  async ask(message: Record<string, unknown>): Promise<void> {
    const id = this.nextId;
    this.nextId += 1;
    const answer = await this.exchange(`answer ${id}`, { ...message, id });
    if (answer.type !== "ok") throw new BenchFailure(`${String(message["type"])}: ${answer.message}`);
  }

  attach(image: Ground["image"]): Promise<void> {
    const clock = { unixUs: Date.now() * 1000, entropy: randomBytes(64).toString("base64") };
    const disks = { scratch: "disk", workspace: { path: "/workspace" }, task: false };
    return this.ask({
      type: "attach",
      resumed: false,
      clock,
      hostname: "bench",
      leaseMs: 600_000,
      disks,
      image,
      environment: {},
      network: { enabled: true },
    });
  }

  /** Until its end has been told. */
  async execute(command: readonly string[]): Promise<void> {
    const processId = this.nextId;
    const streams = { stdout: 1000 + processId * 2, stderr: 1001 + processId * 2 };
    const ended = new Promise<void>((resolve) => this.waiting.set(`process ${processId}`, () => resolve()));
    await this.ask({ type: "process.start", processId, command, cwd: "/workspace", env: {}, streams });
    await ended;
    this.machine.control.write(encodeMessage({ type: "process.forget", processId }));
  }

  private exchange(key: string, message: unknown): Promise<Answer> {
    const answered = new Promise<Answer>((resolve) => this.waiting.set(key, resolve));
    this.machine.control.write(encodeMessage(message));
    return answered;
  }

  private receive(answer: Answer): void {
    const key = answer.type === "process.ended" ? `process ${answer.processId}` : `answer ${answer.id}`;
    this.waiting.get(key)?.(answer);
    this.waiting.delete(key);
  }
}

class BenchFailure extends Error {
  override name = "BenchFailure";
}
