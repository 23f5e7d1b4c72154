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
 */
import { can, type Transitions } from "./transitions.ts";

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
