import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { expect, test } from "vitest";
import { identifyProcess } from "../host/process-identity.ts";
import { FakeDriver } from "../testing/fake-driver.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { TemplateStore } from "./template-store.ts";

const root = temporaryDirectory("templates");
const guest = { kernel: "kernel", initramfs: "initramfs", substrate: "substrate" };
const image = { ref: "helmr/node:24", path: "image" };
const shape = { vcpus: 1, memoryMib: 512 };
const place = () => mkdtempSync(join(root, "t-"));
const open = (directory: string, driver: FakeDriver) => TemplateStore.open({ directory, bytesMax: 1 << 30, driver, guest });
const patient = () => ({ signal: AbortSignal.timeout(10_000) });

test("one template is built for all who want it, and found again by the next process", async () => {
  const driver = new FakeDriver();
  const directory = place();
  const store = await open(directory, driver);
  const [first, second] = await Promise.all([store.acquire(image, shape, patient()), store.acquire(image, shape, patient())]);
  expect(second.template.key).toBe(first.template.key);
  const next = await open(directory, driver);
  await next.acquire(image, shape, patient());
  expect(driver.templatesMade).toBe(1);
  expect(next.warmImages()).toEqual([image.ref]);
});

test("closing gives up what is being built and leaves nothing of it", async () => {
  const driver = new FakeDriver();
  const directory = place();
  const store = await open(directory, driver);
  let finish = () => {};
  driver.templateGate = new Promise((resolve) => (finish = resolve));
  const wanted = store.acquire(image, shape, patient()).catch((error: unknown) => (error as Error).name);
  await until("the build has begun", () => readdirSync(directory).some((name) => name.endsWith(".partial")));
  const closed = store.close();
  finish();
  await closed;
  expect(await wanted).toBe("AbortError");
  expect(readdirSync(directory)).toEqual([]);
});

test("what a process that died left of a build goes, its monitor included; what a living one is building stays", async () => {
  const driver = new FakeDriver();
  const directory = place();
  const self = (await identifyProcess(process.pid))!;
  for (const key of ["dead", "alive"]) mkdirSync(join(directory, `${key}.partial`));
  writeFileSync(join(directory, "dead.lock"), JSON.stringify({ ...self, startTime: `${self.startTime}0` }));
  writeFileSync(join(directory, "alive.lock"), JSON.stringify(self));
  driver.leftovers = [{ directory: join(directory, "dead.partial"), pid: 1, pidStartTime: 1, handle: undefined }];
  await open(directory, driver);
  expect(driver.leftovers).toEqual([]);
  expect(readdirSync(directory).sort()).toEqual(["alive.lock", "alive.partial"]);
});
