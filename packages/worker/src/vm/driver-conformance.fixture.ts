/**
 * What every driver must do, proven with real guests that run the fixture supervisor. A driver's own test calls `driverContract` and adds
 * what is special about it. All tests share one template; each has its own machines in its own directory and leaves nothing behind.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "@helmr/test/services";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Machine, MachineDisk, MachineHandle, MachineSpec, Template, TemplateSpec, VmDriver } from "./driver.ts";
import { VmError } from "./driver.ts";
import { openBlockSource } from "../disks/block-source.ts";
import { OverlayReader } from "../disks/overlay-reader.ts";
import { createOverlay } from "../disks/overlay-writer.ts";
import { FixtureGuest } from "./fixture-guest.fixture.ts";
import { emptyDisk } from "./shared-template.fixture.ts";

const run = promisify(execFile);
const mib = 1024 * 1024;

export interface ContractSetup {
  /** A new driver object, as another process of the worker would have. */
  openDriver: () => VmDriver;
  spec: TemplateSpec;
  /** Where machines and the template go. */
  directory: string;
  /** Arguments of a program that starts a machine and prints its handle: see start-machine.fixture.ts. */
  starterArguments: readonly string[];
}

export interface MachineWorld {
  driver: VmDriver;
  template: Template;
  /** Starts a machine that is stopped after the test. */
  start(changes?: Partial<MachineSpec>): Promise<{ machine: Machine; guest: FixtureGuest; spec: MachineSpec }>;
  newSpec(changes?: Partial<MachineSpec>): Promise<MachineSpec>;
  /** Stops it after the test. */
  watch(machine: Machine): Machine;
  emptyDisk(directory: string, name: string, sizeMib: number): Promise<MachineDisk>;
}

export function driverContract(name: string, prepare: () => Promise<ContractSetup>): () => MachineWorld {
  let setup: ContractSetup;
  let world: MachineWorld;
  const machines: Machine[] = [];

  beforeAll(async () => {
    setup = await prepare();
    const driver = setup.openDriver();
    const directory = join(setup.directory, "template");
    await mkdir(directory);
    const template = await driver.createTemplate(setup.spec, directory, new AbortController().signal);
    world = machineWorld({ setup, driver, template, machines });
  });

  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.stop();
  });

  afterAll(async () => {
    await world?.driver.close();
    if (setup) await rm(setup.directory, { recursive: true, force: true });
  });

  describe(`${name}: templates`, () =>
    templates(
      () => world,
      () => setup,
    ));
  describe(`${name}: machines`, () => running(() => world));
  describe(`${name}: copies of disks`, () => copies(() => world));
  describe(`${name}: snapshots`, () => snapshots(() => world));
  describe(`${name}: ends`, () => ends(() => world));
  describe(`${name}: a worker that dies`, () =>
    takeover(
      () => world,
      () => setup,
    ));
  describe(`${name}: failures`, () => failures(() => world));
  return () => world;
}

interface WorldParts {
  setup: ContractSetup;
  driver: VmDriver;
  template: Template;
  machines: Machine[];
}

function machineWorld({ setup, driver, template, machines }: WorldParts): MachineWorld {
  const newSpec = async (changes: Partial<MachineSpec> = {}): Promise<MachineSpec> => {
    const directory = await mkdtemp(join(setup.directory, "machine-"));
    const id = directory.slice(directory.lastIndexOf("/") + 1);
    return { id, directory, template, disks: {}, limits: { milliCpu: 2000 }, snapshotable: false, ...changes };
  };
  const watch = (machine: Machine): Machine => {
    machines.push(machine);
    return machine;
  };
  return {
    driver,
    template,
    newSpec,
    watch,
    async start(changes) {
      const spec = await newSpec(changes);
      const machine = watch(await driver.start(spec, new AbortController().signal));
      return { machine, guest: new FixtureGuest(machine), spec };
    },
    emptyDisk,
  };
}

