/**
 * Archives that nobody means well: any order of headers, hostile names, targets, sizes and pax records, cut and damaged, unpacked into a real tree that holds
 * links out of itself. Whatever comes is unpacked inside, or refused with a reason; what lies beside the tree is never touched.
 */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openTree, PathError } from "../supervisor/confined-tree.ts";
import { TarExtractor } from "./extract.ts";
import { blockBytes, padding, TarError } from "./headers.ts";
import { TarReader } from "./reader.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "helmr-test-tar-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const limits = { entriesMax: 50, bytesMax: 100_000 };
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

interface HostileHeader {
  name: string;
  type: string;
  target: string;
  size: string | undefined;
  prefix: string;
  magic: string;
  body: Uint8Array;
}

const hostileNames = [
  "a",
  "a/b",
  "a/b/c",
  "a/",
  "../x",
  "a/../../x",
  "..",
  ".",
  "./",
  "",
  "/",
  "/etc/passwd",
  "//x",
  "a//b/./c",
  "out/x",
  "out/deep/x",
  "up/beside/victim",
  "file/x",
  "self",
  "self/self/x",
  "\0",
  "a\0/../x",
  "a\\..\\x",
  "\u202ex",
  " ",
  "-rf",
  "nul\n",
  "x".repeat(100),
  "y".repeat(300),
  `${"d/".repeat(49)}e`,
  "%2e%2e/x",
  "..\u2215x",
];
const names = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("a", "b", "a/b", "c/d/e", "new", "out/x", "up/x") },
  { weight: 3, arbitrary: fc.constantFrom(...hostileNames) },
  { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
);
const paxRecord = (key: string, value: string) => {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length += 1;
  return `${length} ${key}=${value}\n`;
};
const paxKeys = fc.constantFrom(
  "path",
  "linkpath",
  "size",
  "mtime",
  "GNU.sparse.major",
  "GNU.sparse.name",
  "GNU.sparse.realsize",
  "SCHILY.xattr.user.x",
);
const paxValues = fc.oneof(names, fc.constantFrom("0", "1", "999999999999999", "1e9", "-1", "0x10", "18446744073709551616"));
const bodies = fc.oneof(
  fc.constant(new Uint8Array(0)),
  fc.uint8Array({ maxLength: 1_500 }),
  fc
    .array(fc.tuple(paxKeys, paxValues), { maxLength: 4 })
    .map((records) => Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(""))),
  fc
    .constantFrom("9999999999 path=x\n", "0 a=b\n", "-5 a=b\n", "5 a=\n", "12 path=a\n", "10 path\n", " path=x\n", "4 =\n")
    .map((text) => Buffer.from(text)),
  names.map((name) => Buffer.from(`${name}\0`)),
);
const sizes = fc.oneof(
  { weight: 5, arbitrary: fc.constant(undefined) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "77777777777",
      "00000000001",
      "00000200000",
      "not octal",
      "",
      "-1",
      "8",
      "\u0080\0\0\0\0\0\0\0\0\0\0\u0001",
      "\u00ff".repeat(12),
      "37777777777",
    ),
  },
);
const headers: fc.Arbitrary<HostileHeader> = fc.record({
  name: names,
  type: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom("0", "2", "5", "\0") },
    { weight: 3, arbitrary: fc.constantFrom("x", "g", "L", "K") },
    { weight: 1, arbitrary: fc.constantFrom("1", "3", "4", "6", "7", "S", "M", "N", "V", "X", "D", "Z") },
  ),
  target: names,
  size: sizes,
  prefix: fc.oneof({ weight: 5, arbitrary: fc.constant("") }, names),
  magic: fc.constantFrom("ustar\x0000", "ustar  \0", ""),
  body: bodies,
});

function bytesOf(header: HostileHeader): Buffer {
  const block = Buffer.alloc(blockBytes);
  const put = (text: string, at: number, length: number) => Buffer.from(text).copy(block, at, 0, length);
  put(header.name, 0, 100);
  put("0000644\0", 100, 8);
  put("0000000\0", 108, 8);
  put("0000000\0", 116, 8);
  if (header.size === undefined) put(header.body.length.toString(8).padStart(11, "0"), 124, 12);
  else Buffer.from(header.size, "latin1").copy(block, 124, 0, 12);
  put("00000000000\0", 136, 12);
  put("        ", 148, 8);
  put(header.type, 156, 1);
  put(header.target, 157, 100);
  put(header.magic, 257, 8);
  put(header.prefix, 345, 155);
  let sum = 0;
  for (const byte of block) sum += byte;
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return Buffer.concat([block, header.body, Buffer.alloc(padding(header.body.length))]);
}

