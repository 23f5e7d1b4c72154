import { execFileSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openTree } from "../supervisor/confined-tree.ts";
import { TarExtractor } from "./extract.ts";
import { blockBytes, formatHeader, padding, TarError, type TarEntry } from "./headers.ts";
import { packTree } from "./pack.ts";
import { TarReader } from "./reader.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "tar-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const limits = { entriesMax: 100, bytesMax: 1_000_000 };
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

async function extract(archive: Uint8Array, cut = archive.length, chosen = limits): Promise<string> {
  const root = join(base, "out");
  mkdirSync(root, { recursive: true });
  const tree = openTree(root, "/out");
  const extractor = new TarExtractor({ tree, target: ".", owner, ...chosen });
  try {
    for (let at = 0; at < archive.length; at += cut) await extractor.push(archive.subarray(at, at + cut));
    extractor.finish();
  } finally {
    extractor.abort();
    tree.close();
  }
  return root;
}

async function problem(archive: Uint8Array, chosen = limits): Promise<string> {
  try {
    await extract(archive, archive.length, chosen);
  } catch (error) {
    if (error instanceof TarError) return error.problem;
    throw error;
  }
  return "none";
}

function entry(part: Partial<TarEntry> & { path: string }): TarEntry {
  return { kind: "file", mode: 0o644, sizeBytes: 0, modifiedSeconds: 0, ...part };
}

/** Formats without checking, so that hostile entries can be made. */
function archiveOf(...parts: (TarEntry | Uint8Array)[]): Uint8Array {
  return Buffer.concat([...parts.map((part) => (part instanceof Uint8Array ? part : formatHeader(part))), Buffer.alloc(2 * blockBytes)]);
}

function withType(header: Uint8Array, type: string): Uint8Array {
  const block = Buffer.from(header);
  block.write(type, 156);
  block.write("        ", 148);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

describe("TarExtractor", () => {
  test("unpacks what GNU tar packs, however it is cut", async () => {
    const source = join(base, "in");
    const longDirectory = join(source, "d".repeat(120), "e".repeat(120));
    mkdirSync(longDirectory, { recursive: true });
    writeFileSync(join(longDirectory, `${"f".repeat(200)}.txt`), "deep");
    writeFileSync(join(source, "run.sh"), "#!/bin/sh\n");
    chmodSync(join(source, "run.sh"), 0o755);
    writeFileSync(join(source, "ümläut 🦊"), "x".repeat(5000));
    symlinkSync("run.sh", join(source, "link"));
    for (const format of ["gnu", "pax"]) {
      for (const cut of [1, 511, 4096, 1_000_000]) {
        const archive = execFileSync("tar", ["-C", source, `--format=${format}`, "-cf", "-", "."]);
        const root = await extract(archive, cut);
        expect(readFileSync(join(root, "d".repeat(120), "e".repeat(120), `${"f".repeat(200)}.txt`), "utf8")).toBe("deep");
        expect(readFileSync(join(root, "ümläut 🦊"), "utf8")).toHaveLength(5000);
        expect(lstatSync(join(root, "run.sh")).mode & 0o777).toBe(0o755);
        expect(readlinkSync(join(root, "link"))).toBe("run.sh");
        rmSync(root, { recursive: true });
      }
    }
  });

  test("refuses what leaves the root and what is no plain tree", async () => {
    const cases: [string, Uint8Array][] = [
      ["escapes", archiveOf(entry({ path: "../x" }))],
      ["escapes", archiveOf(entry({ path: "/etc/passwd" }))],
      ["escapes", archiveOf(entry({ path: "a/../../x" }))],
      ["escapes", archiveOf(entry({ kind: "symlink", path: "l", linkTarget: "/etc" }))],
      ["escapes", archiveOf(entry({ kind: "symlink", path: "a/l", linkTarget: "../../x" }))],
      ["escapes", archiveOf(entry({ kind: "symlink", path: "l", linkTarget: "a/../../x" }))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "h" })), "1"))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "c" })), "3"))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "b" })), "4"))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "p" })), "6"))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "s" })), "S"))],
      ["unsupported", archiveOf(withType(formatHeader(entry({ path: "u" })), "Z"))],
      ["malformed", archiveOf(entry({ path: "a\0b" })).subarray(0, 700)],
      ["malformed", Buffer.from("this is no tar at all".repeat(100))],
      ["malformed", formatHeader(entry({ path: "cut", sizeBytes: 10 }))],
      ["malformed", new Uint8Array(0)],
    ];
    for (const [expected, archive] of cases) expect(await problem(archive)).toBe(expected);
  });

  test("writes through no link, not even one that it made itself", async () => {
    writeFileSync(join(base, "victim"), "untouched");
    mkdirSync(join(base, "out"));
    symlinkSync("../victim", join(base, "out/file"));
    symlinkSync("..", join(base, "out/dir"));
    const replaced = archiveOf(entry({ path: "file", sizeBytes: 3 }), Buffer.from("new"), Buffer.alloc(padding(3)));
    expect(await problem(replaced)).toBe("none");
    expect(readFileSync(join(base, "victim"), "utf8")).toBe("untouched");
    expect(readFileSync(join(base, "out/file"), "utf8")).toBe("new");
    await expect(problem(archiveOf(entry({ path: "dir/victim" })))).rejects.toThrow("leaves the tree");
  });

  test("keeps its limits before anything is written", async () => {
    const many = Array.from({ length: 101 }, (_, index) => entry({ path: `f${index}` }));
    expect(await problem(archiveOf(...many))).toBe("too_many_entries");
    expect(await problem(archiveOf(entry({ path: "big", sizeBytes: 1_000_001 })))).toBe("too_large");
    const huge = formatHeader(entry({ path: "n".repeat(300), sizeBytes: 0 }));
    expect(await problem(archiveOf(huge))).toBe("too_large");
    const lie = withType(formatHeader(entry({ path: "pax", sizeBytes: 100_000 })), "x");
    expect(await problem(archiveOf(lie))).toBe("too_large");
  });

  test("drops set-id bits and takes the given owner and time", async () => {
    const root = await extract(archiveOf(entry({ path: "s", mode: 0o6755, modifiedSeconds: 1000 })));
    const status = lstatSync(join(root, "s"));
    expect([status.mode & 0o7777, status.uid, status.mtimeMs]).toEqual([0o755, owner.uid, 1_000_000]);
  });
});

