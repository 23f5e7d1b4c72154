import { describe, expect, test } from "vitest";
import * as z from "zod";
import { limits } from "./limits.ts";
import { cursorQuery, followQuery, limitQuery, textFilter } from "./page.ts";
import {
  base64Text,
  concurrencyKey,
  durationText,
  externalId,
  idempotencyKey,
  integer,
  jsonObject,
  jsonValue,
  maxDurationSeconds,
  normalTimestamp,
  plainText,
  queueName,
  secretName,
  slug,
  streamName,
  tags,
  taskId,
  timestampValue,
  title,
  uuidParam,
  uuidValue,
} from "./values.ts";

const value = (schema: z.ZodType, input: unknown): unknown => schema.parse(input);
const accepts = (schema: z.ZodType, input: unknown): boolean => schema.safeParse(input).success;
const message = (schema: z.ZodType, input: unknown): string | undefined => schema.safeParse(input).error?.issues[0]?.message;

describe("durationText()", () => {
  test.each(["90s", "1.5h", "1h30m", "7d", "1ns", "100us", "100µs", "3ms", ".5s", "1h0m0s"])("accepts %s and keeps it as it is", (text) => {
    expect(value(durationText(), text)).toBe(text);
  });
  test.each(["", "0s", "0d", "-1s", "1", "1.5d", "1d12h", "h", "1 h", "1H", "s1", "1h30", "P1D", "9999999d", "9999999999h"])(
    "refuses %j",
    (text) => {
      expect(message(durationText(), text)).toContain("must be a duration greater than zero");
    },
  );
  test("refuses a number", () => expect(accepts(durationText(), 90)).toBe(false));
});

describe("tags()", () => {
  test("trims, removes duplicates and sorts", () => {
    expect(value(tags(), [" b", "a", "b ", "a"])).toEqual(["a", "b"]);
  });
  test("sorts by bytes, not by UTF-16 units", () => {
    expect(value(tags(), ["\u{1F600}", "\uFFFD", "ab", "a"])).toEqual(["a", "ab", "\uFFFD", "\u{1F600}"]);
  });
  test("counts bytes, not characters", () => {
    expect(accepts(tags(), ["é".repeat(64)])).toBe(true);
    expect(message(tags(), [`${"é".repeat(64)}x`])).toBe("must have 1 to 128 bytes");
  });
  test("refuses a blank tag", () => expect(message(tags(), ["a", "  "])).toBe("must have 1 to 128 bytes"));
  test("takes ten after duplicates are gone, and not eleven", () => {
    const ten = Array.from({ length: 10 }, (_, at) => `t${at}`);
    expect(accepts(tags(), [...ten, "t0"])).toBe(true);
    expect(message(tags(), [...ten, "t10"])).toBe("must have at most 10 entries");
  });
  test("takes the bound of the caller", () => {
    const many = Array.from({ length: 33 }, (_, at) => `t${at}`);
    expect(accepts(tags(limits.tokenTagsMax), many.slice(1))).toBe(true);
    expect(accepts(tags(limits.tokenTagsMax), many)).toBe(false);
  });
});

describe("keys", () => {
  test.each([
    ["idempotencyKey", idempotencyKey()],
    ["externalId", externalId()],
  ])("%s() trims, counts bytes, and blank is absent", (_name, schema) => {
    expect(value(schema, "  a b ")).toBe("a b");
    expect(value(schema, "   ")).toBeUndefined();
    expect(accepts(schema, ` ${"é".repeat(256)} `)).toBe(true);
    expect(message(schema, `${"é".repeat(256)}x`)).toBe("must be at most 512 bytes");
    expect(message(schema, "a\0b")).toBe("must not contain NUL characters");
  });
  test("concurrencyKey() does not trim", () => {
    expect(value(concurrencyKey(), " a ")).toBe(" a ");
    expect(value(concurrencyKey(), "")).toBeUndefined();
    expect(accepts(concurrencyKey(), "x".repeat(513))).toBe(false);
  });
});

