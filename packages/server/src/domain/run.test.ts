import { runStatuses } from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import { decideCancel, heldRunStates, liveRunStates, projectRun, runOutcomes, runStates, runTransitions, statesOfStatus } from "./run.ts";
import { statesOf } from "./transitions.ts";

describe("runTransitions", () => {
  test("name every state and leave nothing after finished", () => {
    expect(statesOf(runTransitions).sort()).toEqual([...runStates].sort());
    for (const { from } of Object.values(runTransitions)) expect(from).not.toContain("finished");
  });

  test("a run can be finished from every live state", () => {
    expect([...runTransitions.finish.from].sort()).toEqual([...liveRunStates].sort());
  });
});

describe("projectRun()", () => {
  test.each([
    ["queued", null, "queued", "queued"],
    ["leased", null, "queued", "leased"],
    ["executing", null, "running", "executing"],
    ["waiting", null, "waiting", "waiting"],
    ["cancelling", null, "cancelled", "pending_cancel"],
    ["finished", "succeeded", "succeeded", "finished"],
    ["finished", "failed", "failed", "finished"],
    ["finished", "cancelled", "cancelled", "finished"],
    ["finished", "expired", "expired", "finished"],
    ["finished", "dead_lettered", "failed", "finished"],
  ] as const)("%s %s reads %s, %s", (state, outcome, status, execution) => {
    expect(projectRun(state, outcome)).toEqual({ status, execution });
  });

  test("statesOfStatus() selects exactly the rows that project to the status", () => {
    const rows = [
      ...liveRunStates.map((state) => ({ state, outcome: null })),
      ...runOutcomes.map((outcome) => ({ state: "finished" as const, outcome })),
    ];
    for (const status of runStatuses) {
      const { states, outcomes } = statesOfStatus(status);
      for (const { state, outcome } of rows) {
        const selected = outcome === null ? states.includes(state) : outcomes.includes(outcome);
        expect(selected, `${status} ${state} ${outcome}`).toBe(projectRun(state, outcome).status === status);
      }
    }
    expect(statesOfStatus("live")).toEqual({ states: ["queued", "leased", "executing", "waiting"], outcomes: [] });
    expect(statesOfStatus("all")).toEqual({ states: [...liveRunStates], outcomes: [...runOutcomes] });
  });
});

describe("decideCancel()", () => {
  test.each([
    ["queued", "finish", "finish"],
    ["leased", "finish", "finish"],
    ["executing", "request", "finish"],
    ["waiting", "finish", "finish"],
    ["cancelling", "repeat", "finish"],
    ["finished", "reject", "reject"],
  ] as const)("%s: %s, by force %s", (state, gentle, forced) => {
    expect(decideCancel(state, false).kind).toBe(gentle);
    expect(decideCancel(state, true).kind).toBe(forced);
  });

  test("a cancel that only asks leaves a holder that can be asked", () => {
    for (const state of runStates) if (decideCancel(state, false).kind === "request") expect(heldRunStates).toContain(state);
  });
});
