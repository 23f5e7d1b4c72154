import { describe, expect, test } from "vitest";
import { DecisionLog } from "./decision-log.ts";
import type { NetworkDecision } from "./decision-log.ts";
import { networkLimits } from "./limits.ts";

function logging() {
  const reported: NetworkDecision[] = [];
  return { reported, log: new DecisionLog((decision) => reported.push(decision), 1_000) };
}

const denied = (port: number) =>
  ({ kind: "connection", verdict: "deny", reason: "private", address: "10.0.0.1", port, names: [] }) as const;

describe("DecisionLog", () => {
  test("reports the first of its kind at once, with a sentence, and counts the same again", () => {
    const { log, reported } = logging();
    for (let index = 0; index < 5; index += 1) log.add(denied(80), 1_000 + index);
    expect(reported).toEqual([{ ...denied(80), at: 1_000, repeats: 0, missed: 0, sentence: expect.stringContaining("private network") }]);
    log.add(denied(80), 1_000 + networkLimits.decisionRepeatMs);
    expect(reported[1]).toMatchObject({ repeats: 4, at: 1_000 + networkLimits.decisionRepeatMs });
  });

  test("tells ports, verdicts and names apart", () => {
    const { log, reported } = logging();
    log.add(denied(80), 1_000);
    log.add(denied(81), 1_000);
    log.add({ ...denied(80), reason: "metadata" }, 1_000);
    log.add({ kind: "connection", verdict: "allow", address: "10.0.0.1", port: 80, names: ["a.example"] }, 1_000);
    log.add({ kind: "name", verdict: "allow", name: "a.example" }, 1_000);
    log.add({ kind: "name", verdict: "deny", reason: "not_in_allow_list", name: "a.example" }, 1_000);
    expect(reported).toHaveLength(6);
  });

  test("reports no more than its rate, and how many it missed", () => {
    const { log, reported } = logging();
    for (let port = 1; port <= 10_000; port += 1) log.add(denied(port), 1_000);
    expect(reported).toHaveLength(networkLimits.decisionsBurst);
    log.add(denied(20_000), 2_000);
    expect(reported.at(-1)).toMatchObject({ port: 20_000, missed: 10_000 - networkLimits.decisionsBurst });
    log.add(denied(20_001), 2_000);
    expect(reported.at(-1)).toMatchObject({ port: 20_001, missed: 0 });
  });
});
