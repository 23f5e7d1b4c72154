import { expect, test } from "vitest";
import { errorFacts } from "./telemetry.ts";

test("of an error only name, message, code, stack and cause are logged", () => {
  const inner = Object.assign(new Error("duplicate key"), {
    code: "23505",
    detail: "Key (email)=(ada@example.com) already exists.",
    client: { password: "p" },
  });
  const facts = errorFacts(new TypeError("failed", { cause: inner }));
  expect(facts).toEqual({
    type: "TypeError",
    message: "failed",
    stack: expect.stringContaining("telemetry.test.ts") as string,
    cause: { type: "Error", message: "duplicate key", code: "23505", stack: expect.any(String) as string },
  });
  expect(JSON.stringify(facts)).not.toMatch(/ada@|password/);
});

test("what is thrown but no error is told as text", () => {
  expect(errorFacts("gone")).toEqual({ message: "gone" });
});
