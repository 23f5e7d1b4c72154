/** The reader against real file systems: whatever mke2fs wrote from a directory must be read back from its image. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Ext4Error } from "./block-device.ts";
import { makeImage, openImage } from "./images.fixture.ts";
import type { Ext4Tree, TreeEntry } from "./tree.ts";

let source: string;
beforeAll(() => {
  source = mkdtempSync(join(tmpdir(), "helmr-test-tree-"));
  const at = (...parts: string[]) => join(source, ...parts);
  mkdirSync(at("deep/er/still"), { recursive: true });
  mkdirSync(at("many"));
  mkdirSync(at("empty"));
  for (let index = 0; index < 1_500; index += 1) writeFileSync(at("many", `file-${index}-${"x".repeat(index % 90)}`), `content ${index}`);
  writeFileSync(at("tiny"), "tiny");
  writeFileSync(at("nothing"), "");
  writeFileSync(at("ünïcode 🚀"), "named");
  writeFileSync(at("deep/er/still/here.bin"), randomBytes(3 * 1024 * 1024 + 17));
  chmodSync(at("tiny"), 0o4751);
  linkSync(at("tiny"), at("deep/hard"));
  const holes = openSync(at("holes"), "w");
  for (let piece = 0; piece < 40; piece += 1) writeSync(holes, randomBytes(5_000), 0, 5_000, piece * 64 * 1024 + 123);
  // mke2fs forgets a hole at the end when it makes inline data.
  writeSync(holes, "end", 8 * 1024 * 1024);
  closeSync(holes);
  symlinkSync("deep/er", at("short-link"));
  symlinkSync(`deep/${"./".repeat(60)}er/still/here.bin`, at("long-link"));
  symlinkSync("/workspace/deep/hard", at("absolute-inside"));
  symlinkSync("/etc/passwd", at("absolute-outside"));
  symlinkSync("../../etc/passwd", at("deep/outside"));
  symlinkSync("../tiny", at("deep/inside"));
  symlinkSync("loop", at("loop"));
  symlinkSync("missing", at("dangling"));
  execFileSync("mkfifo", [at("pipe")]);
});
afterAll(() => rmSync(source, { recursive: true, force: true }));

const variants: [string, readonly string[]][] = [
  ["as a workspace is made", ["-b", "4096", "-I", "256", "-i", "8192"]],
  ["with blocks of 1 KiB", ["-b", "1024", "-i", "2048"]],
  ["with 64-bit numbers and checksums", ["-b", "4096", "-i", "8192", "-O", "64bit,metadata_csum"]],
  ["with inline data", ["-b", "4096", "-I", "512", "-i", "8192", "-O", "inline_data"]],
  ["without extents", ["-b", "4096", "-i", "8192", "-O", "^extents,^64bit"]],
  ["without extents, in blocks of 1 KiB", ["-b", "1024", "-i", "2048", "-O", "^extents,^64bit"]],
  ["without kinds in directories", ["-b", "4096", "-i", "8192", "-O", "^filetype"]],
  ["with small inodes", ["-b", "4096", "-I", "128", "-i", "8192"]],
];

async function content(tree: Ext4Tree, path: string): Promise<Buffer> {
  const { inode, entry } = await tree.openFile(path);
  const parts: Buffer[] = [];
  for (let start = 0; start < entry.sizeBytes; start += 300_000) parts.push(await tree.readFile(inode, { start, length: 300_000 }));
  return Buffer.concat(parts);
}

async function listAll(tree: Ext4Tree, path: string, limit = 500): Promise<TreeEntry[]> {
  const all: TreeEntry[] = [];
  for (let after: string | undefined; ;) {
    const page = await tree.list(path, { after, limit });
    all.push(...page.entries);
    if (!page.more) return all;
    after = page.entries.at(-1)?.name;
  }
}

async function expectSame(tree: Ext4Tree, directory: string, path: string): Promise<number> {
  const wanted = readdirSync(directory).filter((name) => name !== "pipe");
  const entries = (await listAll(tree, path)).filter(({ name }) => name !== "lost+found");
  expect(entries.map(({ name }) => name)).toEqual(wanted.sort((a, b) => (a < b ? -1 : 1)));
  let count = entries.length;
  for (const entry of entries) {
    const real = join(directory, entry.name);
    const info = lstatSync(real);
    expect(entry.mode, entry.path).toBe(info.mode & 0o7777);
    expect(entry.modified.seconds, entry.path).toBe(Math.floor(info.mtimeMs / 1000));
    expect(await tree.stat(entry.path)).toEqual(entry);
    if (info.isDirectory()) {
      expect(entry.kind).toBe("directory");
      count += await expectSame(tree, real, entry.path);
    } else if (info.isSymbolicLink()) {
      expect(entry).toMatchObject({ kind: "symlink", linkTarget: readlinkSync(real) });
    } else {
      expect(entry).toMatchObject({ kind: "file", sizeBytes: info.size });
      expect((await content(tree, entry.path)).equals(readFileSync(real)), entry.path).toBe(true);
    }
  }
  return count;
}

describe("a file system is read back", () => {
  test.each(variants)("%s", { timeout: 60_000 }, async (_name, options) => {
    const tree = await openImage(makeImage(source, { sizeBytes: 64 * 1024 * 1024, options }));
    expect(await expectSame(tree, source, ".")).toBeGreaterThan(1_500);
  });

  test("by pages of any size, from any name", async () => {
    const tree = await openImage(makeImage(source, { sizeBytes: 64 * 1024 * 1024 }));
    const whole = await listAll(tree, "many");
    expect(await listAll(tree, "many", 7)).toEqual(whole);
    expect((await tree.list("many", { after: "file-1499", limit: 1 })).entries[0]?.name.startsWith("file-1499")).toBe(true);
    expect(await tree.list("many", { after: "zzz", limit: 1 })).toEqual({ entries: [], more: false });
  });

  test("hashed directories are read like others", async () => {
    const image = makeImage(source, { sizeBytes: 64 * 1024 * 1024, options: ["-b", "1024", "-i", "2048"] });
    const place = mkdtempSync(join(tmpdir(), "helmr-test-htree-"));
    try {
      const file = join(place, "image");
      writeFileSync(file, image);
      // Rebuilds every directory with its index.
      try {
        execFileSync("e2fsck", ["-fyD", file], { stdio: "ignore" });
      } catch (error) {
        expect((error as { status: number }).status).toBe(1);
      }
      const listed = execFileSync("debugfs", ["-R", "htree_dump /many", file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      expect(listed).toContain("Root node dump");
      expect(await expectSame(await openImage(readFileSync(file)), source, ".")).toBeGreaterThan(1_500);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});

describe("symbolic links", () => {
  let tree: Ext4Tree;
  beforeAll(async () => {
    tree = await openImage(makeImage(source, { sizeBytes: 64 * 1024 * 1024 }));
  });
  test.each(["short-link/still/here.bin", "long-link"])("are followed to %s", async (path) => {
    expect((await content(tree, path)).equals(readFileSync(join(source, "deep/er/still/here.bin")))).toBe(true);
  });
  test("into the tree by their absolute name, and back by ..", async () => {
    expect((await content(tree, "absolute-inside")).toString()).toBe("tiny");
    expect((await content(tree, "deep/inside")).toString()).toBe("tiny");
    expect((await tree.list("short-link", { after: undefined, limit: 10 })).entries.map(({ path }) => path)).toEqual(["short-link/still"]);
  });
  test.each(["absolute-outside", "deep/outside", "loop", "dangling", "loop/x", "pipe"])("%s leads to nothing", async (path) => {
    await expect(content(tree, path)).rejects.toMatchObject({ name: "Ext4Error" });
  });
  test.each([
    ["missing", "not_found"],
    ["tiny/x", "not_directory"],
    ["deep/missing/x", "not_found"],
  ] as [string, Ext4Error["code"]][])("%s is %s", async (path, code) => {
    await expect(tree.stat(path)).rejects.toMatchObject({ code });
  });
  test("directories have no content, files no children", async () => {
    await expect(tree.openFile("deep")).rejects.toMatchObject({ code: "not_regular" });
    await expect(tree.list("tiny", { after: undefined, limit: 1 })).rejects.toMatchObject({ code: "not_directory" });
  });
});

describe("refused", () => {
  test("what is no file system, and what this reader does not know", async () => {
    await expect(openImage(Buffer.alloc(512))).rejects.toMatchObject({ code: "unsupported" });
    await expect(openImage(Buffer.alloc(65_536))).rejects.toMatchObject({ code: "unsupported" });
    await expect(openImage(makeImage(undefined, { options: ["-O", "encrypt"] }))).rejects.toMatchObject({ code: "unsupported" });
  });
});
