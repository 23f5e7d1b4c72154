import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { idempotencyKeyValue, idempotencyKeys } from "./idempotency-keys.ts";

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

test("idempotencyKeys.create() hashes scope and list", () => {
  expect(idempotencyKeys.create("order-1")).toEqual({
    value: digest({ scope: "global", key: ["order-1"] }),
    key: "order-1",
    scope: "global",
  });
  expect(idempotencyKeys.create(["order", "1"], { scope: "global" })).toEqual({
    value: digest({ scope: "global", key: ["order", "1"] }),
    key: ["order", "1"],
    scope: "global",
  });
  expect(idempotencyKeys.create(["ab", "c"]).value).not.toBe(idempotencyKeys.create(["a", "bc"]).value);
});

test("sessions.start sends the value of a key object, and hashes everything else", () => {
  const key = idempotencyKeys.create("x");
  expect(idempotencyKeyValue(key)).toBe(key.value);
  expect(idempotencyKeyValue("x")).toBe(key.value);
  expect(idempotencyKeyValue(["x"])).toBe(key.value);
});

test.each(["", [], ["a", ""], [1], 5, null])("idempotencyKeys.create(%j) is refused", (key) => {
  expect(() => idempotencyKeys.create(key as string)).toThrow("An idempotency key must be a text, or a list of texts, none of them empty");
});
