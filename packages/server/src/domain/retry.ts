/** Retry policies (http §7.6): which failures are tried again, and after what delay. Pure; randomness is passed in. */
export type RetryPolicy = { enabled: false } | { enabled?: true; maxAttempts: number; backoff?: Backoff };
export interface Backoff {
  minMs?: number;
  maxMs?: number;
  factor?: number;
  jitter?: "none" | "full";
}

export type FailureKind =
  | "task_failed"
  | "max_duration"
  | "task_not_found"
  | "duplicate_task_id"
  | "missing_config"
  | "task_parse_failed"
  | "worker_failed"
  | "worker_lease_expired";

/** What the retry policy calls the reason; absent: never retried. */
const retryReason: Readonly<Partial<Record<FailureKind, "timeout" | "non_zero_exit" | "transient_error">>> = {
  task_failed: "non_zero_exit",
  max_duration: "timeout",
  worker_failed: "transient_error",
  worker_lease_expired: "transient_error",
};

export type RetryDecision = { retry: false } | { retry: true; reason: string; delayMs: number };

export function decideRetry(input: { policy: RetryPolicy; attemptNumber: number; failure: FailureKind; random: number }): RetryDecision {
  const { policy, attemptNumber, failure } = input;
  const reason = retryReason[failure];
  if (reason === undefined || policy.enabled === false || attemptNumber >= policy.maxAttempts) return { retry: false };
  return { retry: true, reason, delayMs: backoffMs(policy.backoff ?? {}, attemptNumber, input.random) };
}

const defaults = { minMs: 1_000, maxMs: 30_000, factor: 2, jitter: "full" } as const;

/** `attemptNumber` is the one that failed, from 1. Jitter `full` is uniform in [0, delay). */
export function backoffMs(backoff: Backoff, attemptNumber: number, random: number): number {
  const { minMs = defaults.minMs, maxMs = defaults.maxMs, factor = defaults.factor, jitter = defaults.jitter } = backoff;
  const delay = Math.min(maxMs, Math.round(minMs * factor ** (attemptNumber - 1)));
  return jitter === "none" ? delay : Math.floor(delay * random);
}
