/** Images that somebody damaged, at random and on purpose: the reader says so or reads something, in bounded work, and never leaves the device. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Ext4Error } from "./block-device.ts";
import { makeImage, openImage } from "./images.fixture.ts";
import type { Ext4Tree } from "./tree.ts";

let images: Buffer[];
/** Blocks that hold something: damage elsewhere is seen by nobody. */
let used: number[][];
beforeAll(() => {
  const source = mkdtempSync(join(tmpdir(), "helmr-test-hostile-"));
  try {
    mkdirSync(join(source, "d/e"), { recursive: true });
    for (let index = 0; index < 300; index += 1) writeFileSync(join(source, "d", `f${index}`), "x".repeat(index));
    writeFileSync(join(source, "d/e/big"), Buffer.alloc(200_000, 1));
    symlinkSync("d/e", join(source, "l"));
    symlinkSync(`${"./".repeat(50)}d`, join(source, "long"));
    const make = (...options: string[]) => makeImage(source, { sizeBytes: 4 * 1024 * 1024, options: ["-i", "4096", ...options] });
    images = [
      make("-b", "4096"),
      make("-b", "1024"),
      make("-b", "1024", "-O", "^extents,^64bit"),
      make("-b", "4096", "-I", "512", "-O", "inline_data"),
    ];
    used = images.map(notEmpty);
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
});

function notEmpty(image: Buffer): number[] {
  const zero = Buffer.alloc(1024);
  return Array.from({ length: image.length / 1024 }, (_, block) => block).filter(
    (block) => !image.subarray(block * 1024, (block + 1) * 1024).equals(zero),
  );
}

/** Everything a request can reach, to a bounded depth; what is refused is counted. */
async function roam(tree: Ext4Tree): Promise<{ read: number; refused: number }> {
  const seen = { read: 0, refused: 0 };
  const attempt = async <T>(act: () => Promise<T>): Promise<T | undefined> => {
    try {
      seen.read += 1;
      return await act();
    } catch (error) {
      if (!(error instanceof Ext4Error)) throw error;
      seen.refused += 1;
      return undefined;
    }
  };
  for (const path of [".", "d", "d/e", "l", "long"]) {
    const page = await attempt(() => tree.list(path, { after: undefined, limit: 40 }));
    for (const entry of page?.entries ?? []) {
      await attempt(() => tree.stat(entry.path));
      const file = await attempt(() => tree.openFile(entry.path));
      if (file) await attempt(() => tree.readFile(file.inode, { start: 0, length: 65_536 }));
      if (file) await attempt(() => tree.readFile(file.inode, { start: Math.floor(file.entry.sizeBytes / 2), length: 65_536 }));
    }
  }
  return seen;
}

async function roamDamaged(image: Buffer): Promise<void> {
  const tree = await openImage(image).catch((error: unknown) => {
    if (!(error instanceof Ext4Error)) throw error;
    return undefined;
  });
  if (tree) await roam(tree);
}

const interesting = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xfe, 0xff));

describe("damage", () => {
  test("the undamaged images are read whole", async () => {
    for (const image of images) expect((await roam(await openImage(image))).read).toBeGreaterThan(100);
  });

  test("at random", { timeout: 120_000 }, async () => {
    const damage = fc.array(
      fc.record({ block: fc.nat(), at: fc.nat({ max: 1023 }), bytes: fc.array(interesting, { minLength: 1, maxLength: 8 }) }),
      {
        minLength: 1,
        maxLength: 24,
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 3 }), damage, async (which, changes) => {
        const image = Buffer.from(images[which] as Buffer);
        const blocks = used[which] as number[];
        for (const { block, at, bytes } of changes) {
          const start = (blocks[block % blocks.length] as number) * 1024 + at;
          for (const [offset, byte] of bytes.entries()) if (start + offset < image.length) image[start + offset] = byte;
        }
        await roamDamaged(image);
      }),
      { numRuns: 250 },
    );
  });

  test("every byte of the superblock and the first descriptors", { timeout: 120_000 }, async () => {
    const image = images[0] as Buffer;
    for (let at = 1024; at < 1024 + 1024; at += 1) {
      const damaged = Buffer.from(image);
      damaged[at] = (damaged[at] as number) ^ 0xff;
      await roamDamaged(damaged);
    }
    for (let at = 4096; at < 4096 + 64; at += 1) {
      const damaged = Buffer.from(image);
      damaged[at] = (damaged[at] as number) ^ 0xff;
      await roamDamaged(damaged);
    }
  });
});

describe("on purpose", () => {
  const rootTable = (image: Buffer) => image.readUInt32LE(4096 + 8) * 4096 + 256;

  test("a directory of 4 GiB of holes costs its budget, not more", async () => {
    const image = Buffer.from(images[0] as Buffer);
    image.writeUInt32LE(0xffff_f000, rootTable(image) + 4);
    await expect((await openImage(image)).list(".", { after: undefined, limit: 10 })).rejects.toMatchObject({ name: "Ext4Error" });
  });

  test("an extent tree that leads to itself ends", async () => {
    const image = Buffer.from(images[0] as Buffer);
    const root = rootTable(image) + 0x28;
    const block = image.readUInt32LE(root + 12 + 8);
    // An inner node of one level whose child is a copy of it in the directory's own block.
    image.writeUInt16LE(1, root + 6);
    image.writeUInt32LE(block, root + 12 + 4);
    image.writeUInt16LE(0, root + 12 + 8);
    image.copy(image, block * 4096, root, root + 60);
    await expect((await openImage(image)).list(".", { after: undefined, limit: 10 })).rejects.toMatchObject({ code: "corrupt" });
  });

  test("a directory that contains itself is walked as far as the path says", async () => {
    const image = makeImage(undefined, { debugfs: ["mkdir a", "unlink lost+found", "ln <2> a/up"] });
    const tree = await openImage(image);
    expect((await tree.stat("a/up/a/up/a")).kind).toBe("directory");
    await expect(tree.stat(`${"a/up/".repeat(60_000)}a`)).rejects.toMatchObject({ code: "too_much_work" });
  });

  test("names that are no names are not shown", async () => {
    const image = makeImage(undefined, { debugfs: ["mkdir good", "mkdir evil"] });
    const at = image.indexOf("evil");
    image.write("a/../"[0] as string, at);
    image.write("/..", at + 1);
    const { entries } = await (await openImage(image)).list(".", { after: undefined, limit: 10 });
    expect(entries.map(({ name }) => name)).toEqual(["good", "lost+found"]);
  });
});
