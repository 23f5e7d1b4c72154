import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lineEdits } from "./line-edits.ts";
import { unifiedDiff } from "./text-diff.ts";

const names = { from: "a/f", to: "b/f" };

describe("a unified diff", () => {
  test("of one changed line has three lines of context", () => {
    const before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    expect(unifiedDiff(before, before.replace("5", "five"), names)).toBe(
      "--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
    );
  });
  test("of a new and of a removed file", () => {
    expect(unifiedDiff("", "x\n", { from: "/dev/null", to: "b/f" })).toBe("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
    expect(unifiedDiff("x\ny", "", { from: "a/f", to: "/dev/null" })).toBe(
      "--- a/f\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x\n-y\n\\ No newline at end of file\n",
    );
  });
  test("far changes are hunks of their own, near ones share one", () => {
    const lines = Array.from({ length: 40 }, (_, at) => `${at}\n`);
    const change = (...at: number[]) => lines.map((line, index) => (at.includes(index) ? `x${line}` : line)).join("");
    expect(unifiedDiff(lines.join(""), change(5, 30), names)?.match(/^@@/gm)).toHaveLength(2);
    expect(unifiedDiff(lines.join(""), change(5, 11), names)?.match(/^@@/gm)).toHaveLength(1);
    expect(unifiedDiff(lines.join(""), change(5, 13), names)?.match(/^@@/gm)).toHaveLength(2);
  });
});

const text = fc
  .array(fc.constantFrom("a", "b", "c", "", "long line"), { maxLength: 60 })
  .chain((lines) => fc.boolean().map((ends) => lines.join("\n") + (ends && lines.length > 0 ? "\n" : "")));

/** As patch(1) does it: hunks by their line numbers, every line of context and removal checked. */
function patched(before: string, diff: string): string {
  const lines = before.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const out: string[] = [];
  let at = 0;
  const parts = diff.split("\n").slice(2, -1);
  for (const [index, part] of parts.entries()) {
    const header = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$/.exec(part);
    if (header) {
      const start = Number(header[1]) - (header[2] === "0" ? 0 : 1);
      while (at < start) out.push(lines[at++] as string);
      expect(Number(header[3]) - (header[4] === "0" ? 0 : 1)).toBe(out.length);
      continue;
    }
    if (part.startsWith("\\")) continue;
    const line = part.slice(1) + (parts[index + 1]?.startsWith("\\") ? "" : "\n");
    if (!part.startsWith("+")) expect(lines[at++]).toBe(line);
    if (!part.startsWith("-")) out.push(line);
  }
  return [...out, ...lines.slice(at)].join("");
}

test("applying a diff of any two texts to the first gives the second", () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      expect(patched(before, unifiedDiff(before, after, names) as string)).toBe(after);
    }),
    { numRuns: 500 },
  );
});

test("edits are the fewest, and bounded: beyond the bound all is replaced", () => {
  const a = Array.from({ length: 50 }, (_, at) => `a${at}`);
  const b = a.map((line, at) => (at % 2 === 0 ? line : `b${at}`));
  const count = (edits: ReturnType<typeof lineEdits>) => edits.filter(({ kind }) => kind !== "same").length;
  expect(count(lineEdits(a, b, 100))).toBe(50);
  // The first line is the same and is no part of what is replaced.
  expect(count(lineEdits(a, b, 10))).toBe(98);
});
