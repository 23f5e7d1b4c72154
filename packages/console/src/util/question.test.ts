import { expect, test } from "vitest";
import { questionOf, withoutQuestion } from "./question.ts";

test.each([
  [{ question: "Merge?", title: "x" }, "Merge?"],
  [{ question: " ", title: "Publish 2.4.0" }, "Publish 2.4.0"],
  [{ message: 7, risk: "high" }, undefined],
  [["question"], undefined],
  [null, undefined],
])("questionOf(%j)", (metadata, expected) => {
  expect(questionOf(metadata)).toBe(expected);
});

test("withoutQuestion() leaves what the question does not say", () => {
  expect(withoutQuestion({ question: "Merge?", title: "x", risk: "high" })).toEqual({ title: "x", risk: "high" });
  expect(withoutQuestion({ question: "", risk: "high" })).toEqual({ question: "", risk: "high" });
});
