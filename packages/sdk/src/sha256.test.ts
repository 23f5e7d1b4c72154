import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha256Hex } from "./sha256.ts";

const reference = (text: string): string => createHash("sha256").update(text).digest("hex");

test("sha256Hex() gives the platform's digest for every length around the block border", () => {
  for (let length = 0; length <= 200; length += 1) {
    const text = "a".repeat(length);
    expect(sha256Hex(text), `length ${length}`).toBe(reference(text));
  }
});

test("sha256Hex() hashes UTF-8 bytes, and long texts", () => {
  for (const text of ["é", "日本語", "🚀".repeat(1000), "x".repeat(100_003), '{"scope":"global","key":["a","b"]}']) {
    expect(sha256Hex(text)).toBe(reference(text));
  }
});

test("sha256Hex() gives the digest of the standard's own example", () => {
  expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
