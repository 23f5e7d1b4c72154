/** A template kept between test runs, for tests of what is in a guest rather than of drivers. Made again whenever an ingredient changes. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guestCacheDirectory, guestIngredients } from "@helmr/test/services/guest";
import type { Machine, MachineSpec, Template } from "./driver.ts";
import { FixtureGuest } from "./fixture-guest.fixture.ts";
import { QemuDriver } from "./qemu/driver.ts";

export interface TestGuests {
  driver: QemuDriver;
  template: Template;
  start(changes?: Partial<MachineSpec>): Promise<{ machine: Machine; guest: FixtureGuest; directory: string }>;
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
    async start(changes = {}) {
      const directory = await mkdtemp(join(root, "machine-"));
      const id = directory.slice(root.length + 1);
      const spec = { id, directory, template, disks: {}, limits: { milliCpu: 2000 }, snapshotable: false, ...changes };
      const machine = await driver.start(spec, new AbortController().signal);
      machines.push(machine);
      return { machine, guest: new FixtureGuest(machine), directory };
    },
    async close() {
      for (const machine of machines) await machine.stop();
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
