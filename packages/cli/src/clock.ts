/** Waiting with a bound. The only timers of the command line. */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "./failure.ts";

/** Ends early, by an exception, when the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}

/** The text that a wait which ran out of time ends with (cli §5.2, §5.3). */
const deadlineText = "context deadline exceeded";

export class DeadlineExceeded extends Failure {
  constructor(prefix = "") {
    super(`${prefix}${deadlineText}`);
    this.name = "DeadlineExceeded";
  }
}

/**
 * Runs `work` with a signal that is aborted by `signal` or after `ms`. When the time is over the result is a DeadlineExceeded, whatever
 * `work` made of its abort. Without `ms` there is no limit.
 */
export async function withDeadline<T>(
  limit: { ms: number | undefined; signal: AbortSignal; prefix?: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (limit.ms === undefined) return work(limit.signal);
  // A timer holds at most 2^31-1 ms; longer limits are cut to that, about 24 days.
  const deadline = AbortSignal.timeout(Math.min(limit.ms, 2_147_483_647));
  try {
    return await work(AbortSignal.any([limit.signal, deadline]));
  } catch (error) {
    if (deadline.aborted && !limit.signal.aborted) throw new DeadlineExceeded(limit.prefix);
    throw error;
  }
}
