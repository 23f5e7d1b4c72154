/**
 * A session: a durable thread of runs of one task, over one workspace. It stays open when a run succeeds or fails.
 *
 *   open ──close──▶ closed       asked for, when nothing is live or pending
 *     │ ───cancel─▶ cancelled    ends the current run with it
 *     └────expire─▶ expired      past expires_at and nothing is live or pending; by a sweep or on access
 *
 * A terminal session never changes again, except for what its cancelled run still reports. Activity and can_close are projections of the session,
 * its current run, its pending continuations and open waits (http §4.1).
 */
import type { SessionActivity } from "@helmr/protocol/api";
import type { RunState } from "./run.ts";
import { can, type Transitions } from "./transitions.ts";

export const sessionStates = ["open", "closed", "cancelled", "expired"] as const;
export type SessionState = (typeof sessionStates)[number];

export const sessionTransitions = {
  close: { from: ["open"], to: "closed" },
  cancel: { from: ["open"], to: "cancelled" },
  expire: { from: ["open"], to: "expired" },
} as const satisfies Transitions<SessionState>;

export interface SessionFacts {
  state: SessionState;
  /** Past `expires_at` by the database's clock. */
  pastExpiry: boolean;
  /** The current run, if there is one. */
  run: RunState | null;
  continuationPending: boolean;
  waitOpen: boolean;
}

/** The first line that holds decides. */
const activityTable: readonly { when: (facts: SessionFacts) => boolean; activity: SessionActivity }[] = [
  { when: (facts) => facts.state !== "open", activity: "idle" },
  { when: (facts) => facts.continuationPending, activity: "queued" },
  { when: (facts) => facts.run === null || facts.run === "finished", activity: "idle" },
  { when: (facts) => facts.waitOpen, activity: "waiting" },
  { when: (facts) => facts.run === "queued" || facts.run === "leased", activity: "queued" },
  { when: () => true, activity: "running" },
];

export function sessionActivity(facts: SessionFacts): SessionActivity {
  return activityTable.find((line) => line.when(facts))?.activity ?? "idle";
}

const nothingLive = (facts: SessionFacts) => (facts.run === null || facts.run === "finished") && !facts.continuationPending;

export function canClose(facts: SessionFacts): boolean {
  return can(sessionTransitions.close, facts.state) && !facts.pastExpiry && nothingLive(facts);
}

/** Due for expiry: what the sweep and every access look for. */
export function mustExpire(facts: SessionFacts): boolean {
  return can(sessionTransitions.expire, facts.state) && facts.pastExpiry && nothingLive(facts);
}

export type CloseDecision = "close" | "expire" | "unchanged" | "run_active" | "terminal";

/** http §4.4. */
export function decideClose(facts: SessionFacts): CloseDecision {
  if (facts.state === "closed") return "unchanged";
  if (facts.state !== "open") return "terminal";
  if (mustExpire(facts)) return "expire";
  return nothingLive(facts) ? "close" : "run_active";
}

export type CancelSessionDecision = "cancel" | "expire" | "unchanged" | "terminal";

export function decideCancelSession(facts: SessionFacts): CancelSessionDecision {
  if (facts.state === "cancelled") return "unchanged";
  if (facts.state !== "open") return "terminal";
  return mustExpire(facts) ? "expire" : "cancel";
}
