import type { Deployment, Run, Session } from "@helmr/protocol/api";
import { runStatuses } from "@helmr/protocol/api";
import { expect, test } from "vitest";
import { deploymentRule, runRule, sessionRule } from "./rules.ts";

test("a session closes only when the server says it can, and only while it is open", () => {
  expect(sessionRule.close({ status: "open", can_close: true } as Session)).toBeUndefined();
  expect(sessionRule.close({ status: "open", can_close: false } as Session)).toMatch(/active/);
  expect(sessionRule.close({ status: "expired", can_close: false } as Session)).toMatch(/expired/);
});

test("a run can be cancelled until it has ended", () => {
  const allowed = runStatuses.filter((status) => runRule.cancel({ status } as Run) === undefined);
  expect(allowed).toEqual(["queued", "running", "waiting"]);
});

test("only a finished build that is not current can be promoted", () => {
  expect(deploymentRule.promote({ status: "deployed" } as Deployment, false)).toBeUndefined();
  expect(deploymentRule.promote({ status: "deployed" } as Deployment, true)).toMatch(/current/);
  expect(deploymentRule.promote({ status: "building" } as Deployment, false)).toMatch(/not finished/);
});
