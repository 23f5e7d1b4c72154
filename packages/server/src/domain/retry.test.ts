import { describe, expect, test } from "vitest";
import { backoffMs, decideRetry } from "./retry.ts";

describe("decideRetry()", () => {
  const policy = { enabled: true, maxAttempts: 3, backoff: { jitter: "none" } } as const;
  test.each([
    ["task_failed", 1, { retry: true, reason: "non_zero_exit", delayMs: 1000 }],
    ["task_failed", 2, { retry: true, reason: "non_zero_exit", delayMs: 2000 }],
    ["task_failed", 3, { retry: false }],
    ["max_duration", 1, { retry: true, reason: "timeout", delayMs: 1000 }],
    ["worker_failed", 1, { retry: true, reason: "transient_error", delayMs: 1000 }],
    ["worker_lease_expired", 1, { retry: true, reason: "transient_error", delayMs: 1000 }],
    ["task_not_found", 1, { retry: false }],
    ["duplicate_task_id", 1, { retry: false }],
    ["missing_config", 1, { retry: false }],
    ["task_parse_failed", 1, { retry: false }],
  ] as const)("%s on attempt %i", (failure, attemptNumber, decision) => {
    expect(decideRetry({ policy, attemptNumber, failure, random: 0.5 })).toEqual(decision);
  });

  test("never without a policy", () => {
    expect(decideRetry({ policy: { enabled: false }, attemptNumber: 1, failure: "task_failed", random: 0 })).toEqual({ retry: false });
  });
});

describe("backoffMs()", () => {
  test("grows by the factor up to the maximum", () => {
    expect([1, 2, 3, 4, 5, 6, 7].map((attempt) => backoffMs({ jitter: "none" }, attempt, 0))).toEqual([
      1000, 2000, 4000, 8000, 16000, 30000, 30000,
    ]);
    expect(backoffMs({ minMs: 3, factor: 1.5, jitter: "none" }, 2, 0)).toBe(5);
  });

  test("full jitter is in [0, delay)", () => {
    expect(backoffMs({}, 1, 0)).toBe(0);
    expect(backoffMs({}, 1, 0.999999)).toBe(999);
  });
});