function templates(world: () => MachineWorld, setup: () => ContractSetup): void {
  test("templateKey() depends on every ingredient and on the shape", async () => {
    const { driver, template } = world();
    const { spec } = setup();
    expect(await driver.templateKey(spec)).toBe(template.key);
    expect(await driver.templateKey({ ...spec, shape: { ...spec.shape, vcpus: 2 } })).not.toBe(template.key);
    expect(await driver.templateKey({ ...spec, image: spec.initramfs })).not.toBe(template.key);
  });

  test("a template can be found again, and not once it was touched", async () => {
    const { driver, template } = world();
    expect(await driver.readTemplate(template.directory)).toEqual(template);
    const copy = join(setup().directory, "touched");
    await run("cp", ["-a", "--sparse=always", template.directory, copy]);
    expect(await driver.readTemplate(copy)).toBeUndefined();
    expect(await driver.readTemplate(join(setup().directory, "nothing"))).toBeUndefined();
    await rm(copy, { recursive: true });
  });

  test("a bigger machine: two processors, 2 GiB, all of it usable", async () => {
    const { driver } = world();
    const directory = join(setup().directory, "bigger");
    await mkdir(directory);
    const template = await driver.createTemplate(
      { ...setup().spec, shape: { vcpus: 2, memoryMib: 2048 } },
      directory,
      new AbortController().signal,
    );
    // What was never used is not on the disk.
    expect(template.sizeBytes).toBeLessThan(400 * mib);
    const { machine, guest } = await world().start({ template, snapshotable: true });
    await guest.attach("--scratch", "tmpfs");
    const script =
      "nproc; head -c 1200000000 /dev/zero | tail -c 1 | wc -c; node -e 'const b = Buffer.alloc(1200e6, 1); console.log(b[1199999999])'";
    expect((await guest.shell(script, { timeoutMs: 90_000 })).stdout).toBe("2\n1\n1\n");
    await machine.stop();
    await rm(directory, { recursive: true });
  });

  test("createTemplate() of a guest that cannot boot says what the guest said, and leaves nothing running", async () => {
    const { driver } = world();
    const directory = join(setup().directory, "broken");
    await mkdir(directory);
    const notAnImage = join(setup().directory, "not-an-image");
    await writeFile(notAnImage, Buffer.alloc(mib));
    const failure = await driver
      .createTemplate({ ...setup().spec, image: notAnImage }, directory, new AbortController().signal)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(VmError);
    expect((failure as VmError).code).toBe("boot_failed");
    expect((failure as VmError).message).toContain("mount the image");
    expect(await driver.readTemplate(directory)).toBeUndefined();
    expect(await driver.findLeftovers(directory)).toEqual([]);
    await rm(directory, { recursive: true });
  });
}

function running(world: () => MachineWorld): void {
  test("clones answer, run apart from each other, and are told apart by attach()", async () => {
    const [one, other] = [await world().start(), await world().start()];
    const before = [await one.guest.ping(), await other.guest.ping()];
    await Promise.all([one.guest.attach("--scratch", "tmpfs"), other.guest.attach("--scratch", "tmpfs")]);
    const uuid = async ({ guest }: typeof one): Promise<string> =>
      (await guest.shell("cat /proc/sys/kernel/random/uuid; hostname; cat /etc/hostname")).stdout;
    const [first, second] = [await uuid(one), await uuid(other)];
    expect(before.map(({ counter }) => counter)).toEqual([1, 1]);
    expect(first).toMatch(/fixture\nfixture\n$/);
    expect(first).not.toBe(second);
    const clock = await one.guest.ping();
    expect(Math.abs(clock.unixUs / 1000 - Date.now())).toBeLessThan(2_000);
  });

  test("disks stand behind their slots with their sizes, and keep what was written", async () => {
    const spec = await world().newSpec();
    const scratch = await world().emptyDisk(spec.directory, "scratch", 256);
    const workspace = await world().emptyDisk(spec.directory, "workspace", 96);
    const task = { ...(await world().emptyDisk(spec.directory, "task", 32)), readOnly: true };
    const { machine, guest } = await world().start({ ...spec, disks: { scratch, workspace, task } });
    await guest.attach("--scratch", "/dev/vdc", "--workspace", "/dev/vdd:/workspace", "--task", "/dev/vde");
    const sizes = await guest.shell(
      "cat /sys/block/vdc/size /sys/block/vdd/size; echo kept > /workspace/file; touch /opt/helmr-task/file; sync",
    );
    expect(sizes.stdout.split("\n").slice(0, 2).map(Number)).toEqual([256 * 2048, 96 * 2048]);
    expect(sizes.stderr).toContain("Read-only file system");
    await machine.resizeDisk("workspace", 128 * mib);
    expect((await guest.shell("cat /sys/block/vdd/size")).stdout.trim()).toBe(String(128 * 2048));
    await machine.stop();
    expect((await run("debugfs", ["-R", "cat file", workspace.path])).stdout).toBe("kept\n");
  });

  test("pause() stops the guest's time and resume() goes on with it", async () => {
    const { machine, guest } = await world().start();
    const before = await guest.ping();
    await machine.pause();
    await expect(guest.ping(300)).rejects.toThrow("No answer");
    await machine.resume();
    const after = await guest.ping();
    expect(after.counter).toBe(before.counter + 2);
    expect(Number(BigInt(after.monotonicNs) - BigInt(before.monotonicNs)) / 1e6).toBeLessThan(250);
  });

  test("a guest runs only when `prepared` has resolved", async () => {
    const spec = await world().newSpec();
    const scratch = await world().emptyDisk(spec.directory, "scratch", 64);
    const { sizeBytes } = scratch;
    await run("mv", [scratch.path, `${scratch.path}.ready`]);
    await writeFile(scratch.path, "");
    await truncate(scratch.path, sizeBytes);
    const prepared = (async (): Promise<void> => {
      await until("the monitor to have started", async () => (await world().driver.findLeftovers(spec.directory + "/..")).length > 0);
      await run("dd", [`if=${scratch.path}.ready`, `of=${scratch.path}`, "conv=notrunc,sparse", "bs=64k", "status=none"]);
    })();
    const { guest } = await world().start({ ...spec, disks: { scratch }, prepared });
    await guest.attach("--scratch", "/dev/vdc");
  });
}

