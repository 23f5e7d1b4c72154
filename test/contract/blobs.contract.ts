/** What every blob store must do (server/src/blobs/port.ts). An adapter joins by adding itself to `stores`. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFileStore } from "../../packages/server/src/blobs/fs.ts";
import { isSafeKey, isWorkerObject } from "../../packages/server/src/blobs/keys.ts";
import type { BlobStore } from "../../packages/server/src/blobs/port.ts";
import { signedGrants } from "../../packages/server/src/blobs/signed-grants.ts";
import { createApp } from "../../packages/server/src/http/app.ts";
import { addBlobRoutes } from "../../packages/server/src/http/worker/blobs.ts";
import { generateKeyRing } from "../../packages/server/src/key-ring.ts";
import { objectAccess } from "../../packages/server/src/operations/object-access.ts";
import { openKeys } from "../../packages/server/src/secrets.ts";

interface OpenedStore {
  store: BlobStore;
  /** Moves the clock that grants are checked with. */
  advance(ms: number): void;
  close(): Promise<void>;
}

const stores: Record<string, () => Promise<OpenedStore>> = {
  fs: async () => {
    const directory = await mkdtemp(join(tmpdir(), "helmr-blobs-"));
    let offset = 0;
    const listener = await freeServer();
    const grants = signedGrants(openKeys(generateKeyRing()), `http://127.0.0.1:${listener.port}`, () => Date.now() + offset);
    const store = await openFileStore(directory, grants);
    const app = createApp({ onFault: () => undefined, trustProxy: false });
    addBlobRoutes(app, objectAccess(store, grants));
    await app.listen({ host: "127.0.0.1", port: listener.port });
    return {
      store,
      advance: (ms) => void (offset += ms),
      async close() {
        await app.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};

async function freeServer(): Promise<{ port: number }> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return { port };
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe.each(Object.entries(stores))("the %s store", (_name, open) => {
  let opened: OpenedStore;
  let store: BlobStore;
  beforeAll(async () => {
    opened = await open();
    ({ store } = opened);
  });
  afterAll(() => opened.close());

  const key = () => `orgs/${randomUUID()}/packs/${randomUUID()}`;
  const read = async (of: string, range?: { start: number; endExclusive?: number }) => {
    const found = await store.get(of, range);
    if (!found) return undefined;
    const parts: Buffer[] = [];
    for await (const part of found.bytes) parts.push(part as Buffer);
    return Buffer.concat(parts);
  };

  test("what was put is there, whole and in ranges", async () => {
    const name = key();
    const bytes = randomBytes(300_000);
    expect(await store.put(name, Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]))).toEqual({
      outcome: "stored",
      sizeBytes: bytes.length,
    });
    expect(await store.head(name)).toEqual({ key: name, sizeBytes: bytes.length });
    expect(await read(name)).toEqual(bytes);
    expect(await read(name, { start: 100, endExclusive: 200 })).toEqual(bytes.subarray(100, 200));
    expect(await read(name, { start: 299_990 })).toEqual(bytes.subarray(299_990));
    expect(await read(name, { start: 10, endExclusive: 9_999_999 })).toEqual(bytes.subarray(10));
    expect(await read(name, { start: 300_000 })).toEqual(Buffer.alloc(0));
  });

  test("an object is written once: the same bytes again are fine, others are a conflict", async () => {
    const name = key();
    await store.put(name, Buffer.from("one"));
    expect(await store.put(name, Buffer.from("one"))).toEqual({ outcome: "exists", sizeBytes: 3 });
    expect(await store.put(name, Buffer.from("two"))).toEqual({ outcome: "conflict" });
    expect(await read(name)).toEqual(Buffer.from("one"));
  });

  test("of many writers at once one wins", async () => {
    const name = key();
    const results = await Promise.all(Array.from({ length: 8 }, (_, index) => store.put(name, Buffer.from(`writer ${index}`))));
    expect(results.map((result) => result.outcome).sort()).toEqual([...Array.from({ length: 7 }, () => "conflict"), "stored"]);
  });

  test("what is not as announced is refused and leaves nothing", async () => {
    const bytes = Buffer.from("twelve bytes");
    for (const [options, reason] of [
      [{ sizeBytes: 11 }, "size_mismatch"],
      [{ sizeBytes: 13 }, "size_mismatch"],
      [{ sizeBytesMax: 5 }, "too_large"],
      [{ sha256: sha256(Buffer.from("other")) }, "hash_mismatch"],
    ] as const) {
      const name = key();
      expect(await store.put(name, Readable.from([bytes]), options)).toEqual({ outcome: "refused", reason });
      expect(await store.head(name)).toBeUndefined();
    }
    const name = key();
    expect(await store.put(name, bytes, { sizeBytes: 12, sha256: sha256(bytes) })).toMatchObject({ outcome: "stored" });
  });

  test("a stream that breaks leaves nothing", async () => {
    const name = key();
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from("a part");
        throw new TypeError("the connection was lost");
      })(),
    );
    await expect(store.put(name, broken)).rejects.toThrow("the connection was lost");
    expect(await store.head(name)).toBeUndefined();
  });

  test("missing objects, deleting, listing", async () => {
    const name = key();
    expect(await read(name)).toBeUndefined();
    expect(await store.delete(name)).toBe(false);
    await store.put(name, new Uint8Array());
    const prefix = name.slice(0, name.lastIndexOf("/") + 1);
    const listed = async () => {
      const found = [];
      for await (const blob of store.list(prefix)) found.push(blob);
      return found;
    };
    expect(await listed()).toEqual([{ key: name, sizeBytes: 0, storedAtMs: expect.any(Number) }]);
    expect(Math.abs((await listed())[0]!.storedAtMs - Date.now())).toBeLessThan(600_000);
    expect(await store.delete(name)).toBe(true);
    expect(await listed()).toEqual([]);
  });

  describe("grants", () => {
    test("allow one method on one object, with ranges, for a while", async () => {
      const name = key();
      const bytes = randomBytes(100_000);
      const put = await store.grant("PUT", name, { ttlMs: 60_000, sizeBytes: bytes.length });
      expect((await fetch(put.url, { method: "PUT", headers: put.headers, body: bytes })).status).toBe(201);
      expect((await fetch(put.url, { method: "PUT", headers: put.headers, body: bytes })).status).toBe(200);
      expect((await fetch(put.url, { method: "PUT", body: randomBytes(bytes.length) })).status).toBe(409);
      expect((await fetch(put.url)).status).toBe(403);
      const get = await store.grant("GET", name, { ttlMs: 60_000 });
      expect(Buffer.from(await (await fetch(get.url)).arrayBuffer())).toEqual(bytes);
      const part = await fetch(get.url, { headers: { range: "bytes=10-19" } });
      expect([part.status, part.headers.get("content-range")]).toEqual([206, "bytes 10-19/100000"]);
      expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20));
      expect((await fetch(get.url, { headers: { range: "bytes=100000-" } })).status).toBe(416);
      expect((await fetch(get.url, { method: "PUT", body: bytes })).status).toBe(403);
    });

    test("are for the size they were given for", async () => {
      const name = key();
      const put = await store.grant("PUT", name, { ttlMs: 60_000, sizeBytes: 5 });
      expect((await fetch(put.url, { method: "PUT", body: Buffer.from("longer") })).status).toBe(400);
      expect((await fetch(put.url, { method: "PUT", body: Buffer.from("ab") })).status).toBe(400);
      expect(await store.head(name)).toBeUndefined();
    });

    test("cannot be changed into others", async () => {
      const [name, other] = [key(), key()];
      await store.put(name, Buffer.from("mine"));
      await store.put(other, Buffer.from("other"));
      const { url } = await store.grant("GET", name, { ttlMs: 1_000 });
      for (const forged of [
        url.replace(name, other),
        url.replace(/expires=\d+/, "expires=99999999999999"),
        url.replace(/signature=..../, "signature=AAAA"),
        url.split("?")[0] as string,
        url.replace(name, `${name}/../x`),
      ]) {
        expect([403, 404], forged).toContain((await fetch(forged)).status);
      }
      const missing = await store.grant("GET", key(), { ttlMs: 1_000 });
      expect((await fetch(missing.url)).status).toBe(404);
    });

    test("end", async () => {
      const name = key();
      await store.put(name, Buffer.from("x"));
      const { url } = await store.grant("GET", name, { ttlMs: 5_000 });
      opened.advance(6_000);
      expect((await fetch(url)).status).toBe(403);
      opened.advance(-6_000);
      expect((await fetch(url)).status).toBe(200);
    });
  });
});

