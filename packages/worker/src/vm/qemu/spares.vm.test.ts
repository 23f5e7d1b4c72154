import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guestIngredients } from "@helmr/test/services/guest";
import { until } from "@helmr/test/services";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Machine, MachineSpec, Template } from "../driver.ts";
import { FixtureGuest } from "../fixture-guest.fixture.ts";
import { testGuests, type TestGuests } from "../shared-template.fixture.ts";
import { QemuDriver, type QemuDriverOptions } from "./driver.ts";

let guests: TestGuests;
let template: Template;
let root: string;
let options: QemuDriverOptions;
let driver: QemuDriver;
const machines: Machine[] = [];

beforeAll(async () => {
  guests = await testGuests();
  ({ template } = guests);
  root = await mkdtemp(join(tmpdir(), "helmr-spares-"));
  const { kernel, initramfs, monitorTools } = await guestIngredients("fixture");
  options = { stateDirectory: join(root, "driver"), probe: { kernel, initramfs }, tools: monitorTools, cgroupName: "helmr-test" };
  driver = new QemuDriver(options);
});

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.stop();
});

afterAll(async () => {
  await driver.close();
  await guests.close();
  expect(await driver.findLeftovers(root)).toEqual([]);
  await rm(root, { recursive: true, force: true });
});

async function newSpec(changes: Partial<MachineSpec> = {}): Promise<MachineSpec> {
  const directory = await mkdtemp(join(root, "machine-"));
  const id = directory.slice(root.length + 1);
  return { id, directory, template, disks: {}, limits: { milliCpu: 2000 }, snapshotable: false, ...changes };
}

async function start(spec: MachineSpec): Promise<{ machine: Machine; guest: FixtureGuest }> {
  const machine = await driver.start(spec, new AbortController().signal);
  machines.push(machine);
  return { machine, guest: new FixtureGuest(machine) };
}

function ready(count: number): Promise<number[]> {
  return until(`${count} spares`, () => driver.listSpares().length === count && driver.listSpares(), 60_000);
}

describe("spares", () => {
  test("a start takes one: the guest is fresh and has its disks", async () => {
    await driver.keepSpares([{ template, snapshotable: true, count: 1 }]);
    const [pid] = await ready(1);
    const spec = await newSpec({ snapshotable: true });
    const scratch = await guests.emptyDisk(spec.directory, "scratch", 128);
    const { machine, guest } = await start({ ...spec, disks: { scratch } });
    expect(machine.handle.pid).toBe(pid);
    expect(driver.listSpares()).toEqual([]);
    await guest.attach("--scratch", "/dev/vdc");
    expect((await guest.run(["node", "-p", "6 * 7"])).stdout).toBe("42\n");
    expect((await guest.shell("cat /sys/block/vdc/size; hostname; ls /sys/fs/cgroup")).stdout).toMatch(/^262144\nfixture\n/);
    expect(await readdir(spec.directory)).toContain("monitor");
  });

  test("its machine can be cut and restored like any other", async () => {
    const [pid] = await ready(1);
    const { machine, guest } = await start(await newSpec({ snapshotable: true }));
    expect(machine.handle.pid).toBe(pid);
    await guest.ping();
    const next = await newSpec();
    const snapshot = await machine.snapshot(join(next.directory, "snapshot"), () => Promise.resolve());
    await machine.stop();
    const restored = await driver.restore(next, snapshot, new AbortController().signal);
    machines.push(restored);
    expect((await new FixtureGuest(restored).ping()).counter).toBe(2);
  });

  test("one that dies while it waits is replaced; one for another kind is not taken", async () => {
    const [pid] = await ready(1);
    const { machine } = await start(await newSpec({ snapshotable: false }));
    expect(machine.handle.pid).not.toBe(pid);
    process.kill(pid as number, "SIGKILL");
    await until("it to be forgotten", () => driver.listSpares().length === 0);
    const other = await start(await newSpec({ snapshotable: true }));
    await other.guest.ping();
  });

  test("what is not wished for any more is ended", async () => {
    await driver.keepSpares([{ template, snapshotable: false, count: 2 }]);
    const pids = await ready(2);
    await driver.keepSpares([{ template, snapshotable: false, count: 1 }]);
    expect(driver.listSpares()).toHaveLength(1);
    await driver.keepSpares([]);
    expect(driver.listSpares()).toEqual([]);
    expect(await driver.findLeftovers(join(root, "driver"))).toEqual([]);
    expect(pids).toHaveLength(2);
  });

  test("those of a dead worker are removed", async () => {
    const script = `
      const { QemuDriver } = await import(${JSON.stringify(join(import.meta.dirname, "driver.ts"))});
      const driver = new QemuDriver(${JSON.stringify(options)});
      await driver.keepSpares([{ template: ${JSON.stringify(template)}, snapshotable: false, count: 1 }]);
      const timer = setInterval(() => { if (driver.listSpares().length > 0) { process.stdout.write("ready"); clearInterval(timer); } }, 20);
      setInterval(() => {}, 60_000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const [left] = await driver.findLeftovers(join(root, "driver"));
    expect(left?.handle).toBeUndefined();
    const later = new QemuDriver(options);
    await later.keepSpares([{ template, snapshotable: false, count: 1 }]);
    await until("a spare of the later worker", () => later.listSpares().length === 1, 60_000);
    expect(later.listSpares()).not.toContain(left?.pid);
    expect((await later.findLeftovers(join(root, "driver"))).map(({ pid }) => pid)).toEqual(later.listSpares());
    await later.close();
    expect(await later.findLeftovers(join(root, "driver"))).toEqual([]);
  });
});
