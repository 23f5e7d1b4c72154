/**
 * A continuation: the request of an unread input record for one more run of its session (http §4.5).
 *
 *   pending ──start──▶ started   its run was created: the current run had ended, and no older request was waiting
 *     │ ────read────▶ read       a live run read the record by wait, once, on or peek
 *     └────skip─────▶ skipped    the session is closed, cancelled, expired, or past its expiry
 *
 * Requests of a session are started one by one in the order in which their records arrived; a run is started under the locks of its session and of the
 * run before it, and a record is read under the lock of the run that reads it, so that a request is never both started and read.
 */
import type { RunState } from "./run.ts";
import type { SessionState } from "./session.ts";
import type { Transitions } from "./transitions.ts";

export const continuationStates = ["pending", "started", "read", "skipped"] as const;
export type ContinuationState = (typeof continuationStates)[number];

export const continuationTransitions = {
  start: { from: ["pending"], to: "started" },
  read: { from: ["pending"], to: "read" },
  skip: { from: ["pending"], to: "skipped" },
} as const satisfies Transitions<ContinuationState>;

export type ContinueDecision = "start" | "hold" | "skip";

/** What becomes of the oldest request now. */
export function decideContinue(session: { state: SessionState; pastExpiry: boolean }, run: RunState | null): ContinueDecision {
  if (run !== null && run !== "finished") return "hold";
  return session.state === "open" && !session.pastExpiry ? "start" : "skip";
}