describe("TarReader", () => {
  const silent = { entry: () => {}, data: () => {}, endFile: () => {} };

  test("answers every damaged archive with a TarError, in bounded work", async () => {
    const good = archiveOf(
      entry({ kind: "directory", path: "d" }),
      entry({ path: `d/${"n".repeat(150)}`, sizeBytes: 700 }),
      Buffer.alloc(700 + padding(700), 7),
      entry({ kind: "symlink", path: "l", linkTarget: "d" }),
    );
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
    const property = fc.asyncProperty(damage, fc.integer({ min: 1, max: 2000 }), async (changes, cut) => {
      const archive = Uint8Array.from(good);
      for (const [at, value] of changes) archive[at] = value;
      const reader = new TarReader(silent, limits);
      try {
        for (let at = 0; at < archive.length; at += cut) await reader.push(archive.subarray(at, at + cut));
        reader.finish();
      } catch (error) {
        if (!(error instanceof TarError)) throw error;
      }
      expect(reader.bytes).toBeLessThanOrEqual(limits.bytesMax + 8 ** 11);
    });
    await fc.assert(property, { numRuns: 500 });
  });
});

describe("packTree()", () => {
  test("packs what GNU tar unpacks: long names, links, modes, empty directories", async () => {
    const source = join(base, "in");
    mkdirSync(join(source, "empty"), { recursive: true });
    const long = `${"p".repeat(90)}/${"q".repeat(90)}`;
    mkdirSync(join(source, "p".repeat(90)));
    writeFileSync(join(source, long), "content");
    writeFileSync(join(source, "big"), Buffer.alloc(200_000, 3));
    chmodSync(join(source, "big"), 0o700);
    symlinkSync(long, join(source, "link"));
    execFileSync("mkfifo", [join(source, "pipe")]);
    const parts: Uint8Array[] = [];
    for await (const chunk of packTree(source, { depthMax: 100, directoryEntriesMax: 100 })) parts.push(chunk);
    mkdirSync(join(base, "out"));
    execFileSync("tar", ["-C", join(base, "out"), "-xf", "-"], { input: Buffer.concat(parts) });
    expect(
      execFileSync("find", [".", "-printf", "%p %y %l\n"], { cwd: join(base, "out"), encoding: "utf8" })
        .split("\n")
        .sort(),
    ).toEqual(["", ". d ", "./big f ", "./empty d ", `./link l ${long}`, `./${"p".repeat(90)} d `, `./${long} f `].sort());
    expect(readFileSync(join(base, "out/big")).equals(Buffer.alloc(200_000, 3))).toBe(true);
    expect(lstatSync(join(base, "out/big")).mode & 0o777).toBe(0o700);
  });
});
