/** Real file systems for tests: made from a directory by mke2fs, changed by debugfs, read back as a block device. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BoundedCache } from "../bounded-cache.ts";
import type { BlockDevice } from "./block-device.ts";
import { Ext4Tree } from "./tree.ts";

export interface ImageOptions {
  sizeBytes?: number;
  /** Further options of mke2fs, for example `-O inline_data`. */
  options?: readonly string[];
  /** Commands of debugfs, one per line. */
  debugfs?: readonly string[];
}

/** The bytes of an ext4 file system that holds what is in `directory`. */
export function makeImage(
  directory: string | undefined,
  { sizeBytes = 16 * 1024 * 1024, options = [], debugfs = [] }: ImageOptions = {},
): Buffer {
  const place = mkdtempSync(join(tmpdir(), "helmr-test-ext4-"));
  try {
    const image = join(place, "image");
    writeFileSync(image, "");
    truncateSync(image, sizeBytes);
    const from = directory === undefined ? [] : ["-d", directory];
    execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", ...options, ...from, image], { stdio: ["ignore", "ignore", "pipe"] });
    if (debugfs.length > 0) runDebugfs(place, debugfs);
    return readFileSync(image);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The same file system some commands later. Two of `makeImage` share no inode: checksums are seeded by each one's own id. */
export function changedImage(bytes: Buffer, debugfs: readonly string[]): Buffer {
  const place = mkdtempSync(join(tmpdir(), "helmr-test-ext4-"));
  try {
    writeFileSync(join(place, "image"), bytes);
    runDebugfs(place, debugfs);
    return readFileSync(join(place, "image"));
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Every directory rebuilt with the index of its hashes. */
export function hashedImage(bytes: Buffer): Buffer {
  const place = mkdtempSync(join(tmpdir(), "helmr-test-ext4-"));
  try {
    const image = join(place, "image");
    writeFileSync(image, bytes);
    const { status, stderr } = spawnSync("e2fsck", ["-fyD", image], { encoding: "utf8" });
    // 1: it has changed something.
    if (status !== 0 && status !== 1) throw new Error(`e2fsck ended with ${status}: ${stderr}`);
    return readFileSync(image);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function runDebugfs(place: string, lines: readonly string[]): void {
  const commands = join(place, "commands");
  writeFileSync(commands, `${lines.join("\n")}\n`);
  execFileSync("debugfs", ["-w", "-f", commands, join(place, "image")], { stdio: ["ignore", "ignore", "pipe"] });
}

export function bufferDevice(bytes: Buffer): BlockDevice {
  return {
    lengthBytes: bytes.length,
    read: (offset, length) => {
      if (offset < 0 || offset + length > bytes.length)
        throw new RangeError(`${offset}+${length} leaves a device of ${bytes.length} bytes`);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
  };
}

export function openImage(bytes: Buffer): Promise<Ext4Tree> {
  return Ext4Tree.open(bufferDevice(bytes), { mountPath: "/workspace", directories: new BoundedCache(1_000_000), cacheKey: "test" });
}