function copies(world: () => MachineWorld): void {
  test("copyDisk() has what was written since the start or since the copy before, as of one instant", async () => {
    const spec = await world().newSpec();
    const raw = await world().emptyDisk(spec.directory, "workspace", 96);
    const overlay = async (name: string) => {
      const path = join(spec.directory, name);
      await createOverlay({ path, backing: raw.path, sizeBytes: raw.sizeBytes });
      return path;
    };
    const workspace: MachineDisk = { ...raw, path: await overlay("disk"), format: "overlay", backing: raw.path };
    const scratch = await world().emptyDisk(spec.directory, "scratch", 64);
    const { machine, guest } = await world().start({ ...spec, snapshotable: true, disks: { scratch, workspace } });
    await guest.attach("--scratch", "/dev/vdc", "--workspace", "/dev/vdd:/workspace");
    const { signal } = new AbortController();
    let made = 0;
    const copy = async (since: "start" | "copy", during = () => Promise.resolve()) => {
      const target = await overlay(`copy-${(made += 1)}`);
      const at = async (cut: () => Promise<void>) => {
        await guest.shell("sync");
        await cut();
        await during();
      };
      await machine.copyDisk("workspace", { target, since, at, signal });
      const reader = new OverlayReader(target, raw.sizeBytes);
      const changed = [...reader.changed()];
      reader.close();
      return { target, changed };
    };
    const fill = (file: string, byte: string, sizeMib: number) =>
      guest.shell(`head -c ${sizeMib * mib} /dev/zero | tr '\\0' ${byte} > /workspace/${file}; sync`);
    await fill("first", "a", 8);
    const first = await copy("start", async () => void (await fill("later", "z", 2)));
    expect(first.changed.length).toBeGreaterThan(8 * 16);
    const held = await readOverlay(first.target, raw, "first");
    expect(held).toBe("a".repeat(8 * mib));
    expect(await readOverlay(first.target, raw, "later")).toBe("");
    await fill("second", "b", 2);
    const second = await copy("copy");
    expect(second.changed.length).toBeGreaterThanOrEqual(4 * 16);
    expect(second.changed.length).toBeLessThan(8 * 16);
    // Given up: its changes are in the next one.
    await fill("third", "c", 2);
    const failed = {
      target: await overlay("failed"),
      since: "copy" as const,
      at: () => Promise.reject(new VmError("aborted", "no")),
      signal,
    };
    await expect(machine.copyDisk("workspace", failed)).rejects.toThrow("no");
    // What was trimmed says that it is zero.
    await guest.shell("rm /workspace/first; sync; fstrim /workspace 2>/dev/null || busybox fstrim /workspace; sync");
    const third = await copy("copy");
    expect(third.changed.filter(({ state }) => state === "data").length).toBeGreaterThanOrEqual(2 * 16);
    expect(third.changed.filter(({ state }) => state === "zero").length).toBeGreaterThan(6 * 16);
    // A machine of which copies were made can be cut, and goes on.
    await machine.snapshot(join(spec.directory, "snapshot"), () => Promise.resolve());
    await machine.resume();
    const all = await copy("start");
    expect(await readOverlay(all.target, raw, "third")).toBe("c".repeat(2 * mib));
    await guest.ping();
  });
}

