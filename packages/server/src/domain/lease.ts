/**
 * A lease: a time-bounded exclusive right of one worker over one subject (a run, a deployment build, a mount of its own), with a fence that only
 * grows per subject.
 *
 *   held ──release──▶ released     the holder said that it is done
 *     │ ───expire───▶ expired      the deadline passed by the database's clock
 *     └────fence────▶ fenced       taken away: cancelled by force, another epoch of the worker, a drained host
 *
 * A holder's write names lease and fence; when the lease is not held with that fence, or its deadline has passed, the write changes nothing and
 * the answer is `stale`. One held lease per subject is a unique index. A lease never comes back: the subject gets a new one with a higher fence.
 */
import type { Transitions } from "./transitions.ts";

export const leaseStates = ["held", "released", "expired", "fenced"] as const;
export type LeaseState = (typeof leaseStates)[number];
export const leaseKinds = ["run", "build", "mount"] as const;

export const leaseTransitions = {
  release: { from: ["held"], to: "released" },
  expire: { from: ["held"], to: "expired" },
  fence: { from: ["held"], to: "fenced" },
} as const satisfies Transitions<LeaseState>;

/** How a lease can be lost; `expired` and `fenced` are also the states it ends in. */
export type LeaseLoss = "expired" | "fenced";

export type LostLeaseDecision =
  /** No user code ran: the same attempt is queued again. */
  | { kind: "requeue" }
  /** It can never be brought up: dead-lettered. */
  | { kind: "give_up" }
  /** User code ran: the retry policy decides. */
  | { kind: "ask_policy" }
  /** A cancel was in progress: the run ends as cancelled. */
  | { kind: "cancelled" };

export function decideLostLease(input: {
  runState: "leased" | "executing" | "cancelling";
  lostStarts: number;
  lostStartsMax: number;
}): LostLeaseDecision {
  if (input.runState === "cancelling") return { kind: "cancelled" };
  if (input.runState === "executing") return { kind: "ask_policy" };
  return input.lostStarts + 1 >= input.lostStartsMax ? { kind: "give_up" } : { kind: "requeue" };
}
