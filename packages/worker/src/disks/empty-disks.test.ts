import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { openBlockSource } from "./block-source.ts";
import { EmptyDisks } from "./empty-disks.ts";
import { readTreeSize } from "./ext4-facts.ts";

const root = temporaryDirectory("empties");
const MiB = 2 ** 20;
const fsck = (path: string) => execFileSync("e2fsck", ["-fn", path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const debugfs = (path: string, command: string) =>
  execFileSync("debugfs", ["-w", "-R", command, path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

function sizeOf(path: string) {
  const lengthBytes = statSync(path).size;
  const source = openBlockSource({ kind: "raw", path, lengthBytes, extents: [] });
  try {
    return readTreeSize(source);
  } finally {
    source.close();
  }
}

describe("empty disks", () => {
  test.each([
    ["workspace", 16 * MiB],
    ["workspace", 1024 * MiB],
    ["workspace", 10 * 1024 * MiB],
    ["scratch", 2048 * MiB],
  ] as const)("%s of %d bytes is a sound, empty, sparse file system", async (kind, sizeBytes) => {
    const empties = await EmptyDisks.open(join(root, "sound"));
    const disk = await empties.get(kind, sizeBytes);
    expect(fsck(disk.path)).toMatch(/10\/\d+ files/);
    expect(debugfs(disk.path, "ls -p /")).not.toMatch(/lost\+found/);
    expect(statSync(disk.path).blocks * 512).toBeLessThan(6 * MiB);
    expect(sizeOf(disk.path)).toEqual({ sizeBytes: 0, entryCount: 0 });
  });

  test("two workers make the same bytes", async () => {
    const [one, two] = [await EmptyDisks.open(join(root, "a")), await EmptyDisks.open(join(root, "b"))];
    const [first, second] = [await one.get("workspace", 64 * MiB), await two.get("workspace", 64 * MiB)];
    expect(readFileSync(first.path).equals(readFileSync(second.path))).toBe(true);
  });

  test("are made once per size, and again after another boot", async () => {
    const directory = join(root, "c");
    const one = await EmptyDisks.open(directory);
    const disk = await one.get("scratch", 32 * MiB);
    expect(await one.get("scratch", 32 * MiB)).toBe(disk);
    const before = statSync(disk.path).ino;
    await (await EmptyDisks.open(directory)).get("scratch", 32 * MiB);
    expect(statSync(disk.path).ino).toBe(before);
    writeFileSync(join(directory, "boot-id"), "another");
    writeFileSync(disk.path, "torn");
    const again = await (await EmptyDisks.open(directory)).get("scratch", 32 * MiB);
    expect(fsck(again.path)).toMatch(/files/);
  });
});

describe("the size of a tree", () => {
  test("counts what is in it", async () => {
    const empties = await EmptyDisks.open(join(root, "d"));
    const { path } = await empties.get("workspace", 128 * MiB);
    const file = join(root, "content");
    writeFileSync(file, Buffer.alloc(100_000, 1));
    debugfs(path, "mkdir sub");
    debugfs(path, `write ${file} sub/file`);
    expect(sizeOf(path)).toEqual({ sizeBytes: 4096 + 25 * 4096, entryCount: 2 });
  });

  test("of bytes that are no file system is nothing", () => {
    const path = join(root, "noise");
    writeFileSync(path, Buffer.alloc(8192, 0x53));
    expect(sizeOf(path)).toEqual({ sizeBytes: 0, entryCount: 0 });
    writeFileSync(path, "short");
    expect(sizeOf(path)).toEqual({ sizeBytes: 0, entryCount: 0 });
  });
});
