import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ChunkManifest,
  chunkIdBytes,
  chunkPlainBytes,
  chunkPosition,
  decodeManifest,
  emptyManifest,
  encodeManifest,
  encodeManifestContent,
  ManifestError,
} from "./chunk-manifest.ts";

const chunkBytes = 65_536;

/** Any manifest our own writers could make: packs are filled in order, with gaps where chunks died. */
const manifests: fc.Arbitrary<ChunkManifest> = fc
  .record({
    indexes: fc.uniqueArray(fc.nat(5_000), { maxLength: 200 }),
    packs: fc.array(fc.record({ id: fc.uuid(), keyId: fc.constantFrom("k1", "k2", "schlüssel") }), {
      minLength: 1,
      maxLength: 8,
    }),
    seed: fc.array(fc.record({ pack: fc.nat(7), gap: fc.nat(99), sealed: fc.integer({ min: 16, max: 70_000 }), codec: fc.nat(1) }), {
      minLength: 200,
      maxLength: 200,
    }),
    tail: fc.nat(chunkBytes - 1),
  })
  .map(({ indexes, packs, seed, tail }) => {
    const count = indexes.length;
    const manifest: ChunkManifest = {
      lengthBytes: 5_001 * chunkBytes + tail,
      chunkBytes,
      indexes: Uint32Array.from(indexes.sort((a, b) => a - b)),
      ids: Uint8Array.from({ length: count * chunkIdBytes }, (_, at) => (at * 31) & 255),
      packs: packs.map((pack) => ({ ...pack, sizeBytes: 0 })),
      pack: new Uint32Array(count),
      offset: new Uint32Array(count),
      sealedBytes: new Uint32Array(count),
      codec: new Uint8Array(count),
    };
    for (let at = 0; at < count; at += 1) {
      const row = seed[at]!;
      const number = row.pack % packs.length;
      const pack = manifest.packs[number]!;
      manifest.pack[at] = number;
      manifest.offset[at] = pack.sizeBytes + row.gap;
      manifest.sealedBytes[at] = row.sealed;
      manifest.codec[at] = row.codec;
      pack.sizeBytes += row.gap + row.sealed;
    }
    return manifest;
  });

describe("chunk manifest", () => {
  test("decoding gives back what was encoded", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  test("the content section does not depend on where chunks lie", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const moved = { ...manifest, packs: [...manifest.packs].reverse(), codec: manifest.codec.map((codec) => 1 - codec) };
        expect(encodeManifestContent(moved)).toEqual(encodeManifestContent(manifest));
      }),
    );
  });

  test("an empty manifest is a device of zeros", () => {
    const decoded = decodeManifest(encodeManifest(emptyManifest(10 * 2 ** 30, chunkBytes)));
    expect(decoded.lengthBytes).toBe(10 * 2 ** 30);
    expect(chunkPosition(decoded, 0)).toBe(-1);
  });

  test("chunkPosition finds every chunk and nothing else", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const present = new Map([...manifest.indexes].map((index, position) => [index, position]));
        for (let index = 0; index < 5_001; index += 1) expect(chunkPosition(manifest, index)).toBe(present.get(index) ?? -1);
      }),
      { numRuns: 20 },
    );
  });

  test("the last chunk is as short as the device says", () => {
    const manifest = emptyManifest(chunkBytes * 2 + 5, chunkBytes);
    expect([0, 1, 2].map((index) => chunkPlainBytes(manifest, index))).toEqual([chunkBytes, chunkBytes, 5]);
  });
});

describe("hostile manifests", () => {
  const decode = (bytes: Uint8Array) => {
    try {
      return decodeManifest(bytes);
    } catch (error) {
      // Anything else than our own error would be a crash or an allocation that was not bounded.
      expect(error).toBeInstanceOf(ManifestError);
      return undefined;
    }
  };

  test("random bytes never decode to anything but a ManifestError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decode(bytes)).toBeUndefined();
      }),
    );
  });

  test("a manifest with changed bytes is refused or stays inside its bounds", () => {
    fc.assert(
      fc.property(manifests, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (manifest, changes) => {
        const bytes = encodeManifest(manifest);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const decoded = decode(bytes);
        if (decoded === undefined) return;
        for (let at = 0; at < decoded.indexes.length; at += 1) {
          const pack = decoded.packs[decoded.pack[at]!]!;
          expect(decoded.offset[at]! + decoded.sealedBytes[at]!).toBeLessThanOrEqual(pack.sizeBytes);
          expect(decoded.indexes[at]! * decoded.chunkBytes).toBeLessThan(decoded.lengthBytes);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("every truncation is refused", () => {
    const [manifest] = fc.sample(manifests, { numRuns: 1, seed: 4 });
    const bytes = encodeManifest(manifest!);
    for (let length = 0; length < bytes.length; length += 1) expect(decode(bytes.subarray(0, length))).toBeUndefined();
  });

  test("a count that the bytes do not hold is refused before anything is allocated for it", () => {
    const bytes = encodeManifest(emptyManifest(2 ** 40, chunkBytes));
    new DataView(bytes.buffer).setUint32(16, 4_000_000, true);
    expect(() => decodeManifest(bytes)).toThrow(/early/);
    new DataView(bytes.buffer).setUint32(16, 0xffff_ffff, true);
    expect(() => decodeManifest(bytes)).toThrow(/limit is 4194304/);
  });
});
