import { expect, test } from "vitest";
import { continuationStates, continuationTransitions, decideContinue } from "./continuation.ts";
import { runStates } from "./run.ts";
import { sessionStates } from "./session.ts";
import { statesOf } from "./transitions.ts";

test("a request is started when the run before it is over and the session goes on", () => {
  for (const state of sessionStates)
    for (const pastExpiry of [true, false])
      for (const run of [null, ...runStates]) {
        const isOver = run === null || run === "finished";
        const expected = !isOver ? "hold" : state === "open" && !pastExpiry ? "start" : "skip";
        expect(decideContinue({ state, pastExpiry }, run)).toBe(expected);
      }
});

test("the table names every state", () => {
  expect(statesOf<string>(continuationTransitions).sort()).toEqual([...continuationStates].sort());
});
