import { expect, test } from "vitest";
import * as z from "zod";
import { firstIssueCode, firstIssueText, parseInput, pathText } from "./issues.ts";
import { int32Max, int32Min, integer, refused, taskId } from "./values.ts";

const schema = z.strictObject({
  options: refused("options is not accepted for session start"),
  task_id: taskId(),
  priority: integer(int32Min, int32Max).optional(),
  active: z.boolean().optional(),
  retry: z.strictObject({ backoff: z.strictObject({ minMs: integer(1, 9) }) }).optional(),
  list: z.array(z.string()).min(1).max(2).optional(),
  either: z.union([z.strictObject({ a: z.string() }), z.strictObject({ b: z.strictObject({ c: z.number() }) })]).optional(),
  kind: z.discriminatedUnion("type", [z.strictObject({ type: z.literal("id") }), z.strictObject({ type: z.literal("name") })]).optional(),
  map: z.record(z.string().max(2), z.number()).optional(),
  one: z.literal([1, null]).optional(),
});

test.each([
  [undefined, "the request body is required"],
  [null, "the request body must be a JSON object"],
  [[], "the request body must be a JSON object"],
  [{}, "task_id is required"],
  [{ task_id: 1 }, "task_id must be a string"],
  [{ task_id: "a b" }, "task_id must be a name that matches ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"],
  [{ task_id: "a", foo: 1, bar: 2 }, 'unknown field "foo"'],
  [{ task_id: "a", options: null }, "options is not accepted for session start"],
  [{ task_id: "a", priority: 0.5 }, "priority must be an integer between -2147483648 and 2147483647"],
  [{ task_id: "a", active: "yes" }, "active must be true or false"],
  [{ task_id: "a", retry: { backoff: { minMs: 0 } } }, "retry.backoff.minMs must be an integer between 1 and 9"],
  [{ task_id: "a", retry: { backoff: { minMs: 1, x: 1 } } }, 'unknown field "retry.backoff.x"'],
  [{ task_id: "a", list: "x" }, "list must be an array"],
  [{ task_id: "a", list: [] }, "list must not be empty"],
  [{ task_id: "a", list: ["a", 1] }, "list[1] must be a string"],
  [{ task_id: "a", list: ["a", "b", "c"] }, "list must have at most 2 entries"],
  [{ task_id: "a", either: { b: { c: "x" } } }, "either.b.c must be a number"],
  [{ task_id: "a", either: 1 }, "either has none of the accepted forms"],
  [{ task_id: "a", kind: { type: "x" } }, 'kind.type must be one of "id", "name"'],
  [{ task_id: "a", map: { abc: 1 } }, "map.abc must have at most 2 characters"],
  [{ task_id: "a", map: { a: "x" } }, "map.a must be a number"],
  [{ task_id: "a", one: 2 }, "one must be one of 1, null"],
])("%j is refused with: %s", (input, text) => {
  expect(parseInput(schema, input)).toEqual({ ok: false, text });
});

test("parseInput() gives the parsed value", () => {
  expect(parseInput(schema, { task_id: "a" })).toEqual({ ok: true, value: { task_id: "a" } });
});

test("a rule's own code is passed on, and only a known one", () => {
  const coded = (code: string) =>
    z.string().superRefine((_text, context) => context.addIssue({ code: "custom", message: "version_id is required", params: { code } }));
  expect(parseInput(coded("workspace_version_id_required"), "x")).toEqual({
    ok: false,
    text: "version_id is required",
    code: "workspace_version_id_required",
  });
  expect(parseInput(coded("no_such_code"), "x")).toEqual({ ok: false, text: "version_id is required" });
});

test("an error that came from a plain safeParse has a text too", () => {
  const error = schema.safeParse({ task_id: "a", priority: "x" }).error!;
  expect(firstIssueText(error)).toBe("priority must be an integer between -2147483648 and 2147483647");
  expect(firstIssueCode(error)).toBeUndefined();
});

test("pathText() writes members and positions", () => {
  expect(pathText(["a", 0, "b", 1])).toBe("a[0].b[1]");
});