function snapshots(world: () => MachineWorld): void {
  test("a snapshot restores the same processes with the same disks, also after its machine is gone", async () => {
    const spec = await world().newSpec({ snapshotable: true });
    const scratch = await world().emptyDisk(spec.directory, "scratch", 128);
    const { machine, guest } = await world().start({ ...spec, disks: { scratch } });
    await guest.attach("--scratch", "/dev/vdc");
    await guest.shell("echo unsynced > /note; (while true; do echo tick >> /ticks; sleep 0.05; done) > /dev/null 2>&1 &");
    await guest.ping();
    const next = await world().newSpec({ snapshotable: true });
    const copy = join(next.directory, "scratch.raw");
    const snapshot = await machine.snapshot(join(next.directory, "snapshot"), () => copyFile(scratch.path, copy));
    expect(snapshot.pausedMs).toBeLessThan(5_000);
    await machine.stop();
    await rm(spec.directory, { recursive: true });

    const restored = world().watch(
      await world().driver.restore({ ...next, disks: { scratch: { ...scratch, path: copy } } }, snapshot, new AbortController().signal),
    );
    expect(restored.compatibility).toEqual(machine.compatibility);
    const later = new FixtureGuest(restored);
    expect((await later.ping()).counter).toBe(2);
    await later.attach("--resumed");
    expect(
      (
        await later.shell(
          "cat /note; grep -c tick /ticks > /before; sleep 0.3; test $(grep -c tick /ticks) -gt $(cat /before) && echo alive",
        )
      ).stdout,
    ).toBe("unsynced\nalive\n");
  });

  test("a machine goes on after a snapshot that is not wanted, and can be cut again", async () => {
    const { machine, guest, spec } = await world().start({ snapshotable: true });
    await guest.ping();
    await machine.snapshot(join(spec.directory, "first"), () => Promise.resolve());
    await machine.resume();
    expect((await guest.ping()).counter).toBe(2);
    const second = await machine.snapshot(join(spec.directory, "second"), () => Promise.resolve());
    await machine.stop();
    const restored = world().watch(await world().driver.restore(await world().newSpec(), second, new AbortController().signal));
    expect((await new FixtureGuest(restored).ping()).counter).toBe(3);
  });

  test("a snapshot whose disks cannot be copied fails and leaves the machine usable", async () => {
    const { machine, guest, spec } = await world().start({ snapshotable: true });
    const directory = join(spec.directory, "snapshot");
    await expect(machine.snapshot(directory, () => Promise.reject(new VmError("snapshot_failed", "no room")))).rejects.toThrow("no room");
    expect(await readdir(directory)).toEqual([]);
    await machine.resume();
    await guest.ping();
  });

  test("a machine that shares its memory with the template refuses", async () => {
    const { machine, spec } = await world().start();
    const failure = await Promise.resolve()
      .then(() => machine.snapshot(join(spec.directory, "snapshot"), () => Promise.resolve()))
      .catch((error: unknown) => error);
    expect((failure as VmError).code).toBe("snapshot_failed");
  });
}

function ends(world: () => MachineWorld): void {
  test("stop() ends it for good, twice is once", async () => {
    const { machine, spec } = await world().start();
    await Promise.all([machine.stop(), machine.stop()]);
    expect(await machine.exited).toEqual({ reason: "stopped" });
    expect(await world().driver.findLeftovers(join(spec.directory, ".."))).toEqual([]);
    expect(await readdir(spec.directory)).toEqual([]);
  });

  test("a guest that powers off", async () => {
    const { machine, guest } = await world().start();
    await guest.attach("--scratch", "tmpfs");
    void guest.shell("echo o > /proc/sysrq-trigger").catch(() => {});
    expect(await machine.exited).toEqual({ reason: "guest_shutdown" });
  });

  test("a guest whose kernel dies, with what it said", async () => {
    const { machine, guest } = await world().start();
    await guest.attach("--scratch", "tmpfs");
    void guest.shell("echo c > /proc/sysrq-trigger").catch(() => {});
    const exit = await machine.exited;
    expect(exit.reason).toBe("guest_panic");
    expect(exit.reason === "guest_panic" && exit.console).toContain("sysrq triggered crash");
  });

  test("a monitor that is killed", async () => {
    const { machine } = await world().start();
    process.kill(machine.handle.pid, "SIGKILL");
    expect(await machine.exited).toMatchObject({ reason: "monitor_died", signal: "SIGKILL" });
    expect(machine.control.destroyed).toBe(true);
  });
}

