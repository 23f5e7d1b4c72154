import { expect, test } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

const text = "one\ntwö\r\n 10 %\r100 %\n\nlast";
const expected = ["one", "twö", "100 %", "", "last"];

test.each([1, 2, 3, 5, 1_000])("LineSplitter gives whole lines of pieces of %i bytes", (size) => {
  const bytes = new TextEncoder().encode(text);
  const splitter = new LineSplitter();
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.take(bytes.subarray(at, at + size)));
  expect([...lines, ...splitter.end()]).toEqual(expected);
});

test("LineSplitter has nothing left after a line break", () => {
  const splitter = new LineSplitter();
  expect(splitter.take(new TextEncoder().encode("a\n"))).toEqual(["a"]);
  expect(splitter.end()).toEqual([]);
});
