import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../testing/temporary.ts";
import { mergeRanges, touchedBlocks } from "./byte-ranges.ts";
import { dataExtents } from "./data-extents.ts";

const directory = temporaryDirectory("extents");

test("the extents of a sparse file cover its data and leave its holes out", async () => {
  const path = join(directory, "sparse");
  writeFileSync(path, "");
  truncateSync(path, 10 * 2 ** 30);
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.alloc(10_000, 1), 0, 10_000, 0);
  writeSync(fd, Buffer.alloc(5, 1), 0, 5, 7 * 2 ** 30 + 3);
  closeSync(fd);
  const extents = await dataExtents(path);
  const covers = (at: number) => extents.some((range) => range.start <= at && at < range.end);
  expect([0, 9_999, 7 * 2 ** 30 + 3, 7 * 2 ** 30 + 7].every(covers)).toBe(true);
  const bytes = extents.reduce((sum, range) => sum + range.end - range.start, 0);
  expect(bytes).toBeLessThan(2 ** 20);
});

test("an empty file has none, and a missing one is an error", async () => {
  const path = join(directory, "empty");
  writeFileSync(path, "");
  expect(await dataExtents(path)).toEqual([]);
  await expect(dataExtents(join(directory, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("ranges are merged, and blocks are named once", () => {
  const left = [
    { start: 0, end: 10 },
    { start: 20, end: 30 },
  ];
  const right = [
    { start: 5, end: 12 },
    { start: 12, end: 14 },
    { start: 29, end: 40 },
  ];
  const merged = [...mergeRanges(left, right)];
  expect(merged).toEqual([
    { start: 0, end: 14 },
    { start: 20, end: 40 },
  ]);
  expect([...touchedBlocks(merged, 8)]).toEqual([0, 1, 2, 3, 4]);
  expect([
    ...touchedBlocks(
      [
        { start: 0, end: 1 },
        { start: 2, end: 3 },
        { start: 16, end: 17 },
      ],
      8,
    ),
  ]).toEqual([0, 2]);
});
