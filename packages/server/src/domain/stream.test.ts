import fc from "fast-check";
import { isUuid } from "@helmr/protocol/shared";
import { describe, expect, test } from "vitest";
import type { SessionFacts } from "./session.ts";
import { decideInput, fits, streamId } from "./stream.ts";

const sessionId = "01980a00-1234-7000-8000-000000000001";

describe("streamId()", () => {
  test("is a UUIDv7 of the session's time, and always the same", () => {
    const id = streamId({ sessionId, direction: "input", name: "approvals" });
    expect(id).toMatch(/^01980a00-1234-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(streamId({ sessionId, direction: "input", name: "approvals" })).toBe(id);
  });

  test("differs with session, direction and name", () => {
    const subject = fc.record({
      sessionId: fc.uuid({ version: 7 }),
      direction: fc.constantFrom("input" as const, "output" as const),
      name: fc.string(),
    });
    fc.assert(
      fc.property(subject, subject, (left, right) => {
        expect(isUuid(streamId(left))).toBe(true);
        const same = left.sessionId === right.sessionId && left.direction === right.direction && left.name === right.name;
        expect(streamId(left) === streamId(right)).toBe(same);
      }),
    );
  });
});

test("fits() compares sequence, and the correlation when one is wanted", () => {
  const record = { sequence: 3, correlationId: "a" };
  expect(fits({ afterSequence: 2, correlationId: null }, record)).toBe(true);
  expect(fits({ afterSequence: 3, correlationId: null }, record)).toBe(false);
  expect(fits({ afterSequence: 0, correlationId: "a" }, record)).toBe(true);
  expect(fits({ afterSequence: 0, correlationId: "b" }, record)).toBe(false);
  expect(fits({ afterSequence: 0, correlationId: "b" }, { sequence: 3, correlationId: null })).toBe(false);
});

describe("decideInput()", () => {
  const open: SessionFacts = { state: "open", pastExpiry: false, run: "finished", continuationPending: false, waitOpen: false };
  test.each([
    [open, "append"],
    [{ ...open, run: "executing" as const }, "append"],
    [{ ...open, state: "closed" as const }, "terminal"],
    [{ ...open, state: "cancelled" as const, pastExpiry: true }, "terminal"],
    [{ ...open, state: "expired" as const }, "expired"],
    [{ ...open, pastExpiry: true }, "expire"],
    [{ ...open, pastExpiry: true, run: "executing" as const }, "expired"],
    [{ ...open, pastExpiry: true, continuationPending: true }, "expired"],
  ])("%o → %s", (facts, decision) => expect(decideInput(facts)).toBe(decision));
});
