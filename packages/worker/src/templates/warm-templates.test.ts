import { mkdirSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { type TestHost, testHost } from "../testing/worker-host.ts";
import { WarmTemplates } from "./warm-templates.ts";

const root = temporaryDirectory("warm-templates");
const storage = storageKeysOfTest();
const shape = { vcpus: 2, memoryMib: 512 };
const chunks = new ChunkWorker();

let plane: TestControlPlane;
let host: TestHost;
beforeAll(async () => {
  plane = await TestControlPlane.start();
  host = await testHost(plane, { home: join(root, "host"), chunks });
});
afterAll(async () => {
  host.client.close();
  await chunks.close();
  await plane.api.close();
});

/** A built image whose disk is on this host. */
async function localImage(): Promise<Parameters<WarmTemplates["wish"]>[0][number]> {
  const empty = await host.empties.get("workspace", 16 * 1024 * 1024);
  const source = { kind: "raw" as const, path: empty.path, lengthBytes: empty.sizeBytes, extents: empty.extents };
  const blobs = { get: () => Promise.reject(new TypeError("nothing is read")), put: () => Promise.resolve() };
  const keys = tenantKeys(storage);
  const { artifact, manifest } = await host.artifacts.store({ source, keys, blobs, signal: AbortSignal.timeout(10_000) });
  mkdirSync(join(root, "disks"), { recursive: true });
  const disk = join(root, "disks", "image.raw");
  await copyFile(empty.path, disk);
  await host.bases.adopt({ orgId: storage.org_id, digest: artifact.digest, manifest }, disk);
  return { image: artifact.digest, artifact, shape };
}

test("a built image's template is made once there is room, and found by the first run; what is elsewhere is left alone", async () => {
  let enter: (hasRoom: boolean) => void = () => {};
  const asked: object[] = [];
  const room = (wanted: object) => {
    asked.push(wanted);
    return new Promise<boolean>((resolve) => (enter = resolve));
  };
  const warm = new WarmTemplates({ ...host, room });
  const image = await localImage();
  const elsewhere = { ...image, image: "sha256:elsewhere", artifact: { ...image.artifact, digest: "sha256:elsewhere" } };
  warm.wish([elsewhere, image], storage);
  await until("it asks for room", () => asked.length > 0);
  expect(host.driver.templatesMade).toBe(0);
  enter(true);
  await until("the template", () => host.events.some(({ event }) => event === "template.ready"));
  expect(host.templates.warmImages()).toEqual([image.image]);
  expect(asked).toEqual([shape]);
  const base = await host.bases.acquire(image.artifact, {
    keys: tenantKeys(storage),
    blobs: { get: () => Promise.reject(new TypeError("it is here")), put: () => Promise.reject(new TypeError("nothing is stored")) },
    signal: AbortSignal.timeout(10_000),
  });
  const held = await host.templates.acquire({ ref: image.image, path: base.path }, shape, { signal: AbortSignal.timeout(10_000) });
  held.release();
  base.release();
  expect(host.driver.templatesMade).toBe(1);
  await warm.close();
});

test("without room nothing is made, and closing ends what waits", async () => {
  const made = host.driver.templatesMade;
  const image = { ...(await localImage()), shape: { vcpus: 4, memoryMib: 1024 } };
  let asked = 0;
  const full = new WarmTemplates({ ...host, room: () => Promise.resolve((asked += 1) < 0) });
  full.wish([image], storage);
  await until("it asks for room", () => asked > 0);
  await full.close();
  const waiting = new WarmTemplates({
    ...host,
    room: (_, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(false), { once: true })),
  });
  waiting.wish([image, image], storage);
  await waiting.close();
  expect(host.driver.templatesMade).toBe(made);
});
