import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { NewArtifact } from "@helmr/protocol/worker";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { ArtifactStore, chunkBytes } from "../chunks/artifact-store.ts";
import { BlobError } from "../chunks/blob-port.ts";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { PackCache } from "../chunks/pack-cache.ts";
import { tenantKeys } from "../chunks/sealing.ts";
import { dataExtents } from "../disks/data-extents.ts";
import { createOverlay } from "../disks/overlay-writer.ts";
import { MemoryBlobs } from "../testing/memory-blobs.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { type Access, BaseStore } from "./base-store.ts";

const root = temporaryDirectory("bases");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());
const keys = tenantKeys(storageKeysOfTest());
const sizeBytes = 64 * chunkBytes;
const oracle = existsSync("/usr/bin/qemu-io");

let blobs: MemoryBlobs;
let access: Access;
let count = 0;
beforeEach(() => {
  blobs = new MemoryBlobs();
  access = { keys, blobs, signal: AbortSignal.timeout(60_000) };
});

async function host(options: { directory?: string; bytesMax?: number } = {}) {
  count += 1;
  const home = join(root, `host-${count}`);
  const staging = join(home, "staging");
  mkdirSync(staging, { recursive: true });
  const packs = await PackCache.open(join(home, "packs"), 0); // nothing is kept, so that every fetch shows
  const artifacts = new ArtifactStore({ chunks, packs, staging });
  const directory = options.directory ?? join(home, "bases");
  const bases = await BaseStore.open({ directory, artifacts, chunks, bytesMax: options.bytesMax ?? 1 << 30 });
  return { artifacts, bases, directory, home };
}

/** A device with random bytes in the given chunks; stored. */
async function version(
  on: Awaited<ReturnType<typeof host>>,
  content: Record<number, Uint8Array>,
): Promise<{ path: string; artifact: NewArtifact }> {
  count += 1;
  const path = join(root, `device-${count}`);
  writeFileSync(path, "");
  truncateSync(path, sizeBytes);
  const fd = openSync(path, "r+");
  for (const [chunk, bytes] of Object.entries(content)) writeSync(fd, bytes, 0, bytes.length, Number(chunk) * chunkBytes);
  closeSync(fd);
  const source = { kind: "raw" as const, path, lengthBytes: sizeBytes, extents: await dataExtents(path) };
  const { artifact } = await on.artifacts.store({ source, keys, blobs, signal: access.signal });
  return { path, artifact };
}

const noise = () => randomBytes(chunkBytes);
const packGets = () => blobs.gets.filter((key) => key.includes("/packs/")).length;

describe("acquire", () => {
  test("materializes once, however many ask, and then answers from the disk", async () => {
    const on = await host();
    const { path, artifact } = await version(on, { 3: noise(), 40: noise() });
    const held = await Promise.all([1, 2, 3].map(() => on.bases.acquire(artifact, access)));
    expect(packGets()).toBe(1);
    expect(new Set(held.map((base) => base.path)).size).toBe(1);
    expect(readFileSync(held[0]!.path).equals(readFileSync(path))).toBe(true);
    expect(statSync(held[0]!.path).blocks * 512).toBeLessThan(4 * chunkBytes);
    for (const base of held) base.release();
    await on.bases.acquire(artifact, access);
    expect(packGets()).toBe(1);
  });

  test("a failure is not remembered and leaves nothing half made", async () => {
    const on = await host();
    const { artifact } = await version(on, { 0: noise() });
    blobs.fault = (operation, key) => {
      if (operation === "get" && key.includes("/packs/")) throw new BlobError("blob_unavailable", "The store is away");
    };
    await expect(on.bases.acquire(artifact, access)).rejects.toMatchObject({ code: "blob_unavailable" });
    expect(readdirSync(join(on.directory, keys.orgId))).toEqual([]);
    blobs.fault = () => {};
    await expect(on.bases.acquire(artifact, access)).resolves.toBeDefined();
  });

  test("who waited for somebody else's failed attempt makes its own", async () => {
    const on = await host();
    const { artifact } = await version(on, { 0: noise() });
    const controller = new AbortController();
    blobs.fault = () => controller.abort();
    const first = on.bases.acquire(artifact, { ...access, signal: controller.signal });
    const second = on.bases.acquire(artifact, access);
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    await expect(second).resolves.toBeDefined();
  });

  test("a near relative is copied, so that only the difference is fetched", async () => {
    const on = await host();
    const same = Object.fromEntries(Array.from({ length: 60 }, (_, at) => [at, noise()]));
    const first = await version(on, same);
    const second = await version(on, { ...same, 7: noise(), 62: noise(), 9: Buffer.alloc(chunkBytes) });
    const base = await on.bases.acquire(first.artifact, access);
    const fetched = blobs.objects;
    let bytes = 0;
    const get = blobs.get.bind(blobs);
    blobs.get = async (key, options) => {
      const answer = await get(key, options);
      if (key.includes("/packs/")) bytes += answer.length;
      return answer;
    };
    const next = await on.bases.acquire(second.artifact, access);
    expect(readFileSync(next.path).equals(readFileSync(second.path))).toBe(true);
    expect(readFileSync(base.path).equals(readFileSync(first.path))).toBe(true);
    expect(bytes).toBeLessThan(4 * chunkBytes);
    expect(fetched.size).toBeGreaterThan(0);
  });

  test("another tenant's equal digest is not served from the cache", async () => {
    const on = await host();
    const { artifact } = await version(on, { 0: noise() });
    await on.bases.acquire(artifact, access);
    const stranger = { ...access, keys: tenantKeys(storageKeysOfTest()) };
    await expect(on.bases.acquire(artifact, stranger)).rejects.toMatchObject({ code: "manifest_corrupt" });
  });
});