const archives = fc
  .record({
    headers: fc.array(headers, { minLength: 1, maxLength: 6 }),
    end: fc.constantFrom(true, true, false),
    cut: fc.option(fc.nat({ max: 6_000 }), { freq: 4, nil: undefined }),
    damage: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 })),
  })
  .map(({ headers: list, end, cut, damage }) => {
    const whole = Buffer.concat([...list.map(bytesOf), Buffer.alloc(end ? 2 * blockBytes : 0)]);
    for (const [at, value] of damage) whole[at % whole.length] = value;
    return whole.subarray(0, cut === undefined ? whole.length : Math.min(cut, whole.length));
  });

/** Everything beside the tree, with its contents. */
function beside(directory: string): string[] {
  return readdirSync(directory)
    .sort()
    .filter((name) => directory !== base || name !== "tree")
    .flatMap((name) => {
      const path = join(directory, name);
      const status = lstatSync(path);
      const told = `${path} ${status.mode} ${status.uid} ${status.mtimeMs}`;
      return status.isDirectory() ? [told, ...beside(path)] : [`${told} ${readFileSync(path, "utf8")}`];
    });
}

function prepare(root: string): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, "a"), { recursive: true });
  writeFileSync(join(root, "file"), "here");
  symlinkSync("../beside", join(root, "out"));
  symlinkSync("..", join(root, "up"));
  symlinkSync("self", join(root, "self"));
  symlinkSync("/etc", join(root, "a/etc"));
}

const expectedErrno = new Set(["EISDIR", "ENOTDIR", "EEXIST", "ENAMETOOLONG", "ELOOP", "ENOENT", "ENOTEMPTY"]);

test("an archive of anything is unpacked inside the tree, or refused with a reason", { timeout: 120_000 }, async () => {
  mkdirSync(join(base, "beside/deep"), { recursive: true });
  writeFileSync(join(base, "beside/victim"), "untouched");
  const before = beside(base);
  const root = join(base, "tree");
  const seen = { unpacked: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(archives, fc.integer({ min: 1, max: 1_100 }), async (archive, step) => {
      prepare(root);
      const tree = openTree(root, "/workspace");
      const extractor = new TarExtractor({ tree, target: ".", owner, ...limits });
      try {
        for (let at = 0; at < archive.length; at += step) await extractor.push(archive.subarray(at, at + step));
        extractor.finish();
        seen.unpacked += 1;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const isTyped = error instanceof TarError || error instanceof PathError || (code !== undefined && expectedErrno.has(code));
        if (!isTyped) throw error;
        seen.refused += 1;
      } finally {
        extractor.abort();
        tree.close();
      }
      expect(beside(base)).toEqual(before);
    }),
    { numRuns: 600 },
  );
  expect(seen.unpacked).toBeGreaterThan(10);
  expect(seen.refused).toBeGreaterThan(100);
});

const plain: HostileHeader = {
  name: "h",
  type: "0",
  target: "",
  size: undefined,
  prefix: "",
  magic: "ustar\x0000",
  body: new Uint8Array(0),
};
const silent = { entry: () => undefined, data: () => undefined, endFile: () => undefined };

test("sizes are believed only as far as the limits go, and nothing is kept of them", async () => {
  for (const size of ["77777777777", "\u0080\0\0\0\0\0\0\u00ff\u00ff\u00ff\u00ff\u00ff", "00000303241"])
    await expect(new TarReader(silent, limits).push(bytesOf({ ...plain, size }))).rejects.toMatchObject({ problem: "too_large" });
  const pax = bytesOf({ ...plain, type: "x", size: undefined, body: Buffer.from(paxRecord("size", "999999999999999")) });
  const reader = new TarReader(silent, limits);
  await reader.push(pax);
  await expect(reader.push(bytesOf({ ...plain, size: undefined }))).rejects.toMatchObject({ problem: "too_large" });
  for (const type of ["x", "L", "K", "g"])
    await expect(new TarReader(silent, limits).push(bytesOf({ ...plain, type, size: "00000300000" }))).rejects.toMatchObject({
      problem: "too_large",
    });
});

test("an archive of extended headers alone ends", async () => {
  const body = Buffer.from(paxRecord("comment", "x"));
  for (const type of ["x", "g", "L", "K"]) {
    const header = bytesOf({ ...plain, type, body });
    const reader = new TarReader(silent, limits);
    const endless = async () => {
      for (let left = 100; left > 0; left -= 1) await reader.push(header);
    };
    await expect(endless()).rejects.toMatchObject({ problem: "malformed" });
  }
});
