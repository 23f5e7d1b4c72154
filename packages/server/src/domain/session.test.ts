import { describe, expect, test } from "vitest";
import {
  canClose,
  decideCancelSession,
  decideClose,
  mustExpire,
  sessionActivity,
  type SessionFacts,
  sessionStates,
  sessionTransitions,
} from "./session.ts";
import { statesOf } from "./transitions.ts";

const idle: SessionFacts = { state: "open", pastExpiry: false, run: "finished", continuationPending: false, waitOpen: false };

describe("sessionActivity()", () => {
  test.each([
    [{ state: "closed", run: "finished" }, "idle"],
    [{ state: "cancelled", run: "cancelling" }, "idle"],
    [{ run: "executing", continuationPending: true }, "queued"],
    [{ run: "executing", continuationPending: true, waitOpen: true }, "queued"],
    [{ run: null }, "idle"],
    [{ run: "finished" }, "idle"],
    [{ run: "executing", waitOpen: true }, "waiting"],
    [{ run: "waiting", waitOpen: true }, "waiting"],
    [{ run: "queued" }, "queued"],
    [{ run: "leased" }, "queued"],
    [{ run: "executing" }, "running"],
    [{ run: "cancelling" }, "running"],
    [{ run: "waiting" }, "running"],
  ] satisfies [Partial<SessionFacts>, string][])("%j is %s", (facts, activity) => {
    expect(sessionActivity({ ...idle, ...facts })).toBe(activity);
  });
});

describe("canClose(), mustExpire()", () => {
  test("need a session without live or pending work", () => {
    expect(canClose(idle)).toBe(true);
    expect(canClose({ ...idle, run: null })).toBe(true);
    for (const facts of [
      { run: "queued" },
      { run: "cancelling" },
      { continuationPending: true },
      { pastExpiry: true },
      { state: "closed" },
    ] satisfies Partial<SessionFacts>[]) {
      expect(canClose({ ...idle, ...facts }), JSON.stringify(facts)).toBe(false);
    }
    expect(mustExpire({ ...idle, pastExpiry: true })).toBe(true);
    expect(mustExpire(idle)).toBe(false);
    for (const facts of [{ run: "executing" }, { continuationPending: true }, { state: "cancelled" }] satisfies Partial<SessionFacts>[]) {
      expect(mustExpire({ ...idle, pastExpiry: true, ...facts }), JSON.stringify(facts)).toBe(false);
    }
  });
});

describe("decideClose(), decideCancelSession()", () => {
  test.each([
    [{}, "close", "cancel"],
    [{ run: "executing" }, "run_active", "cancel"],
    [{ continuationPending: true }, "run_active", "cancel"],
    [{ pastExpiry: true }, "expire", "expire"],
    [{ pastExpiry: true, run: "queued" }, "run_active", "cancel"],
    [{ state: "closed" }, "unchanged", "terminal"],
    [{ state: "cancelled" }, "terminal", "unchanged"],
    [{ state: "expired" }, "terminal", "terminal"],
  ] satisfies [Partial<SessionFacts>, string, string][])("%j: close is %s, cancel is %s", (facts, close, cancel) => {
    expect(decideClose({ ...idle, ...facts })).toBe(close);
    expect(decideCancelSession({ ...idle, ...facts })).toBe(cancel);
  });

  test("the table knows every state", () => {
    expect(statesOf(sessionTransitions).sort()).toEqual([...sessionStates].sort());
  });
});
