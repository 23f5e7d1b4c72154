import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type ChunkManifest, manifestObjectKey, type NewArtifact, packObjectKey } from "@helmr/protocol/worker";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dataExtents } from "../disks/data-extents.ts";
import { MemoryBlobs } from "../testing/memory-blobs.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { ArtifactStore, chunkBytes } from "./artifact-store.ts";
import { BlobError } from "./blob-port.ts";
import { ChunkWorker } from "./chunk-worker.ts";
import { PackCache } from "./pack-cache.ts";
import { ChunkError, type TenantKeys, tenantKeys } from "./sealing.ts";

const directory = temporaryDirectory("artifacts");
const chunks = new ChunkWorker();
let count = 0;
afterAll(() => chunks.close());

function freshPath(): string {
  count += 1;
  return join(directory, `file-${count}`);
}

/** A file of `length` with the given parts written, the rest holes. */
function sparse(length: number, parts: { at: number; bytes: Uint8Array }[]): string {
  const path = freshPath();
  writeFileSync(path, "");
  truncateSync(path, length);
  const fd = openSync(path, "r+");
  for (const { at, bytes } of parts) writeSync(fd, bytes, 0, Math.min(bytes.length, length - at), at);
  closeSync(fd);
  return path;
}

interface Host {
  store: ArtifactStore;
  packs: PackCache;
  staging: string;
}

async function host(bytesMax = 1 << 30): Promise<Host> {
  const root = freshPath();
  const staging = join(root, "staging");
  mkdirSync(staging, { recursive: true });
  const packs = await PackCache.open(join(root, "packs"), bytesMax);
  return { store: new ArtifactStore({ chunks, packs, staging }), packs, staging };
}

const signal = AbortSignal.timeout(60_000);

async function storeFile(on: Host, path: string, options: { keys: TenantKeys; blobs: MemoryBlobs; parent?: ChunkManifest }) {
  const bytes = readFileSync(path).length;
  const source = { kind: "raw" as const, path, lengthBytes: bytes, extents: await dataExtents(path) };
  return on.store.store({ source, ...options, signal });
}

async function loadFile(
  on: Host,
  artifact: NewArtifact,
  options: { keys: TenantKeys; blobs: MemoryBlobs; have?: { path: string; manifest: ChunkManifest } },
) {
  const manifest = await on.store.manifest(artifact, { ...options, signal });
  const path = freshPath();
  writeFileSync(path, options.have === undefined ? "" : readFileSync(options.have.path));
  await on.store.load({ manifest, path, have: options.have?.manifest, keys: options.keys, blobs: options.blobs, signal });
  return { path, manifest };
}

