import { expect, test } from "vitest";
import { jsonText, shown } from "./json-value.ts";

test("jsonText() writes dates as ISO text and leaves out undefined members", () => {
  expect(jsonText({ at: new Date(0), gone: undefined, list: [undefined] }, { label: "x" })).toBe(
    '{"at":"1970-01-01T00:00:00.000Z","list":[null]}',
  );
  expect(jsonText(undefined, { label: "x" })).toBe("null");
});

test.each([
  [{ a: { b: Number.NaN } }, 'Cannot send the output: its member "b" is NaN, and JSON numbers must be finite'],
  [Number.POSITIVE_INFINITY, "Cannot send the output: the value is Infinity, and JSON numbers must be finite"],
  [{ n: 1n }, 'Cannot send the output: its member "n" is a bigint; convert it to a number or text'],
  [() => 1, "Cannot send the output: a function has no JSON form"],
])("jsonText() names what it cannot write", (value, message) => {
  expect(() => jsonText(value, { label: "the output" })).toThrow(message);
});

test("jsonText() refuses circles with their cause, and counts bytes, not characters", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  expect(() => jsonText(circle, { label: "the output" })).toThrow("Cannot send the output: it has no JSON form");
  expect(jsonText("é".repeat(4), { label: "x", bytesMax: 10 })).toBe('"éééé"');
  expect(() => jsonText("é".repeat(5), { label: "x", bytesMax: 10 })).toThrow(/has 12 bytes as JSON and the limit is 10/);
});

test("shown() keeps errors readable whatever the value", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  expect([shown(1), shown(undefined), shown("a"), shown(() => 1), shown(circle), shown(5n), shown(Number.NaN)]).toEqual([
    "1",
    "undefined",
    '"a"',
    "a function",
    "a object",
    "5",
    "NaN",
  ]);
  expect(shown("x".repeat(1000)).length).toBeLessThan(210);
});
