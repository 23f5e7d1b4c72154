import { expect, test } from "vitest";
import { parseRange } from "./byte-range.ts";

test.each([
  [undefined, undefined],
  ["bytes=0-0", { start: 0, endExclusive: 1 }],
  ["bytes=2-5", { start: 2, endExclusive: 6 }],
  ["bytes=2-", { start: 2, endExclusive: 10 }],
  ["bytes=-3", { start: 7, endExclusive: 10 }],
  ["bytes=-30", { start: 0, endExclusive: 10 }],
  ["bytes=5-99", { start: 5, endExclusive: 10 }],
  ["bytes=10-", "unsatisfiable"],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=5-2", undefined],
  ["bytes=-", undefined],
  ["bytes=0-1,3-4", undefined],
  ["items=0-1", undefined],
])("parseRange(%j) of 10 bytes", (header, range) => {
  expect(parseRange(header, 10)).toEqual(range);
});
