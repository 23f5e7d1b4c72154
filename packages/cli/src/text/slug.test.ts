import { describe, expect, test } from "vitest";
import { defaultColour, defaultSlug } from "./slug.ts";

describe("defaultSlug()", () => {
  test.each([
    ["Web Shop", "web-shop"],
    ["  a --- b  ", "a-b"],
    ["A & B", "a-b"],
    ["Größe_1", "gre1"],
    ["-x-", "x"],
    ["!!!", ""],
    ["a".repeat(60), "a".repeat(48)],
  ])("makes %j to %j", (name, slug) => {
    expect(defaultSlug(name)).toBe(slug);
  });
});

describe("defaultColour()", () => {
  test.each([
    ["production", "#315FCE"],
    ["go-live", "#315FCE"],
    ["domain", "#315FCE"],
    ["staging", "#F59E0B"],
    ["preview-2", "#06B6D4"],
    ["dev", "#22C55E"],
    ["my-local", "#22C55E"],
    ["test", "#8B5CF6"],
  ])("of %j is %s", (slug, colour) => {
    expect(defaultColour(slug)).toBe(colour);
  });

  test("of another slug is its hash over the seven", () => {
    // "ab" is 97 * 31 + 98 = 3105, and 3105 % 7 = 4.
    expect(defaultColour("ab")).toBe("#14B8A6");
    // Wraps at 2^32: computed with BigInt here, with 32-bit arithmetic there.
    const slug = "some-quite-long-slug";
    let hash = 0n;
    for (const character of slug) hash = (hash * 31n + BigInt(character.codePointAt(0)!)) % 2n ** 32n;
    expect(defaultColour(slug)).toBe(["#0EA5E9", "#8B5CF6", "#EC4899", "#F97316", "#14B8A6", "#84CC16", "#6366F1"][Number(hash % 7n)]);
  });
});
