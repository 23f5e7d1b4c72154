/**
 * A wait: a durable pause of a run until a token is completed, a stream record arrives, or a time has come. Two small machines, not one product.
 *
 * Condition: what is waited for. It is decided once, by whoever locks the row first; `resolved_by` keeps who that was.
 *   open ──satisfy──▶ satisfied
 *     │ ───timeOut──▶ timed_out
 *     └────cancel───▶ cancelled     the run ended or was cancelled, the token was cancelled, the program gave the wait up
 *
 * Suspension: where the waiting process is.
 *   live ──beginPark──▶ parking ──parked──▶ parked ──beginResume──▶ resuming ──resumed──▶ resumed
 *     ▲                    │                   ▲                       │
 *     └────parkFailed──────┘                   └──────resumeLost───────┘
 *
 * A condition may be decided in any suspension. Decided while live or parking, the outcome goes to the live process (a park under way is called
 * off); decided while parked, the run is queued again to resume. A failed park leaves the run live and never fails it.
 *
 * The condition is looked at when the wait is opened, when it is parked, and whenever its `wake_at` has come: each time under the lock of the run, so
 * that what happens in between is never missed (`decideCondition`).
 */
import type { TokenState } from "./token.ts";
import { can, type Transitions } from "./transitions.ts";

export type WaitKind = "token" | "stream" | "timer";

export const waitConditions = ["open", "satisfied", "timed_out", "cancelled"] as const;
export type WaitCondition = (typeof waitConditions)[number];
export const waitSuspensions = ["live", "parking", "parked", "resuming", "resumed"] as const;
export type WaitSuspension = (typeof waitSuspensions)[number];

export const conditionTransitions = {
  satisfy: { from: ["open"], to: "satisfied" },
  timeOut: { from: ["open"], to: "timed_out" },
  cancel: { from: ["open"], to: "cancelled" },
} as const satisfies Transitions<WaitCondition>;

export const suspensionTransitions = {
  beginPark: { from: ["live"], to: "parking" },
  parkFailed: { from: ["parking"], to: "live" },
  parked: { from: ["live", "parking"], to: "parked" },
  beginResume: { from: ["parked"], to: "resuming" },
  resumeLost: { from: ["resuming"], to: "parked" },
  resumed: { from: ["resuming"], to: "resumed" },
} as const satisfies Transitions<WaitSuspension>;

/** http §7.1: text for display. */
export function waitDisplayStatus(suspension: WaitSuspension): "live" | "parked" {
  return suspension === "parked" || suspension === "resuming" ? "parked" : "live";
}

export type ResolutionDelivery =
  /** The process is there: the holder of the run gets the outcome. */
  | "to_holder"
  /** The process is saved: the run is queued to come back. */
  | "resume"
  /** Decided before: nothing changes. */
  | "none";

/** Where the outcome of a condition goes when it is decided now. */
export function resolutionDelivery(condition: WaitCondition, suspension: WaitSuspension): ResolutionDelivery {
  if (!can(conditionTransitions.satisfy, condition)) return "none";
  return can(suspensionTransitions.beginResume, suspension) ? "resume" : "to_holder";
}

/** What a look at the world says about an open wait. What does not belong to its kind is false or null. */
export interface ConditionFacts {
  /** Of the token, with its timeout taken into account. */
  token: TokenState | null;
  /** A record that fits is there. */
  record: boolean;
  /** The timer's time has come. */
  due: boolean;
  /** The wait's own timeout has passed. */
  timedOut: boolean;
}

/** What came true outranks the timeout: a token that was completed in time counts even when it is looked at late. */
export function decideCondition({ token, record, due, timedOut }: ConditionFacts): WaitCondition {
  if (token === "completed" || record || due) return "satisfied";
  if (token === "cancelled") return "cancelled";
  return token === "expired" || timedOut ? "timed_out" : "open";
}

export interface LiveWindow {
  kind: WaitKind;
  parkable: boolean;
  delayMs: number | null;
  timeoutMs: number | null;
  idleTimeoutMs: number | null;
}

/** How long a wait stays live before its holder should park; `undefined`: it never should (sdk §8.3). */
export function liveWindowMs(wait: LiveWindow, bounds: { waitLiveMs: number; timerLiveMs: number }): number | undefined {
  if (!wait.parkable) return undefined;
  if (wait.kind === "timer") return wait.delayMs !== null && wait.delayMs > bounds.timerLiveMs ? bounds.timerLiveMs : undefined;
  const windowMs = Math.min(bounds.waitLiveMs, wait.idleTimeoutMs ?? Number.POSITIVE_INFINITY);
  return wait.timeoutMs !== null && wait.timeoutMs <= windowMs ? undefined : windowMs;
}

/** Where a token stands decides what the program hears: an expired one times the wait out. */
export type WaitEnd = Exclude<WaitCondition, "open">;
export const endStatus = { satisfied: "completed", timed_out: "timed_out", cancelled: "cancelled" } as const satisfies Record<
  WaitEnd,
  string
>;
