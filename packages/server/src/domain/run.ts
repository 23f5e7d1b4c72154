/**
 * A run: one execution of a task for its session, over one or more attempts.
 *
 *   queued ──lease──▶ leased ──start──▶ executing ──finish──▶ finished{outcome}
 *     ▲  ▲              │                │  │ ▲
 *     │  └───requeue────┴────retry───────┘  │ └── (a live wait stays executing)
 *     │                                     ├──requestCancel──▶ cancelling ──finish──▶ finished
 *     └──────────────── resume ── waiting ◀─┴──park
 *
 * - queued     has a row in run_queue and no lease. `leased` has a held lease and no user code has run in it; `executing` has both.
 * - waiting    is parked: checkpoint ready, no lease, no slot. A wait that is still live leaves the run executing.
 * - cancelling the holder was told to stop; it keeps its lease until it reports or the bound of limits.cancelTotalMs ends it.
 * - finished   for ever, with exactly one outcome and exactly one terminal event.
 *
 * Unhappy paths. A lease that is lost before user code ran puts the run back as the same attempt (`requeue`, bounded); lost later it asks the
 * retry policy (`retry` or `finish`). `finish` is possible from every live state: cancel, expiry, a lost lease, a session that is cancelled.
 *
 * What it does not know: order and concurrency of the queue (queue.ts), the holder's right (lease.ts), waits (wait.ts).
 */
import type { RunStatus } from "@helmr/protocol/api";
import { can, type Transitions } from "./transitions.ts";

export const runStates = ["queued", "leased", "executing", "waiting", "cancelling", "finished"] as const;
export type RunState = (typeof runStates)[number];
export const liveRunStates = ["queued", "leased", "executing", "waiting", "cancelling"] as const satisfies readonly RunState[];
export const runOutcomes = ["succeeded", "failed", "cancelled", "expired", "dead_lettered"] as const;
export type RunOutcome = (typeof runOutcomes)[number];
export type ExecutionStatus = "created" | "queued" | "leased" | "executing" | "waiting" | "pending_cancel" | "finished";

export const runTransitions = {
  lease: { from: ["queued"], to: "leased" },
  start: { from: ["leased"], to: "executing" },
  requeue: { from: ["leased"], to: "queued" },
  retry: { from: ["queued", "leased", "executing"], to: "queued" },
  park: { from: ["executing"], to: "waiting" },
  resume: { from: ["waiting"], to: "queued" },
  requestCancel: { from: ["executing"], to: "cancelling" },
  finish: { from: ["queued", "leased", "executing", "waiting", "cancelling"], to: "finished" },
} as const satisfies Transitions<RunState>;

/** States in which a worker holds the run. */
export const heldRunStates = ["leased", "executing", "cancelling"] as const satisfies readonly RunState[];

/** http §7.1, §4.1: the axes of the wire are projections of the one state. */
const statusOfState: Readonly<Record<Exclude<RunState, "finished">, { status: RunStatus; execution: ExecutionStatus }>> = {
  queued: { status: "queued", execution: "queued" },
  leased: { status: "queued", execution: "leased" },
  executing: { status: "running", execution: "executing" },
  waiting: { status: "waiting", execution: "waiting" },
  cancelling: { status: "cancelled", execution: "pending_cancel" },
};

const statusOfOutcome: Readonly<Record<RunOutcome, RunStatus>> = {
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
  expired: "expired",
  dead_lettered: "failed",
};

export interface RunProjection {
  status: RunStatus;
  execution: ExecutionStatus;
}

export function projectRun(state: RunState, outcome: RunOutcome | null): RunProjection {
  if (state !== "finished") return statusOfState[state];
  return { status: outcome === null ? "failed" : statusOfOutcome[outcome], execution: "finished" };
}

/** The other way round: which rows a list filtered by `status` shows (http §7.2). */
export function statesOfStatus(status: RunStatus | "live" | "all"): { states: RunState[]; outcomes: RunOutcome[] } {
  const wanted: readonly RunStatus[] = status === "live" ? ["queued", "running", "waiting"] : status === "all" ? allStatuses : [status];
  return {
    states: liveRunStates.filter((state) => wanted.includes(statusOfState[state].status)),
    outcomes: runOutcomes.filter((outcome) => wanted.includes(statusOfOutcome[outcome])),
  };
}

const allStatuses: readonly RunStatus[] = ["queued", "running", "waiting", "succeeded", "failed", "cancelled", "expired"];

export type CancelDecision =
  /** Nothing runs, or nothing may go on: the run is finished here and now; a held lease is fenced. */
  | { kind: "finish" }
  /** User code runs: the holder is asked to stop it. */
  | { kind: "request" }
  /** Asked for already; nothing new. */
  | { kind: "repeat" }
  | { kind: "reject" };

/** http §7.3. No user code has run in `leased`, so nobody needs a grace period there. */
export function decideCancel(state: RunState, force: boolean): CancelDecision {
  if (!can(runTransitions.finish, state)) return { kind: "reject" };
  if (force) return { kind: "finish" };
  if (state === "cancelling") return { kind: "repeat" };
  return can(runTransitions.requestCancel, state) ? { kind: "request" } : { kind: "finish" };
}
