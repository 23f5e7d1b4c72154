/** The index of hashes against file systems that e2fsck has indexed, and against debugfs for the hash itself. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BoundedCache } from "../bounded-cache.ts";
import { Ext4Error } from "./block-device.ts";
import { nameHash } from "./hash-index.ts";
import { bufferDevice, hashedImage, makeImage } from "./images.fixture.ts";
import { Ext4Tree } from "./tree.ts";

const nameAt = (index: number) =>
  `${["file", "ünïcode 🚀", "a", "name with a longer beginning than one piece of the hash has"][index % 4]}-${index}`;
const count = 4_000;
let place: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "helmr-test-hashes-"));
  mkdirSync(join(place, "tree/many"), { recursive: true });
  for (let index = 0; index < count; index += 1) writeFileSync(join(place, "tree/many", nameAt(index)), "");
}, 60_000);
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Opened anew for each name, so that nothing is cached; bytes are counted. */
async function lookup(image: Buffer, name: string): Promise<{ found: boolean; bytes: number }> {
  let bytes = 0;
  const under = bufferDevice(image);
  const read = (at: number, length: number) => {
    bytes += length;
    return under.read(at, length);
  };
  const device = { ...under, read };
  const tree = await Ext4Tree.open(device, { mountPath: "/workspace", directories: new BoundedCache(1_000_000), cacheKey: "test" });
  try {
    await tree.stat(`many/${name}`);
    return { found: true, bytes };
  } catch (error) {
    if (error instanceof Ext4Error && error.code === "not_found") return { found: false, bytes };
    throw error;
  }
}

/** Bytes from 0x80 on count as they do on machines whose characters have no sign. */
function unsigned(image: Buffer): Buffer {
  image.writeUInt32LE((image.readUInt32LE(flagsAt) & ~3) | 2, flagsAt);
  return image;
}
const flagsAt = 1024 + 0x160;

let twoLevels: Buffer;

describe.each([
  ["one level", 0, ["-b", "4096"]],
  ["two levels", 1, ["-b", "1024"]],
  ["unsigned hashes", 0, ["-b", "4096", "-O", "^metadata_csum"]],
])("a directory with %s", (name, levels, options) => {
  let image: Buffer;
  beforeAll(() => {
    const plain = makeImage(join(place, "tree"), { sizeBytes: 16 * 1024 * 1024, options: [...options, "-i", "4096"] });
    image = hashedImage(name === "unsigned hashes" ? unsigned(plain) : plain);
    if (levels === 1) twoLevels = image;
    writeFileSync(join(place, "image"), image);
    const dump = execFileSync("debugfs", ["-R", "htree_dump /many", join(place, "image")], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 64 * 1024 * 1024,
    });
    expect(dump).toContain(`Indirect levels: ${levels}`);
  }, 60_000);

  test("has each of its names, for a few blocks", async () => {
    let most = 0;
    for (let index = 0; index < count; index += 7) {
      const { found, bytes } = await lookup(image, nameAt(index));
      expect(found, nameAt(index)).toBe(true);
      most = Math.max(most, bytes);
    }
    // The directory has more than 200,000 bytes. A name whose hash is the last of a node may still cost all of it.
    expect((await lookup(image, nameAt(1))).bytes).toBeLessThan(50_000);
    expect(most).toBeLessThan(800_000);
  });

  test("and no other", async () => {
    for (let index = 0; index < 200; index += 1) expect((await lookup(image, `${nameAt(index)}x`)).found).toBe(false);
  });
});

test("a damaged index leads to the name, to none, or to an error, in bounded work", { timeout: 120_000 }, async () => {
  const image = Buffer.from(twoLevels);
  writeFileSync(join(place, "image"), image);
  const told = execFileSync("debugfs", ["-R", "blocks /many", join(place, "image")], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const blocks = told.trim().split(/\s+/).map(Number);
  expect(blocks.length).toBeGreaterThan(100);
  // The root and the nodes below it are few: damage goes there as often as into the leaves.
  const where = fc.oneof(
    fc.constant(0),
    fc.integer({ min: blocks.length - 4, max: blocks.length - 1 }),
    fc.nat({ max: blocks.length - 1 }),
  );
  const interesting = fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff));
  const near = fc.oneof(fc.nat({ max: 64 }), fc.nat({ max: 1_023 }));
  const damage = fc.array(fc.record({ where, at: near, bytes: fc.array(interesting, { minLength: 1, maxLength: 8 }) }), {
    minLength: 1,
    maxLength: 6,
  });
  const seen = { found: 0, missed: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(damage, fc.nat({ max: count - 1 }), async (list, first) => {
      const undo: [number, number][] = [];
      for (const { where: block, at, bytes } of list)
        for (const [offset, byte] of bytes.entries()) {
          const place = (blocks[block] as number) * 1_024 + Math.min(at + offset, 1_023);
          undo.unshift([place, image[place] as number]);
          image[place] = byte;
        }
      try {
        for (let step = 0; step < 8; step += 1) {
          const { found } = await lookup(image, nameAt((first + step * 501) % count));
          seen[found ? "found" : "missed"] += 1;
        }
      } catch (error) {
        if (!(error instanceof Ext4Error)) throw error;
        seen.refused += 1;
      } finally {
        for (const [place, byte] of undo) image[place] = byte;
      }
    }),
    { numRuns: 300 },
  );
  expect(seen.found).toBeGreaterThan(100);
  expect(seen.missed + seen.refused).toBeGreaterThan(10);
});

test("the hash is the one that debugfs computes", () => {
  const seed = "01234567-89ab-cdef-0123-456789abcdef";
  const bytes = Buffer.from(seed.replaceAll("-", ""), "hex");
  const words = [0, 4, 8, 12].map((at) => bytes.readUInt32LE(at)) as [number, number, number, number];
  const names = ["a", "lost+found", "x".repeat(31), "x".repeat(32), "y".repeat(33), "z".repeat(255), "ünïcode", "ÿÿÿÿ"];
  for (const name of names) {
    const told = (algorithm: string) =>
      execFileSync("debugfs", ["-R", `dx_hash -h ${algorithm} -s ${seed} ${name}`], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
    expect(told("half_md4"), name).toContain(`is 0x${nameHash(Buffer.from(name), { seed: words, signed: true }).toString(16)} `);
  }
});