describe("storing and loading", () => {
  let on: Host;
  beforeAll(async () => {
    on = await host();
  });

  test("any file comes back byte for byte, also from another host, and again as a change of its parent", async () => {
    const part = fc.record({
      chunk: fc.nat(40),
      shift: fc.nat(chunkBytes - 1),
      fill: fc.nat(255),
      length: fc.integer({ min: 1, max: 3 * chunkBytes }),
    });
    const content = fc.record({
      length: fc.integer({ min: 1, max: 45 * chunkBytes }),
      parts: fc.array(part, { maxLength: 8 }),
      noise: fc.boolean(),
    });
    const write = ({
      length,
      parts,
      noise,
    }: {
      length: number;
      parts: { chunk: number; shift: number; fill: number; length: number }[];
      noise: boolean;
    }) =>
      sparse(
        length,
        parts
          .map((one) => ({
            at: one.chunk * chunkBytes + one.shift,
            bytes: noise ? randomBytes(one.length) : Buffer.alloc(one.length, one.fill),
          }))
          .filter((one) => one.at < length),
      );
    await fc.assert(
      fc.asyncProperty(content, content, async (first, second) => {
        const keys = tenantKeys(storageKeysOfTest());
        const blobs = new MemoryBlobs();
        const parentPath = write(first);
        const parent = await storeFile(on, parentPath, { keys, blobs });
        const childPath = write(second);
        // The whole child counts as changed, as far as its data and its parent's go.
        const source = { kind: "raw" as const, path: childPath, lengthBytes: second.length, extents: [{ start: 0, end: second.length }] };
        const child = await on.store.store({ source, parent: parent.manifest, keys, blobs, signal });
        const elsewhere = await host();
        const plain = await loadFile(elsewhere, child.artifact, { keys, blobs });
        expect(readFileSync(plain.path).equals(readFileSync(childPath))).toBe(true);
        const grown = await loadFile(elsewhere, child.artifact, { keys, blobs, have: { path: parentPath, manifest: parent.manifest } });
        expect(readFileSync(grown.path).equals(readFileSync(childPath))).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test("equal content has an equal digest, other keys another one, and zeros cost nothing", async () => {
    const keys = tenantKeys(storageKeysOfTest());
    const blobs = new MemoryBlobs();
    const bytes = randomBytes(chunkBytes);
    const explicitZeros = sparse(20 * chunkBytes, [
      { at: 0, bytes },
      { at: 5 * chunkBytes, bytes: Buffer.alloc(10 * chunkBytes) },
    ]);
    const holes = sparse(20 * chunkBytes, [{ at: 0, bytes }]);
    const one = await storeFile(on, explicitZeros, { keys, blobs });
    const two = await storeFile(on, holes, { keys, blobs });
    expect(two.artifact.digest).toBe(one.artifact.digest);
    expect(one.manifest.indexes.length).toBe(1);
    const others = await storeFile(on, holes, { keys: tenantKeys(storageKeysOfTest()), blobs });
    expect(others.artifact.digest).not.toBe(one.artifact.digest);
  });

  test("what the parent has, what is twice in the device, and what was learned is not stored again", async () => {
    const keys = tenantKeys(storageKeysOfTest());
    const blobs = new MemoryBlobs();
    const shared = randomBytes(2 * chunkBytes);
    const first = await storeFile(on, sparse(10 * chunkBytes, [{ at: 0, bytes: shared }]), { keys, blobs });
    const path = sparse(10 * chunkBytes, [
      { at: 0, bytes: shared },
      { at: 4 * chunkBytes, bytes: shared },
    ]);
    const child = await storeFile(on, path, { keys, blobs, parent: first.manifest });
    expect(child.artifact.packs).toHaveLength(2);
    expect(child.newBytes).toBeGreaterThan(2 * chunkBytes); // the second copy is at other places of the device, not of the parent
    await on.store.learn(keys.orgId, first.manifest);
    const again = await storeFile(on, path, { keys, blobs });
    expect(again.artifact.digest).toBe(child.artifact.digest);
    expect(again.newBytes).toBeLessThan(1024);
    const other = tenantKeys(storageKeysOfTest());
    const foreign = await storeFile(on, path, { keys: other, blobs });
    expect(foreign.newBytes).toBeGreaterThan(2 * chunkBytes);
  });

  test("what was learned under a key that is being rotated away is stored again", async () => {
    const old = tenantKeys(storageKeysOfTest());
    const rotated: TenantKeys = { ...old, current: "k2", content: new Map([...old.content, ["k2", randomBytes(32)]]) };
    const blobs = new MemoryBlobs();
    const path = sparse(4 * chunkBytes, [{ at: 0, bytes: randomBytes(chunkBytes) }]);
    const first = await storeFile(on, path, { keys: old, blobs });
    await on.store.learn(old.orgId, first.manifest);
    const again = await storeFile(on, path, { keys: rotated, blobs });
    expect(again.artifact.digest).toBe(first.artifact.digest);
    expect(again.manifest.packs.map((pack) => pack.keyId)).toEqual(["k2"]);
  });

  test("nothing of the content can be found in what is stored", async () => {
    const keys = tenantKeys(storageKeysOfTest());
    const blobs = new MemoryBlobs();
    const secret = Buffer.from("correct horse battery staple");
    const noise = randomBytes(chunkBytes);
    secret.copy(noise, 1000);
    await storeFile(on, sparse(4 * chunkBytes, [{ at: 0, bytes: noise }]), { keys, blobs });
    for (const object of blobs.objects.values()) expect(Buffer.from(object).includes(secret)).toBe(false);
  });

  test("a chain of small captures stays in a bounded number of packs and keeps its bytes", async () => {
    const keys = tenantKeys(storageKeysOfTest());
    const blobs = new MemoryBlobs();
    const length = 400 * chunkBytes;
    const path = sparse(length, []);
    const fd = openSync(path, "r+");
    let parent: ChunkManifest | undefined;
    let most = 0;
    for (let round = 0; round < 300; round += 1) {
      const at = (round % 400) * chunkBytes;
      writeSync(fd, randomBytes(100), 0, 100, at);
      const source = { kind: "raw" as const, path, lengthBytes: length, extents: [{ start: at, end: at + 100 }] };
      const stored = await on.store.store({ source, parent, keys, blobs, signal });
      parent = stored.manifest;
      most = Math.max(most, parent.packs.length);
    }
    closeSync(fd);
    expect(most).toBeLessThanOrEqual(258);
    expect(parent!.packs.length).toBeLessThan(200);
    const source = { kind: "raw" as const, path, lengthBytes: length, extents: [{ start: 0, end: length }] };
    const last = await on.store.store({ source, parent, keys, blobs, signal });
    const back = await loadFile(await host(), last.artifact, { keys, blobs });
    expect(readFileSync(back.path).equals(readFileSync(path))).toBe(true);
  });
});

describe("faults", () => {
  const keys = tenantKeys(storageKeysOfTest());
  const content = randomBytes(40 * chunkBytes);

  async function stored() {
    const on = await host();
    const blobs = new MemoryBlobs();
    const path = sparse(60 * chunkBytes, [{ at: 7 * chunkBytes, bytes: content }]);
    const { artifact, manifest } = await storeFile(on, path, { keys, blobs });
    return { on, blobs, path, artifact, manifest };
  }

  test("an upload that fails fails the store with its error, and nothing stays staged", async () => {
    const on = await host();
    const blobs = new MemoryBlobs();
    blobs.fault = (operation, key) => {
      if (operation === "put" && key.includes("/packs/")) throw new BlobError("blob_refused", "No room");
    };
    const path = sparse(200 * chunkBytes, [{ at: 0, bytes: randomBytes(200 * chunkBytes) }]);
    await expect(storeFile(on, path, { keys, blobs })).rejects.toMatchObject({ code: "blob_refused" });
    expect(readdirSync(on.staging)).toEqual([]);
  });

  test("cancelling stops the work and removes what was staged", async () => {
    const on = await host();
    const blobs = new MemoryBlobs();
    const controller = new AbortController();
    blobs.fault = () => controller.abort();
    const path = sparse(400 * chunkBytes, [{ at: 0, bytes: randomBytes(400 * chunkBytes) }]);
    const source = { kind: "raw" as const, path, lengthBytes: 400 * chunkBytes, extents: await dataExtents(path) };
    await expect(on.store.store({ source, keys, blobs, signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(readdirSync(on.staging)).toEqual([]);
  });

  test("a corrupt pack in the store is found and nothing of the chunk is used", async () => {
    const { blobs, artifact } = await stored();
    for (const [key, bytes] of blobs.objects) if (key.includes("/packs/")) bytes[bytes.length >> 1]! ^= 1;
    await expect(loadFile(await host(), artifact, { keys, blobs })).rejects.toMatchObject({ code: "chunk_corrupt" });
  });

  test("a corrupt pack in the local cache is dropped and fetched again", async () => {
    const { on, blobs, artifact, path } = await stored();
    const cached = join(on.staging, "..", "packs");
    for (const name of readdirSync(cached)) {
      const bytes = readFileSync(join(cached, name));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(cached, name), bytes);
    }
    const back = await loadFile(on, artifact, { keys, blobs });
    expect(readFileSync(back.path).equals(readFileSync(path))).toBe(true);
    expect(blobs.gets.filter((key) => key.includes("/packs/")).length).toBeGreaterThan(0);
  });

  test("a sound local cache needs no packs from the store", async () => {
    const { on, blobs, artifact, path } = await stored();
    const back = await loadFile(on, artifact, { keys, blobs });
    expect(readFileSync(back.path).equals(readFileSync(path))).toBe(true);
    expect(blobs.gets.filter((key) => key.includes("/packs/"))).toEqual([]);
  });

  test("a manifest that was changed, swapped, or belongs to another key is refused", async () => {
    const { on, blobs, artifact } = await stored();
    const key = artifact.manifest_key;
    const good = blobs.objects.get(key)!;
    const manifest = (ref: NewArtifact, by = keys) => on.store.manifest(ref, { keys: by, blobs, signal });
    for (let at = 0; at < good.length; at += 7) {
      const bad = good.slice();
      bad[at]! ^= 0x40;
      blobs.objects.set(key, bad);
      await expect(manifest(artifact), `byte ${at}`).rejects.toBeInstanceOf(ChunkError);
    }
    const other = await storeFile(on, sparse(chunkBytes, [{ at: 0, bytes: Buffer.from("x") }]), { keys, blobs });
    blobs.objects.set(key, blobs.objects.get(other.artifact.manifest_key)!);
    await expect(manifest(artifact)).rejects.toMatchObject({ code: "manifest_corrupt" });
    blobs.objects.set(key, good);
    await expect(manifest({ ...artifact, digest: other.artifact.digest })).rejects.toMatchObject({ code: "manifest_corrupt" });
    const stranger = tenantKeys({ ...storageKeysOfTest(), org_id: keys.orgId });
    await expect(manifest(artifact, stranger)).rejects.toMatchObject({ code: "manifest_corrupt" });
    await expect(manifest(artifact, { ...keys, content: new Map() })).rejects.toMatchObject({ code: "key_missing" });
    await expect(manifest(artifact)).resolves.toBeDefined();
  });

  test("after a rotation old chunks open with the old key and new ones are sealed with the new", async () => {
    const { on, blobs, manifest, path } = await stored();
    const rotated: TenantKeys = { ...keys, current: "k2", content: new Map([...keys.content, ["k2", randomBytes(32)]]) };
    const fd = openSync(path, "r+");
    writeSync(fd, "changed", 0, "utf8");
    closeSync(fd);
    const next = await storeFile(on, path, { keys: rotated, blobs, parent: manifest });
    expect(new Set(next.manifest.packs.map((pack) => pack.keyId))).toEqual(new Set(["k1", "k2"]));
    const back = await loadFile(await host(), next.artifact, { keys: rotated, blobs });
    expect(readFileSync(back.path).equals(readFileSync(path))).toBe(true);
  });

  test("a missing pack is an error of its own", async () => {
    const { blobs, artifact } = await stored();
    for (const key of blobs.objects.keys()) if (key.includes("/packs/")) blobs.objects.delete(key);
    await expect(loadFile(await host(), artifact, { keys, blobs })).rejects.toMatchObject({ code: "blob_missing" });
  });

  test("names of objects carry the tenant", async () => {
    const { blobs, artifact } = await stored();
    const keysOfPacks = artifact.packs.map((pack) => packObjectKey(keys.orgId, pack.pack_id));
    expect([...blobs.objects.keys()].sort()).toEqual([...keysOfPacks, manifestObjectKey(keys.orgId, artifact.artifact_id)].sort());
  });
});

describe("the pack cache", () => {
  test("stays within its bound, oldest out first, and comes back after a restart without what was half written", async () => {
    const root = freshPath();
    const cache = await PackCache.open(root, 250);
    const ids = Array.from({ length: 4 }, () => crypto.randomUUID());
    for (const id of ids.slice(0, 2)) await cache.write(id, new Uint8Array(100).fill(7));
    await cache.read(ids[0]!, { start: 0, end: 1 }); // used again, so the other one goes
    await cache.write(ids[2]!, new Uint8Array(100));
    expect(cache.sizeBytes).toBe(200);
    expect(await cache.read(ids[1]!, { start: 0, end: 1 })).toBeUndefined();
    expect(await cache.read(ids[0]!, { start: 10, end: 12 })).toEqual(Uint8Array.of(7, 7));
    expect(await cache.read(ids[0]!, { start: 90, end: 101 })).toBeUndefined();
    writeFileSync(join(root, `${ids[3]}.partial`), "half");
    const again = await PackCache.open(root, 250);
    expect(readdirSync(root).sort()).toEqual([ids[0]!, ids[2]!].sort());
    expect(again.sizeBytes).toBe(200);
  });
});
