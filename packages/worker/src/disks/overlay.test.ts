import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { openBlockSource } from "./block-source.ts";
import { clusterBytes, OverlayError } from "./overlay-format.ts";
import { OverlayReader } from "./overlay-reader.ts";
import { createOverlay } from "./overlay-writer.ts";

const directory = temporaryDirectory("overlay");
const base = join(directory, "base.raw");
const sizeBytes = 1024 * 1024 * 1024 + 3 * clusterBytes + 512;
const oracle = existsSync("/usr/bin/qemu-img") && existsSync("/usr/bin/qemu-io");

/** The bytes that QEMU itself sees. */
function qemuIo(path: string, ...commands: string[]): string {
  const args = commands.flatMap((command) => ["-c", command]);
  return execFileSync("qemu-io", ["-f", "qcow2", ...args, path], { encoding: "utf8", timeout: 20_000 });
}

function check(path: string): { "check-errors": number; corruptions?: number; leaks?: number } {
  return JSON.parse(execFileSync("qemu-img", ["check", "--output=json", "-f", "qcow2", path], { encoding: "utf8" })) as ReturnType<
    typeof check
  >;
}

let count = 0;
async function overlay(): Promise<string> {
  count += 1;
  const path = join(directory, `overlay-${count}`);
  await createOverlay({ path, backing: base, sizeBytes });
  return path;
}

beforeAll(() => {
  writeFileSync(base, "");
  truncateSync(base, sizeBytes);
  const fd = openSync(base, "r+");
  writeSync(fd, Buffer.alloc(3 * clusterBytes, "b"), 0, undefined, clusterBytes);
  closeSync(fd);
});

describe("overlays of our own making", () => {
  test.skipIf(!oracle)("QEMU finds nothing wrong with a fresh one, and reads its backing file through it", async () => {
    const path = await overlay();
    expect(check(path)).toMatchObject({ "check-errors": 0 });
    const info = JSON.parse(execFileSync("qemu-img", ["info", "--output=json", path], { encoding: "utf8" })) as Record<string, unknown>;
    expect(info).toMatchObject({ format: "qcow2", "virtual-size": sizeBytes, "backing-filename": base, "backing-filename-format": "raw" });
    expect(qemuIo(path, `read -P 98 ${clusterBytes} ${3 * clusterBytes}`, "read -P 0 0 64k")).not.toMatch(/Pattern verification failed/);
  });

  test.skipIf(!oracle)("QEMU can write through one up to its last sector and it stays sound", async () => {
    const path = await overlay();
    qemuIo(path, `write -P 1 ${sizeBytes - 512} 512`, "write -P 2 600m 1m", "write -P 3 0 4k");
    expect(check(path)).toMatchObject({ "check-errors": 0 });
    expect(check(path).corruptions ?? 0).toBe(0);
  });

  test("an unwritten one has no changes", async () => {
    const reader = new OverlayReader(await overlay(), sizeBytes);
    expect([...reader.changed()]).toEqual([]);
    expect(reader.cluster(0)).toEqual({ state: "backing", offset: 0 });
    reader.close();
  });

  test.skipIf(!oracle)("what QEMU wrote is what we read: data, zeros, partial clusters, the tail", async () => {
    const path = await overlay();
    qemuIo(
      path,
      `write -P 7 ${clusterBytes + 4096} 4096`, // inside a cluster of the base: the rest is copied
      `write -z ${2 * clusterBytes} ${clusterBytes}`, // a zero cluster over data of the base
      `write -P 9 700m 200k`,
      `write -P 5 ${sizeBytes - 512} 512`,
    );
    const reader = new OverlayReader(path, sizeBytes);
    const states = [...reader.changed()].map(({ index, state }) => [index, state]);
    reader.close();
    const first = 700 * 16;
    const last = Math.floor(sizeBytes / clusterBytes);
    expect(states).toEqual([
      [1, "data"],
      [2, "zero"],
      [first, "data"],
      [first + 1, "data"],
      [first + 2, "data"],
      [first + 3, "data"],
      [last, "data"],
    ]);

    const source = openBlockSource({ kind: "overlay", path, backing: base, lengthBytes: sizeBytes });
    const read = (offset: number, length: number) => {
      const into = Buffer.alloc(length, "?");
      source.read(into, offset);
      return into;
    };
    const cluster = read(clusterBytes, clusterBytes);
    expect(cluster.subarray(0, 4096)).toEqual(Buffer.alloc(4096, "b"));
    expect(cluster.subarray(4096, 8192)).toEqual(Buffer.alloc(4096, 7));
    expect(cluster.subarray(8192)).toEqual(Buffer.alloc(clusterBytes - 8192, "b"));
    // Across three clusters: zeros, backing data, backing hole.
    const across = read(2 * clusterBytes, 3 * clusterBytes);
    expect(across).toEqual(Buffer.concat([Buffer.alloc(clusterBytes), Buffer.alloc(clusterBytes, "b"), Buffer.alloc(clusterBytes)]));
    expect(read(sizeBytes - 512, 512)).toEqual(Buffer.alloc(512, 5));
    source.close();
  });
});

