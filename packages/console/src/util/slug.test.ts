import { expect, test } from "vitest";
import { slugOf, slugProblem } from "./slug.ts";

test.each([
  ["My Shop 2", "my-shop-2"],
  ["  Crème brûlée! ", "creme-brulee"],
  ["--", ""],
  ["x".repeat(70), "x".repeat(63)],
])("slugOf(%j) is %j", (name, slug) => expect(slugOf(name)).toBe(slug));

test("slugProblem() says what a slug looks like", () => {
  expect(slugProblem("shop-2")).toBeUndefined();
  expect(slugProblem("")).toBeUndefined();
  expect(slugProblem("-shop")).toMatch(/dashes/);
  expect(slugProblem("Shop")).toMatch(/Small letters/);
});