describe("names", () => {
  test.each([
    [taskId(), ["a", "A.b_c-d", "x".repeat(128)], ["", "-a", ".a", "a b", "a/b", "x".repeat(129), "a\n"]],
    [queueName(), ["a/b", "x".repeat(256)], ["/a", "x".repeat(257), "a:b"]],
    [streamName(), ["a.b", "x".repeat(256)], ["a/b", "x".repeat(257)]],
    [secretName(), ["GITHUB_TOKEN", "a.b-c"], ["_A", "a/b", "x".repeat(129)]],
    [slug(), ["a", "0-a", "x".repeat(63)], ["A", "-a", "a_b", "x".repeat(64)]],
  ])("pattern %#", (schema, good, bad) => {
    for (const text of good) expect(accepts(schema, text), text).toBe(true);
    for (const text of bad) expect(accepts(schema, text), text).toBe(false);
  });
  test("title() counts characters after trimming", () => {
    expect(value(title(3), " \u{1F600}ab ")).toBe("\u{1F600}ab");
    expect(accepts(title(3), "abcd")).toBe(false);
    expect(accepts(title(3), "  ")).toBe(false);
  });
});

describe("jsonValue()", () => {
  test.each([null, true, 0, -1.5, "text", [], {}, { a: [null, { b: "é\u{1F600}" }] }])("accepts %j and gives the same value", (input) => {
    expect(value(jsonValue(), input)).toBe(input);
  });
  test.each([
    ["NUL in a string", { a: ["x\0"] }],
    ["NUL in a key", { "x\0": 1 }],
    ["half a pair in a string", ["\uD83D"]],
    ["half a pair in a key", { "\uDE00": 1 }],
    ["a number that overflows", JSON.parse("[1e999]")],
    ["undefined", undefined],
    ["a function", () => 1],
  ])("refuses %s", (_name, input) => {
    expect(accepts(jsonValue(), input)).toBe(false);
  });
  test("refuses deep nesting without running out of stack", () => {
    const nest = (depth: number): unknown => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`);
    expect(accepts(jsonValue(), nest(limits.jsonDepthMax))).toBe(true);
    expect(message(jsonValue(), nest(500_000))).toBe(`must not be nested deeper than ${limits.jsonDepthMax} levels`);
  });
  test("a key __proto__ stays a plain member", () => {
    const input: unknown = JSON.parse('{"__proto__":{"admin":true}}');
    expect(JSON.stringify(value(z.strictObject({ data: jsonValue() }), { data: input }))).toBe('{"data":{"__proto__":{"admin":true}}}');
  });
});

describe("jsonObject()", () => {
  test("keeps members that are null", () => expect(value(jsonObject(), { a: null })).toEqual({ a: null }));
  test.each([[null], [[]], ["{}"], [1]])("refuses %j", (input) => expect(message(jsonObject(), input)).toBe("must be a JSON object"));
});

describe("timestamps", () => {
  test.each([
    ["2026-06-06T09:30:00Z", "2026-06-06T09:30:00Z"],
    ["2026-06-06T09:30:00.120000000Z", "2026-06-06T09:30:00.12Z"],
    ["2026-06-06T09:30:00.123456789Z", "2026-06-06T09:30:00.123456789Z"],
    ["2026-06-06t09:30:00.000z", "2026-06-06T09:30:00Z"],
    ["2026-01-01T00:30:00+02:00", "2025-12-31T22:30:00Z"],
    ["2024-02-29T23:59:59-00:30", "2024-03-01T00:29:59Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"],
  ])("%s is %s", (text, normal) => {
    expect(normalTimestamp(text)).toBe(normal);
    expect(value(timestampValue(), text)).toBe(normal);
  });
  test.each([
    "",
    "2026-06-06",
    "2026-06-06T09:30Z",
    "2026-06-06T09:30:00",
    "2026-06-06 09:30:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00.1234567890Z",
    "2026-01-01T00:00:00+24:00",
    "0001-01-01T00:00:00+01:00",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-01:00",
    "now",
  ])("refuses %j", (text) => expect(accepts(timestampValue(), text)).toBe(false));
});

describe("numbers", () => {
  test("integer() refuses fractions, text and what lies outside", () => {
    const schema = integer(1, 10);
    for (const good of [1, 10]) expect(accepts(schema, good)).toBe(true);
    for (const bad of [0, 11, 1.5, "1", null, Number.NaN]) expect(message(schema, bad)).toBe("must be an integer between 1 and 10");
    expect(message(schema, undefined)).toBe("is required");
  });
  test("maxDurationSeconds() takes 0 as absent", () => {
    expect(value(maxDurationSeconds(), 0)).toBeUndefined();
    expect(value(maxDurationSeconds(), 5)).toBe(5);
    expect(value(maxDurationSeconds(), 86_400)).toBe(86_400);
    for (const bad of [1, 4, -1, 86_401, 5.5, "5"]) expect(accepts(maxDurationSeconds(), bad), String(bad)).toBe(false);
  });
});

describe("ids and bytes", () => {
  const id = "01980A00-0000-7000-8000-00000000000F";
  test("uuidValue() and uuidParam() give lower case", () => {
    expect(value(uuidValue(), id)).toBe(id.toLowerCase());
    expect(value(uuidParam("run"), id)).toBe(id.toLowerCase());
  });
  test("uuidParam() has the text of http §1.1", () => expect(message(uuidParam("run"), "7")).toBe("invalid run id"));
  test.each(["aGk=", "aA==", "YWJj", "+/+/"])("base64Text() accepts %s", (text) => expect(accepts(base64Text(), text)).toBe(true));
  test.each(["", "aGk", "aGk=\n", "a===", "-_-_", "YW Jj", "=aaa"])("base64Text() refuses %j", (text) =>
    expect(accepts(base64Text(), text)).toBe(false),
  );
  test("plainText() refuses what PostgreSQL cannot store", () => {
    expect(accepts(plainText(), "é\u{1F600}\n")).toBe(true);
    expect(message(plainText(), "\uD83D")).toBe("must not contain halves of surrogate pairs");
    expect(message(plainText(), "\0")).toBe("must not contain NUL characters");
  });
});

describe("queries", () => {
  test("limitQuery() refuses and never clamps", () => {
    const schema = limitQuery(200, 100);
    expect(value(schema, undefined)).toBe(100);
    expect(value(schema, "1")).toBe(1);
    expect(value(schema, "200")).toBe(200);
    for (const bad of ["0", "201", "", "-1", "1.5", "1e2", " 1", "x", "99999999999", ["1", "2"]]) {
      expect(message(schema, bad)).toBe("limit must be an integer from 1 to 200");
    }
  });
  test("cursorQuery() takes non-negative safe integers", () => {
    expect(value(cursorQuery(), undefined)).toBeUndefined();
    expect(value(cursorQuery(), "0")).toBe(0);
    expect(value(cursorQuery(), "9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    for (const bad of ["-1", "", "1.0", "9007199254740993", "99999999999999999999"]) {
      expect(message(cursorQuery("after_sequence"), bad)).toBe("after_sequence must be a non-negative integer");
    }
  });
  test("followQuery() is true for 1 only", () => {
    expect(["1", "0", "true", undefined].map((text) => value(followQuery(), text))).toEqual([true, false, false, false]);
  });
  test("textFilter() takes blank as absent", () => {
    expect([" ", "", undefined, "a"].map((text) => value(textFilter(), text))).toEqual([undefined, undefined, undefined, "a"]);
    expect(accepts(textFilter(), "\0")).toBe(false);
  });
});
