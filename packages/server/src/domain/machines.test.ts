import { describe, expect, test } from "vitest";
import { decideRead, decideWrite } from "./bytes.ts";
import { decideInterruptedBuild, deploymentStates, deploymentTransitions, deploymentVersion } from "./deployment.ts";
import { decideLostLease, leaseStates, leaseTransitions } from "./lease.ts";
import { inStates, statesOf } from "./transitions.ts";
import {
  conditionTransitions,
  resolutionDelivery,
  suspensionTransitions,
  waitConditions,
  waitDisplayStatus,
  waitSuspensions,
} from "./wait.ts";
import { workerStates, workerTransitions } from "./worker.ts";
import { decideCommit, liveMountStates, mountStates, mountTransitions, workspaceStates, workspaceTransitions } from "./workspace.ts";

describe("transition tables", () => {
  test.each([
    ["lease", leaseTransitions, leaseStates],
    ["deployment", deploymentTransitions, deploymentStates],
    ["condition", conditionTransitions, waitConditions],
    ["suspension", suspensionTransitions, waitSuspensions],
    ["worker", workerTransitions, workerStates],
    ["mount", mountTransitions, mountStates],
    ["workspace", workspaceTransitions, workspaceStates],
  ] as const)("%s names every state of its union", (_name, table, states) => {
    expect(statesOf<string>(table).sort()).toEqual([...states].sort());
  });

  test("a live mount can always be ended", () => {
    expect([...mountTransitions.fail.from].sort()).toEqual([...liveMountStates].sort());
  });

  test("inStates() is a guard in SQL", () => {
    expect(inStates(leaseTransitions.expire.from)).toBe("in ('held')");
  });
});

describe("decideLostLease()", () => {
  test("the same attempt while no user code ran, a bounded number of times; the policy afterwards", () => {
    expect(decideLostLease({ runState: "leased", lostStarts: 0, lostStartsMax: 5 })).toEqual({ kind: "requeue" });
    expect(decideLostLease({ runState: "leased", lostStarts: 4, lostStartsMax: 5 })).toEqual({ kind: "give_up" });
    expect(decideLostLease({ runState: "executing", lostStarts: 4, lostStartsMax: 5 })).toEqual({ kind: "ask_policy" });
    expect(decideLostLease({ runState: "cancelling", lostStarts: 0, lostStartsMax: 5 })).toEqual({ kind: "cancelled" });
  });
});

describe("decideCommit()", () => {
  test("moves the head only from where the tree began", () => {
    expect(decideCommit({ status: "captured" }, "v1", "v1")).toEqual({ kind: "advance" });
    expect(decideCommit({ status: "captured" }, "v1", "v2")).toEqual({ kind: "set_aside" });
    expect(decideCommit({ status: "unchanged" }, "v1", "v2")).toEqual({ kind: "keep" });
    expect(decideCommit({ status: "capture_failed" }, "v1", "v1")).toEqual({ kind: "lost" });
  });
});

describe("waits", () => {
  test("an outcome goes to the process, wherever it is, and once", () => {
    expect(resolutionDelivery("open", "live")).toBe("to_holder");
    expect(resolutionDelivery("open", "parking")).toBe("to_holder");
    expect(resolutionDelivery("open", "parked")).toBe("resume");
    expect(resolutionDelivery("satisfied", "parked")).toBe("none");
    expect(waitSuspensions.map(waitDisplayStatus)).toEqual(["live", "live", "parked", "parked", "live"]);
  });
});

describe("byte streams", () => {
  const stream = { length: 10, earliest: 4, closed: false };
  test.each([
    [10, 5, { kind: "append" }],
    [5, 5, { kind: "replay" }],
    [0, 3, { kind: "replay" }],
    [8, 5, { kind: "refused", reason: "overlap", expected: 10 }],
    [11, 1, { kind: "refused", reason: "gap", expected: 10 }],
  ] as const)("a write of bytes %i + %i", (offset, size, decision) => {
    expect(decideWrite(stream, offset, size)).toEqual(decision);
  });

  test("a closed stream takes replays only", () => {
    expect(decideWrite({ ...stream, closed: true }, 10, 1)).toMatchObject({ reason: "closed" });
    expect(decideWrite({ ...stream, closed: true }, 9, 1)).toEqual({ kind: "replay" });
  });

  test("a cursor before what is kept is said", () => {
    expect(decideRead(stream, 3)).toEqual({ kind: "expired", earliest: 4 });
    expect(decideRead(stream, 4)).toEqual({ kind: "from", offset: 4 });
    expect(decideRead(stream, 99)).toEqual({ kind: "from", offset: 10 });
  });
});

describe("deployments", () => {
  test("an interrupted build is tried a bounded number of times", () => {
    expect(decideInterruptedBuild(2, 3)).toBe("requeue");
    expect(decideInterruptedBuild(3, 3)).toBe("fail");
    expect(deploymentVersion("2026-06-06", 12)).toBe("20260606.12");
  });
});