describe("keys", () => {
  const org = randomUUID();
  const id = randomUUID();
  test.each([
    [`orgs/${org}/packs/${id}`, true],
    [`orgs/${org}/manifests/${id}`, true],
    [`orgs/${org}/sources/${id}`, false],
    [`orgs/${randomUUID()}/packs/${id}`, false],
    [`orgs/${org}/packs/${id}/x`, false],
    [`orgs/${org}/packs/../manifests/${id}`, false],
    [`orgs/${org}/packs/${id.toUpperCase()}`, false],
    ["", false],
  ])("a worker of the organization may name %s: %s", (name, allowed) => {
    expect(isWorkerObject(name, org)).toBe(allowed);
  });

  test.each(["../x", "a/../b", "/a/b", "a//b", "a", "a/.b", "a/b\0", `a/${"x".repeat(200)}`, "a/b\\c"])("%j is no key", (name) => {
    expect(isSafeKey(name)).toBe(false);
  });
});

test("what a crash left half-written is swept at the next start", async () => {
  const directory = await mkdtemp(join(tmpdir(), "helmr-blobs-"));
  const grants = signedGrants(openKeys(generateKeyRing()), "http://localhost");
  await openFileStore(directory, grants);
  await writeFile(join(directory, ".incoming", "half"), "x");
  await openFileStore(directory, grants);
  expect(await readdir(join(directory, ".incoming"))).toEqual([]);
  await rm(directory, { recursive: true, force: true });
});