describe("overlays that a hostile monitor has rewritten", () => {
  const patch = (path: string, offset: number, bytes: Uint8Array) => {
    const fd = openSync(path, "r+");
    writeSync(fd, bytes, 0, bytes.length, offset);
    closeSync(fd);
  };
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const u64 = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return bytes;
  };
  const readAll = (path: string) => {
    const source = openBlockSource({ kind: "overlay", path, backing: base, lengthBytes: sizeBytes });
    try {
      const into = Buffer.alloc(clusterBytes);
      for (const range of source.changes()) source.read(into.subarray(0, range.end - range.start), range.start);
    } finally {
      source.close();
    }
  };

  test.each([
    ["another magic", 0, u32(1)],
    ["another version", 4, u32(2)],
    ["other clusters", 20, u32(9)],
    ["another size", 24, u64(1n << 60n)],
    ["encryption", 32, u32(1)],
    ["an L1 table too small", 36, u32(0)],
    ["an L1 table outside", 40, u64(1n << 50n)],
    ["an L1 table at an odd place", 40, u64(513n)],
    ["snapshots", 60, u32(1)],
    ["an external data file", 72, u64(4n)],
    ["an unknown feature", 72, u64(1n << 40n)],
  ])("%s is refused", async (_, offset, bytes) => {
    const path = await overlay();
    patch(path, offset, bytes);
    expect(() => readAll(path)).toThrow(OverlayError);
  });

  test("an L2 table or cluster outside the file is refused, and so is a compressed one", async () => {
    const outside = await overlay();
    patch(outside, 3 * clusterBytes, u64(1n << 40n));
    expect(() => readAll(outside)).toThrow(/L2 table 0 is at/);
    const compressed = await overlay();
    patch(compressed, 3 * clusterBytes, u64(BigInt(2 * clusterBytes)));
    patch(compressed, 2 * clusterBytes, u64((1n << 62n) | BigInt(clusterBytes)));
    expect(() => readAll(compressed)).toThrow(/compressed/);
  });

  test("tables that point at each other end: the work is bounded by the device", async () => {
    const path = await overlay();
    // Every L1 entry names the L1 table itself as its L2 table.
    patch(path, 3 * clusterBytes, Buffer.concat(Array.from({ length: 3 }, () => u64(BigInt(3 * clusterBytes)))));
    const reader = new OverlayReader(path, sizeBytes);
    expect([...reader.changed()].length).toBeLessThanOrEqual(Math.ceil(sizeBytes / clusterBytes));
    reader.close();
  });

  test("the backing file that it names is not opened", async () => {
    const path = await overlay();
    const header = readFileSync(path).subarray(0, 2048);
    const at = header.indexOf(base);
    patch(path, at, Buffer.from("/etc/passwd".padEnd(base.length, "\0")));
    const source = openBlockSource({ kind: "overlay", path, backing: base, lengthBytes: sizeBytes });
    const into = Buffer.alloc(clusterBytes);
    source.read(into, clusterBytes);
    expect(into).toEqual(Buffer.alloc(clusterBytes, "b"));
    source.close();
  });

  test("random damage never gives anything but an OverlayError", async () => {
    const path = await overlay();
    if (oracle) qemuIo(path, "write -P 1 0 1m", "write -P 2 600m 1m");
    const good = readFileSync(path);
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let round = 0; round < 200; round += 1) {
      const bytes = Buffer.from(good);
      for (let change = 0; change < 4; change += 1) {
        const at = random(2) === 0 ? random(112) : random(bytes.length);
        bytes[at] = random(256);
      }
      writeFileSync(path, bytes);
      try {
        readAll(path);
      } catch (error) {
        expect(error).toBeInstanceOf(OverlayError);
      }
    }
  });
});
