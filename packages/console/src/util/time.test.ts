import { expect, test } from "vitest";
import { axisMarks, axisText, durationText, relativeTime } from "./time.ts";

const now = Date.UTC(2026, 5, 6, 12, 0, 0);

test.each([
  [0, "just now"],
  [-4_000, "just now"],
  [-12_000, "12 s ago"],
  [-90_000, "1 min ago"],
  [-7_200_000, "2 h ago"],
  [-3 * 86_400_000, "3 days ago"],
  [30_000, "in 30 s"],
  [5 * 3_600_000, "in 5 h"],
])("relativeTime() of %i ms is %s", (offset, text) => {
  expect(relativeTime(now + offset, now)).toBe(text);
});

test("relativeTime() of a far instant is a date", () => {
  expect(relativeTime(now - 90 * 86_400_000, now)).toMatch(/2026/);
});

test.each([
  [0, "0 ms"],
  [340, "340 ms"],
  [1_000, "1.0 s"],
  [12_400, "12 s"],
  [59_990, "59 s"],
  [200_000, "3 min 20 s"],
  [3_600_000, "1 h"],
  [7_500_000, "2 h 5 min"],
  [97_200_000, "1 d 3 h"],
  [-5, "0 s"],
])("durationText(%i) is %s", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([900, 7_000, 61_000, 5_400_000, 40 * 86_400_000])("axisMarks(%i) are few and evenly spaced", (whole) => {
  const marks = axisMarks(whole, 8);
  expect(marks.length).toBeGreaterThan(1);
  expect(marks.length).toBeLessThanOrEqual(9);
  expect(marks[0]).toBe(0);
  const step = marks[1]!;
  expect(marks.every((mark, index) => mark === index * step)).toBe(true);
});

test.each([
  [0, "0"],
  [500, "500 ms"],
  [2_000, "2 s"],
  [120_000, "2 min"],
])("axisText(%i) is %s", (ms, text) => expect(axisText(ms)).toBe(text));