function takeover(world: () => MachineWorld, setup: () => ContractSetup): void {
  /** Another process starts a machine, prints its handle and is killed. */
  async function startAndDie(spec: MachineSpec): Promise<MachineHandle> {
    const child = spawn(process.execPath, [...setup().starterArguments, JSON.stringify(spec)], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await until("the other worker to have its machine", () => said.includes("\n"), 30_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    return JSON.parse(said) as MachineHandle;
  }

  test("another process adopts the machine; its guest goes on and announces itself", async () => {
    const spec = await world().newSpec({ snapshotable: true });
    const handle = await startAndDie(spec);
    const [leftover] = await world().driver.findLeftovers(spec.directory + "/..");
    expect(leftover?.handle).toEqual(handle);
    const adopted = await setup().openDriver().adopt(handle);
    if (adopted === "gone") throw new VmError("monitor_died", "the machine is gone");
    const guest = new FixtureGuest(world().watch(adopted));
    expect((await guest.hello).bootId).toMatch(/^[0-9a-f-]{36}$/);
    // The starter had asked once.
    expect((await guest.ping()).counter).toBe(2);
    await adopted.snapshot(join(spec.directory, "snapshot"), () => Promise.resolve());
    await adopted.stop();
    expect(await adopted.exited).toEqual({ reason: "stopped" });
    expect(await setup().openDriver().adopt(handle)).toBe("gone");
  });

  test("an adopted machine's death is noticed", async () => {
    const handle = await startAndDie(await world().newSpec());
    const adopted = await setup().openDriver().adopt(handle);
    if (adopted === "gone") throw new VmError("monitor_died", "the machine is gone");
    world().watch(adopted);
    process.kill(handle.pid, "SIGKILL");
    expect((await adopted.exited).reason).toBe("monitor_died");
  });

  test("what is not wanted any more is ended", async () => {
    const spec = await world().newSpec();
    await startAndDie(spec);
    const found = await world().driver.findLeftovers(join(spec.directory, ".."));
    expect(found).toHaveLength(1);
    for (const leftover of found) await world().driver.endLeftover(leftover);
    expect(await world().driver.findLeftovers(join(spec.directory, ".."))).toEqual([]);
  });
}

function failures(world: () => MachineWorld): void {
  async function failureOf(spec: MachineSpec, signal: AbortSignal = new AbortController().signal): Promise<VmError> {
    const failure = await world()
      .driver.start(spec, signal)
      .then(
        (machine) => world().watch(machine),
        (error: unknown) => error,
      );
    expect(failure).toBeInstanceOf(VmError);
    expect(await world().driver.findLeftovers(join(spec.directory, ".."))).toEqual([]);
    expect(await readdir(spec.directory)).toEqual([]);
    return failure as VmError;
  }

  test("a disk that is not there", async () => {
    const scratch: MachineDisk = { path: "/nonexistent/disk", format: "raw", readOnly: false, sizeBytes: mib };
    expect((await failureOf(await world().newSpec({ disks: { scratch } }))).code).toBe("disk_missing");
  });

  test("a caller that gives up before and during the start", async () => {
    expect((await failureOf(await world().newSpec(), AbortSignal.abort())).code).toBe("aborted");
    const spec = await world().newSpec();
    const giveUp = new AbortController();
    const started = failureOf(spec, giveUp.signal);
    await until("the monitor to be there", async () => (await world().driver.findLeftovers(join(spec.directory, ".."))).length > 0, 5_000);
    giveUp.abort();
    expect((await started).code).toBe("aborted");
  });

  test("work before the start that fails", async () => {
    const prepared = Promise.reject(new VmError("disk_missing", "the disk could not be filled"));
    prepared.catch(() => {});
    expect((await failureOf(await world().newSpec({ prepared }))).message).toContain("could not be filled");
  });

  test("a snapshot with torn device state", async () => {
    const spec = await world().newSpec();
    const device = join(spec.directory, "..", "torn-device");
    const whole = await readFile(join(world().template.directory, "device"));
    await writeFile(device, whole.subarray(0, whole.length / 2), { mode: 0o644 });
    const failure = await world()
      .driver.restore(spec, { memory: join(world().template.directory, "memory"), device }, new AbortController().signal)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(VmError);
    expect(await world().driver.findLeftovers(join(spec.directory, ".."))).toEqual([]);
  });
}

/** A file of the file system that the overlay over the raw disk makes. */
async function readOverlay(overlay: string, raw: MachineDisk, file: string): Promise<string> {
  const image = `${overlay}.raw`;
  await copyFile(raw.path, image);
  const source = openBlockSource({ kind: "overlay", path: overlay, backing: raw.path, lengthBytes: raw.sizeBytes });
  const handle = await open(image, "r+");
  for (const { start, end } of source.changes()) {
    const bytes = Buffer.alloc(end - start);
    source.read(bytes, start);
    await handle.write(bytes, 0, bytes.length, start);
  }
  await handle.close();
  source.close();
  await run("e2fsck", ["-fy", image]).catch(() => undefined);
  return (await run("debugfs", ["-R", `cat ${file}`, image], { maxBuffer: 64 * mib })).stdout;
}
