/** Manifests and packs that somebody damaged, or that a worker made on purpose: refused, or read as what was stored; never other bytes, never work without bound. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChunkManifest, decodeManifest, encodeManifest, encodeManifestContent } from "@helmr/protocol/worker";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFileStore } from "../blobs/fs.ts";
import type { BlobStore } from "../blobs/port.ts";
import { signedGrants } from "../blobs/signed-grants.ts";
import { BoundedCache } from "../bounded-cache.ts";
import { generateKeyRing } from "../key-ring.ts";
import { openKeys } from "../secrets.ts";
import { ChunkDevice, type FetchBytes } from "./chunk-device.ts";
import { openManifest, type OpeningKeys, StoredBytesError } from "./open-chunks.ts";
import { DeviceStore } from "./sealed-store.fixture.ts";

const orgId = "01980a00-0000-7000-8000-000000000011";
const keys = openKeys(generateKeyRing());
const opening: OpeningKeys = { orgId, idKey: keys.storageKeys(orgId).idKey, content: keys.storageKeys(orgId).contentKeys };
const content = Buffer.concat([randomBytes(150_000), Buffer.alloc(300_000), Buffer.from("text ".repeat(20_000))]);
const digestOf = (manifest: ChunkManifest) => `sha256:${createHash("sha256").update(encodeManifestContent(manifest)).digest("hex")}`;
let place: string;
let blobs: BlobStore;
let store: DeviceStore;
let artifact: { id: string; digest: string };
let sealed: Buffer;
let plain: Uint8Array;

async function object(key: string): Promise<Buffer> {
  const found = await blobs.get(key);
  if (found === undefined) throw new StoredBytesError("missing", `There is no ${key}`);
  const parts: Buffer[] = [];
  for await (const part of found.bytes) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** As the main thread fetches them (file-thread.ts). */
const packs = new Map<string, Buffer>();
const fetchBytes: FetchBytes = async (key, { start, end }) => {
  if (!packs.has(key)) packs.set(key, await object(key));
  const bytes = packs.get(key)!.subarray(start, end);
  if (bytes.length !== end - start) throw new StoredBytesError("corrupt", `${key} gave ${bytes.length} bytes`);
  return bytes;
};

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "helmr-test-hostile-chunks-"));
  blobs = await openFileStore(place, signedGrants(keys, "http://localhost"));
  store = new DeviceStore({ blobs, keys, orgId });
  const stored = await store.store(content, { chunkBytes: 16_384, packBytesMax: 60_000 });
  artifact = { id: stored.artifact_id, digest: stored.digest };
  sealed = await object(stored.manifest_key);
  plain = encodeManifest(openManifest(opening, artifact, sealed));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

function expectRefused(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(StoredBytesError);
    return;
  }
  expect.fail("These bytes are no manifest");
}

/** Every byte of a device is what was stored, or an error. */
async function expectHonest(manifest: ChunkManifest): Promise<number> {
  const device = new ChunkDevice({ manifest, keys: opening, fetch: fetchBytes, cache: new BoundedCache(1024 * 1024) });
  let read = 0;
  for (let at = 0; at + 4_096 <= Math.min(content.length, manifest.lengthBytes); at += 12_288) {
    const bytes = await device.read(at, 4_096).catch((error: unknown) => {
      expect(error).toBeInstanceOf(StoredBytesError);
      return undefined;
    });
    if (bytes !== undefined && !bytes.equals(Buffer.alloc(4_096))) read += 1;
  }
  return read;
}

const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 });
const changed = (bytes: Uint8Array, list: readonly (readonly [number, number])[]) => {
  const copy = Buffer.from(bytes);
  for (const [at, value] of list) copy[at % copy.length] = value;
  return copy;
};

describe("a sealed manifest", () => {
  test("is read as it was stored", async () => {
    expect(await expectHonest(openManifest(opening, artifact, sealed))).toBeGreaterThan(10);
  });

  test("that was changed or cut anywhere does not open", () => {
    fc.assert(
      fc.property(changes, (list) => {
        const damaged = changed(sealed, list);
        if (!damaged.equals(sealed)) expectRefused(() => openManifest(opening, artifact, damaged));
      }),
      { numRuns: 300 },
    );
    for (let length = 0; length < sealed.length; length += 7)
      expectRefused(() => openManifest(opening, artifact, sealed.subarray(0, length)));
  });

  test("of another artifact, another digest or another organization does not open", () => {
    expectRefused(() => openManifest(opening, { ...artifact, id: randomUUID() }, sealed));
    expectRefused(() => openManifest(opening, { ...artifact, digest: `sha256:${"0".repeat(64)}` }, sealed));
    expectRefused(() => openManifest({ ...opening, orgId: randomUUID() }, artifact, sealed));
    expectRefused(() => openManifest({ ...opening, content: new Map() }, artifact, sealed));
  });

  test("that holds anything opens as a manifest whose numbers hold, or not at all; its chunks are verified", async () => {
    let opened = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(changes, fc.uint8Array({ maxLength: 300 })), async (input) => {
        const hostile = input instanceof Uint8Array ? input : changed(plain, input);
        const own = store.sealManifest(artifact.id, hostile);
        let digest = artifact.digest;
        try {
          digest = digestOf(decodeManifest(hostile));
        } catch {
          // Not even the plain form is one.
        }
        try {
          const manifest = openManifest(opening, { id: artifact.id, digest }, own);
          opened += 1;
          await expectHonest(manifest);
        } catch (error) {
          expect(error).toBeInstanceOf(StoredBytesError);
        }
      }),
      { numRuns: 400 },
    );
    expect(opened).toBeGreaterThan(20);
  });

  test("that unpacks to more than any manifest may is refused before it is unpacked", () => {
    expectRefused(() => openManifest(opening, artifact, store.sealManifest(artifact.id, Buffer.alloc(256 * 1024 * 1024))));
  });
});

describe("a pack", () => {
  test("that was changed gives the bytes that were stored or an error", async () => {
    const manifest = openManifest(opening, artifact, sealed);
    await expectHonest(manifest);
    const whole = new Map(packs);
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        for (const [key, bytes] of whole) packs.set(key, changed(bytes, list));
        const device = new ChunkDevice({ manifest, keys: opening, fetch: fetchBytes, cache: new BoundedCache(0) });
        for (let at = 0; at + 8_192 <= content.length; at += 16_384) {
          const bytes = await device.read(at, 8_192).catch((error: unknown) => {
            expect(error).toBeInstanceOf(StoredBytesError);
            return undefined;
          });
          if (bytes !== undefined) expect(bytes.equals(content.subarray(at, at + 8_192))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
    for (const [key, bytes] of whole) packs.set(key, bytes);
  });
});
