import { describe, expect, test } from "vitest";
import { decideCancelToken, decideComplete, tokenStates, tokenStatus, tokenTransitions } from "./token.ts";
import { statesOf } from "./transitions.ts";

const facts = (state: (typeof tokenStates)[number], pastTimeout = false) => ({ state, pastTimeout });

test("a pending token past its timeout is expired; nothing else changes with time", () => {
  expect(tokenStates.map((state) => tokenStatus(facts(state)))).toEqual([...tokenStates]);
  expect(tokenStates.map((state) => tokenStatus(facts(state, true)))).toEqual(["expired", "completed", "expired", "cancelled"]);
});

describe("decideComplete()", () => {
  test.each([
    [facts("pending"), false, "complete"],
    [facts("pending", true), false, "expired"],
    [facts("completed", true), true, "already_completed"],
    [facts("completed"), false, "conflict"],
    [facts("cancelled"), true, "cancelled"],
    [facts("expired"), true, "expired"],
  ] as const)("%o, same data %s → %s", (token, sameData, decision) => expect(decideComplete(token, sameData)).toBe(decision));
});

test("decideCancelToken() says what stands in the way", () => {
  expect(tokenStates.map((state) => decideCancelToken(facts(state)))).toEqual(["cancel", "completed", "expired", "cancelled"]);
  expect(decideCancelToken(facts("pending", true))).toBe("expired");
});

test("the table names every state", () => {
  expect(statesOf<string>(tokenTransitions).sort()).toEqual([...tokenStates].sort());
});
