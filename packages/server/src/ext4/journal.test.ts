/**
 * File systems that were not left cleanly. Everything in which an image and a changed one differ is put into the journal of the first by debugfs: read through
 * the journal it must be the second one, and what e2fsck makes of it.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Ext4Error } from "./block-device.ts";
import { makeImage, openImage } from "./images.fixture.ts";
import type { Ext4Tree } from "./tree.ts";

const blockBytes = 4_096;
let place: string;
let source: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "helmr-test-journal-"));
  source = join(place, "source");
  mkdirSync(join(source, "d"), { recursive: true });
  for (let index = 0; index < 60; index += 1) writeFileSync(join(source, "d", `f${index}`), `${index} `.repeat(500));
  writeFileSync(join(place, "new"), "new content ".repeat(1_000));
  // The journal's own magic at the beginning of a block: it is blanked there.
  writeFileSync(join(place, "magic"), Buffer.concat([Buffer.from("c03b3998", "hex"), Buffer.alloc(9_000, 7)]));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const changes = (...more: string[]) => [
  "rm d/f3",
  `write ${join(place, "new")} d/f3`,
  "mkdir d/sub",
  `write ${join(place, "magic")} d/sub/magic`,
  ...more,
];

interface Variant {
  options?: readonly string[];
  checksums?: string;
}

/** The image with the differences in its journal, one transaction for each of the later ones. */
function journaled(variant: Variant, ...steps: string[][]): { unclean: Buffer; last: Buffer } {
  const options = [
    "-b",
    String(blockBytes),
    "-i",
    "8192",
    "-J",
    "size=4",
    "-U",
    "6d1c1b1e-7c1f-4f0e-9b37-0a4c6b8e5f10",
    ...(variant.options ?? []),
  ];
  const make = (debugfs: string[]) => makeImage(source, { sizeBytes: 32 * 1024 * 1024, options, debugfs });
  let before = make([]);
  const image = join(place, "unclean");
  writeFileSync(image, before);
  const commands = [`journal_open${variant.checksums === undefined ? "" : ` -c -v ${variant.checksums}`}`];
  for (const index of steps.keys()) {
    const after = make(steps.slice(0, index + 1).flat());
    const blocks: number[] = [];
    // Not the superblock: debugfs writes its own.
    for (let block = 1; block * blockBytes < before.length; block += 1)
      if (before.compare(after, block * blockBytes, (block + 1) * blockBytes, block * blockBytes, (block + 1) * blockBytes) !== 0)
        blocks.push(block);
    const content = join(place, `blocks-${index}`);
    writeFileSync(content, Buffer.concat(blocks.map((block) => after.subarray(block * blockBytes, (block + 1) * blockBytes))));
    commands.push(`journal_write -b ${blocks.join(",")} ${content}`);
    before = after;
  }
  const script = join(place, "script");
  writeFileSync(script, `${[...commands, "journal_close"].join("\n")}\n`);
  execFileSync("debugfs", ["-w", "-f", script, image], { stdio: ["ignore", "ignore", "pipe"] });
  return { unclean: readFileSync(image), last: before };
}

async function contents(tree: Ext4Tree, path = "."): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const { entries } = await tree.list(path, { after: undefined, limit: 500 });
  for (const entry of entries) {
    if (entry.kind === "directory") for (const [name, text] of await contents(tree, entry.path)) found.set(name, text);
    else
      found.set(
        entry.path,
        (await tree.readFile((await tree.openFile(entry.path)).inode, { start: 0, length: 1 << 20 })).toString("latin1"),
      );
  }
  return found;
}

describe("an unclean file system is read as it would be after recovery", () => {
  test.each<[string, Variant]>([
    ["plain", { options: ["-O", "^metadata_csum,^64bit"] }],
    ["with 64-bit numbers", { options: ["-O", "^metadata_csum,64bit"] }],
    ["with checksums of version 2", { checksums: "2" }],
    ["with checksums of version 3", { checksums: "3" }],
  ])("%s", async (_name, variant) => {
    const { unclean, last } = journaled(variant, changes(), ["rm d/f4", `write ${join(place, "new")} d/again`]);
    const through = await openImage(unclean);
    expect(through.replayed).toBe(true);
    const found = await contents(through);
    expect(found.get("d/f3")).toContain("new content");
    expect(found.get("d/sub/magic")?.startsWith("\xc0\x3b\x39\x98")).toBe(true);
    expect(found.has("d/f4")).toBe(false);
    expect(found).toEqual(await contents(await openImage(last)));
    const recovered = join(place, "recovered");
    writeFileSync(recovered, unclean);
    try {
      execFileSync("e2fsck", ["-fy", recovered], { stdio: "ignore" });
    } catch (error) {
      // 1: something was repaired, which is the point.
      expect((error as { status: number }).status).toBe(1);
    }
    const clean = await openImage(readFileSync(recovered));
    expect(clean.replayed).toBe(false);
    expect(await contents(clean)).toEqual(found);
  });

  test("a transaction whose commit was not written never happened", async () => {
    const variant = { options: ["-O", "^metadata_csum,^64bit"] };
    const whole = journaled(variant, changes(), ["rm d/f4"]);
    const first = journaled(variant, changes());
    const commits = [];
    for (let at = 0; at + 12 < whole.unclean.length; at += blockBytes)
      if (whole.unclean.readUInt32BE(at) === 0xc03b3998 && whole.unclean.readUInt32BE(at + 4) === 2) commits.push(at);
    expect(commits).toHaveLength(2);
    whole.unclean.fill(0, commits[1], commits[1]! + blockBytes);
    expect(await contents(await openImage(whole.unclean))).toEqual(await contents(await openImage(first.last)));
  });
});

test("a damaged journal is refused or read, and nothing else", { timeout: 60_000 }, async () => {
  const { unclean } = journaled({}, changes());
  const blocks: number[] = [];
  for (let at = 0; at + 12 < unclean.length; at += blockBytes) if (unclean.readUInt32BE(at) === 0xc03b3998) blocks.push(at);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 200 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 }),
      async (damage) => {
        const image = Buffer.from(unclean);
        for (const [block, at, byte] of damage) image[blocks[block % blocks.length]! + at] = byte;
        try {
          await contents(await openImage(image));
        } catch (error) {
          if (!(error instanceof Ext4Error)) throw error;
        }
      },
    ),
    { numRuns: 150 },
  );
});
