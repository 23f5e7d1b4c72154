/**
 * A worker: an enrolled host. Each start of its process is a new epoch; leases of an older epoch are adopted by name or fenced.
 *
 *   joining ──start──▶ active ──drain──▶ draining ──drained──▶ drained
 *                        │ ▲                │
 *                        │ └──── start ─────┴── (a restarted process takes work again unless it is told to drain)
 *                        └──lose──▶ lost ──start──▶ active
 *
 * Only an active worker is offered work. A draining one keeps what it holds until that ends; a lost one was silent for longer than a lease lives,
 * so nothing is held by it any more.
 */
import type { Transitions } from "./transitions.ts";

export const workerStates = ["joining", "active", "draining", "drained", "lost"] as const;
export type WorkerState = (typeof workerStates)[number];

export const workerTransitions = {
  start: { from: ["joining", "active", "draining", "drained", "lost"], to: "active" },
  drain: { from: ["joining", "active"], to: "draining" },
  drained: { from: ["draining"], to: "drained" },
  lose: { from: ["active", "draining"], to: "lost" },
} as const satisfies Transitions<WorkerState>;
