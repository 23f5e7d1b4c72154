import { expect, test } from "vitest";
import { storableJson, storableText } from "./storable.ts";

test("storableText() replaces what PostgreSQL cannot store and leaves the rest alone", () => {
  expect(storableText("a\0b\ud800c ✓ 😀")).toBe("a\ufffdb\ufffdc ✓ 😀");
});

test("storableJson() does so in strings and keys, at any depth, with a bound", () => {
  expect(storableJson({ "k\0": ["\0", 1, null, true, { x: Number.NaN }] })).toEqual({ "k\ufffd": ["\ufffd", 1, null, true, { x: null }] });
  let deep: unknown = "end";
  for (let level = 0; level < 10_000; level += 1) deep = [deep];
  expect(JSON.stringify(storableJson(deep)).length).toBeLessThan(1_000);
});
