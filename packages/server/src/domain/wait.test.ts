import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tokenStates } from "./token.ts";
import { type ConditionFacts, decideCondition, liveWindowMs } from "./wait.ts";

const nothing: ConditionFacts = { token: null, record: false, due: false, timedOut: false };

describe("decideCondition()", () => {
  test.each([
    [{}, "open"],
    [{ token: "pending" as const }, "open"],
    [{ token: "completed" as const }, "satisfied"],
    [{ token: "cancelled" as const }, "cancelled"],
    [{ token: "expired" as const }, "timed_out"],
    [{ record: true }, "satisfied"],
    [{ due: true }, "satisfied"],
    [{ timedOut: true }, "timed_out"],
    [{ token: "pending" as const, timedOut: true }, "timed_out"],
    [{ token: "cancelled" as const, timedOut: true }, "cancelled"],
  ])("%o → %s", (facts, condition) => expect(decideCondition({ ...nothing, ...facts })).toBe(condition));

  test("what came true outranks any timeout", () => {
    const facts = fc.record({
      token: fc.constantFrom(null, ...tokenStates),
      record: fc.boolean(),
      due: fc.boolean(),
      timedOut: fc.boolean(),
    });
    fc.assert(
      fc.property(facts, (given) => {
        const isTrue = given.token === "completed" || given.record || given.due;
        expect(decideCondition(given) === "satisfied").toBe(isTrue);
      }),
    );
  });
});

describe("liveWindowMs() (sdk §8.3)", () => {
  const bounds = { waitLiveMs: 120_000, timerLiveMs: 5_000 };
  const wait = { kind: "token" as const, parkable: true, delayMs: null, timeoutMs: null, idleTimeoutMs: null };
  test.each([
    ["two minutes", wait, 120_000],
    ["or the idle timeout if shorter", { ...wait, idleTimeoutMs: 10_000 }, 10_000],
    ["a longer idle timeout changes nothing", { ...wait, idleTimeoutMs: 600_000 }, 120_000],
    ["a wait whose timeout fits that window stays live", { ...wait, timeoutMs: 120_000 }, undefined],
    ["one that does not, parks", { ...wait, timeoutMs: 120_001 }, 120_000],
    ["its window is the shorter one", { ...wait, timeoutMs: 60_000, idleTimeoutMs: 30_000 }, 30_000],
    ["once() and on() never park", { ...wait, parkable: false }, undefined],
    ["a timer up to five seconds stays live", { ...wait, kind: "timer" as const, delayMs: 5_000 }, undefined],
    ["a longer one parks after five seconds", { ...wait, kind: "timer" as const, delayMs: 5_001 }, 5_000],
  ])("%s", (_rule, given, expected) => expect(liveWindowMs(given, bounds)).toBe(expected));
});