describe("the bound", () => {
  test("evicts what was used longest ago and never what is held", async () => {
    const on = await host({ bytesMax: 3 * chunkBytes });
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => version(on, { 0: noise() })));
    const held = await on.bases.acquire(one!.artifact, access);
    const second = await on.bases.acquire(two!.artifact, access);
    second.release();
    await on.bases.acquire(three!.artifact, access);
    await on.bases.acquire((await version(on, { 0: noise() })).artifact, access);
    expect(on.bases.has(keys.orgId, one!.artifact.digest)).toBe(true);
    expect(on.bases.has(keys.orgId, two!.artifact.digest)).toBe(false);
    expect(existsSync(held.path)).toBe(true);
  });
});

describe.skipIf(!oracle)("advance", () => {
  async function written(on: Awaited<ReturnType<typeof host>>) {
    const first = await version(on, { 1: noise(), 5: noise() });
    const base = await on.bases.acquire(first.artifact, access);
    count += 1;
    const path = join(root, `overlay-${count}`);
    await createOverlay({ path, backing: base.path, sizeBytes });
    execFileSync("qemu-io", ["-f", "qcow2", "-c", "write -P 7 64k 4k", "-c", "write -z 320k 64k", "-c", "write -P 9 1m 100k", path]);
    const source = { kind: "overlay" as const, path, backing: base.path, lengthBytes: sizeBytes };
    const { artifact, manifest } = await on.artifacts.store({ source, parent: await base.manifest(), keys, blobs, signal: access.signal });
    const wanted = execFileSync("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", path, `${path}.raw`]) && readFileSync(`${path}.raw`);
    return { first, base, source, artifact, manifest, wanted };
  }

  test("moves the only holder's base on to the captured version without fetching anything", async () => {
    const on = await host();
    const { first, base, source, artifact, manifest, wanted } = await written(on);
    const gets = packGets();
    const done = on.bases.advance({ orgId: keys.orgId, digest: artifact.digest, manifest, from: base, source, keepOld: false });
    const next = await on.bases.acquire(artifact, access); // asked while it is under way
    await done;
    expect(readFileSync(next.path).equals(wanted)).toBe(true);
    expect(packGets()).toBe(gets);
    expect(on.bases.has(keys.orgId, first.artifact.digest)).toBe(false);
    // The old version can still be had; from the store.
    const old = await on.bases.acquire(first.artifact, access);
    expect(readFileSync(old.path).equals(readFileSync(first.path))).toBe(true);
  });

  test.each(["held by another", "wanted again"])("copies a base that is %s", async (why) => {
    const on = await host();
    const { first, base, source, artifact, manifest, wanted } = await written(on);
    const other = why === "held by another" ? await on.bases.acquire(first.artifact, access) : undefined;
    await on.bases.advance({ orgId: keys.orgId, digest: artifact.digest, manifest, from: base, source, keepOld: other === undefined });
    const next = await on.bases.acquire(artifact, access);
    expect(readFileSync(next.path).equals(wanted)).toBe(true);
    expect(readFileSync(base.path).equals(readFileSync(first.path))).toBe(true);
  });

  test("the captured version is the same when it is fetched from the store", async () => {
    const on = await host();
    const { artifact, wanted } = await written(on);
    const elsewhere = await host();
    const there = await elsewhere.bases.acquire(artifact, access);
    expect(readFileSync(there.path).equals(wanted)).toBe(true);
  });
});

describe("a new process", () => {
  test("finds what the old one had, and removes what it left half made", async () => {
    const on = await host();
    const { artifact } = await version(on, { 0: noise() });
    await on.bases.acquire(artifact, access);
    mkdirSync(join(on.directory, keys.orgId, `${"0".repeat(64)}.partial`));
    const again = await host({ directory: on.directory });
    expect(readdirSync(join(on.directory, keys.orgId))).toHaveLength(1);
    const gets = packGets();
    await again.bases.acquire(artifact, access);
    expect(packGets()).toBe(gets);
  });

  test("verifies after another boot: a torn file is made again, a sound one is used", async () => {
    const on = await host();
    const sound = await version(on, { 0: noise() });
    const torn = await version(on, { 0: noise() });
    const [base, other] = [await on.bases.acquire(sound.artifact, access), await on.bases.acquire(torn.artifact, access)];
    writeFileSync(join(on.directory, "boot-id"), "an earlier boot");
    truncateSync(other.path, 100);
    truncateSync(other.path, sizeBytes);
    const again = await host({ directory: on.directory });
    const gets = packGets();
    await again.bases.acquire(sound.artifact, access);
    expect(packGets()).toBe(gets);
    const repaired = await again.bases.acquire(torn.artifact, access);
    expect(packGets()).toBe(gets + 1);
    expect(readFileSync(repaired.path).equals(readFileSync(torn.path))).toBe(true);
    expect(existsSync(base.path)).toBe(true);
  });
});
