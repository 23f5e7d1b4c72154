import { expect, test } from "vitest";
import { cpioArchive, type CpioEntry } from "./cpio.ts";

interface Parsed {
  path: string;
  mode: number;
  content: string;
  device: [number, number];
  inode: number;
}

/** A reader of its own, after the format's description. */
function parse(archive: Buffer): Parsed[] {
  const entries: Parsed[] = [];
  for (let at = 0; ;) {
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const field = (index: number): number => Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [inode, mode, size, major, minor, nameBytes] = [field(0), field(1), field(6), field(9), field(10), field(11)] as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const path = archive.toString("utf8", at + 110, at + 110 + nameBytes - 1);
    expect(archive[at + 110 + nameBytes - 1]).toBe(0);
    const start = Math.ceil((at + 110 + nameBytes) / 4) * 4;
    if (path === "TRAILER!!!") {
      expect(start).toBe(archive.length);
      return entries;
    }
    entries.push({ path, mode, content: archive.toString("latin1", start, start + size), device: [major, minor], inode });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

const entries: CpioEntry[] = [
  { kind: "directory", path: "dev", mode: 0o755 },
  { kind: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  ...[0, 1, 2, 3, 4, 5].map((length): CpioEntry => ({
    kind: "file",
    path: `f${"x".repeat(length)}`,
    mode: 0o644,
    content: Buffer.alloc(length, "c"),
  })),
];

test("entries of every length come back, padded to four bytes", () => {
  const parsed = parse(cpioArchive(entries));
  expect(parsed.map(({ path }) => path)).toEqual(["dev", "dev/console", "f", "fx", "fxx", "fxxx", "fxxxx", "fxxxxx"]);
  expect(parsed.map(({ mode }) => mode.toString(8))).toEqual(["40755", "20600", ...Array(6).fill("100644")]);
  expect(parsed.slice(2).map(({ content }) => content)).toEqual(["", "c", "cc", "ccc", "cccc", "ccccc"]);
  expect(parsed[1]?.device).toEqual([5, 1]);
  expect(new Set(parsed.map(({ inode }) => inode)).size).toBe(parsed.length);
});

test("equal entries give equal bytes", () => {
  expect(cpioArchive(entries).equals(cpioArchive(entries))).toBe(true);
});
