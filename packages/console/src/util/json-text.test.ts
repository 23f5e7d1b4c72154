import { expect, test } from "vitest";
import { jsonPreview, parseJsonText } from "./json-text.ts";

test("parseJsonText() gives the value, and none for blank text", () => {
  expect(parseJsonText('{"a": [1, null]}')).toEqual({ ok: true, value: { a: [1, null] } });
  expect(parseJsonText("  \n")).toEqual({ ok: true, value: undefined });
});

test("parseJsonText() says where the mistake is", () => {
  const parsed = parseJsonText('{\n  "a": 1,\n  b\n}');
  expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(/line 3,? column 3/) });
});

test("jsonPreview() is one short line", () => {
  expect(jsonPreview({ a: 1 })).toBe('{"a":1}');
  expect(jsonPreview("x".repeat(100), 10)).toBe(`${"x".repeat(9)}…`);
});
