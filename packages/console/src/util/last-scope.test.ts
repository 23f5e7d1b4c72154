import { expect, test } from "vitest";
import { startScope } from "./last-scope.ts";

const projects = [
  { slug: "a", is_default: false, environments: [{ slug: "production", is_default: true }] },
  {
    slug: "b",
    is_default: true,
    environments: [
      { slug: "staging", is_default: false },
      { slug: "production", is_default: true },
    ],
  },
];

test("startScope() prefers what was looked at last, then the defaults, then anything", () => {
  expect(startScope(projects, { project: "b", environment: "staging" })).toEqual({ project: "b", environment: "staging" });
  expect(startScope(projects, { project: "gone", environment: "x" })).toEqual({ project: "b", environment: "production" });
  expect(startScope([{ slug: "a", is_default: false, environments: [{ slug: "x", is_default: false }] }], undefined)).toEqual({
    project: "a",
    environment: "x",
  });
  expect(startScope([], undefined)).toBeUndefined();
});
