/** A template kept between test runs, for tests of what is in a guest rather than of drivers. Made again whenever an ingredient changes. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import type { Machine, MachineDisk, MachineSpec, Template } from "./driver.ts";
import { FixtureGuest } from "./fixture-guest.fixture.ts";
import { QemuDriver } from "./qemu/driver.ts";

const run = promisify(execFile);

export interface TestGuests {
  driver: QemuDriver;
  template: Template;
  /** For files of the test. */
  directory: string;
  start(changes?: Partial<MachineSpec>): Promise<{ machine: Machine; guest: FixtureGuest; directory: string }>;
  emptyDisk(directory: string, name: string, sizeMib: number): Promise<MachineDisk>;
  /** Stops every machine and removes what they had. */
  close(): Promise<void>;
}

export async function testGuests(): Promise<TestGuests> {
  const { kernel, initramfs, substrate, baseImage, monitorTools } = await guestIngredients("fixture");
  const cache = guestCacheDirectory();
  const driver = new QemuDriver({
    stateDirectory: join(cache, "driver"),
    probe: { kernel, initramfs },
    tools: monitorTools,
    cgroupName: "helmr-test",
  });
  const spec = { kernel, initramfs, substrate, image: baseImage.path, shape: { vcpus: 1, memoryMib: 512 } };
  const place = join(cache, "templates", await driver.templateKey(spec));
  const template = (await driver.readTemplate(place)) ?? (await makeTemplate(driver, spec, place));
  const root = await mkdtemp(join(tmpdir(), "helmr-guests-"));
  const machines: Machine[] = [];
  return {
    driver,
    template,
    directory: root,
    async start(changes = {}) {
      const directory = await mkdtemp(join(root, "machine-"));
      const id = directory.slice(root.length + 1);
      const spec = { id, directory, template, disks: {}, limits: { milliCpu: 2000 }, snapshotable: false, ...changes };
      const machine = await driver.start(spec, new AbortController().signal);
      machines.push(machine);
      return { machine, guest: new FixtureGuest(machine), directory };
    },
    emptyDisk,
    async close() {
      for (const machine of machines) await machine.stop();
      await driver.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function makeTemplate(driver: QemuDriver, spec: Template["spec"], place: string): Promise<Template> {
  // Only one is kept: they are large and belong to what has just been changed.
  await rm(join(place, ".."), { recursive: true, force: true });
  await mkdir(place, { recursive: true });
  return driver.createTemplate(spec, place, new AbortController().signal);
}

export async function emptyDisk(directory: string, name: string, sizeMib: number): Promise<MachineDisk> {
  const path = join(directory, `${name}.raw`);
  const sizeBytes = sizeMib * 1024 * 1024;
  await writeFile(path, "");
  await truncate(path, sizeBytes);
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", path]);
  return { path, format: "raw", readOnly: false, sizeBytes };
}
