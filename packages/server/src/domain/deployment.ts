/**
 * A deployment: an immutable build of a project's declarations.
 *
 *   queued ──lease──▶ building ──deploy──▶ deployed
 *     ▲                  │ └──────fail───▶ failed
 *     └────requeue───────┘   (infrastructure, a bounded number of times)
 *
 * Deployed is for ever; promotion moves the environment's pointer, never a deployment. A failed one does not stand in the way of another try
 * with the same content.
 */
import type { Transitions } from "./transitions.ts";

export const deploymentStates = ["queued", "building", "deployed", "failed"] as const;
export type DeploymentState = (typeof deploymentStates)[number];

export const deploymentTransitions = {
  lease: { from: ["queued"], to: "building" },
  requeue: { from: ["building"], to: "queued" },
  deploy: { from: ["building"], to: "deployed" },
  fail: { from: ["queued", "building"], to: "failed" },
} as const satisfies Transitions<DeploymentState>;

export type InterruptedDecision = "requeue" | "fail";

/** `attempts` counts the one that was interrupted. */
export function decideInterruptedBuild(attempts: number, attemptsMax: number): InterruptedDecision {
  return attempts >= attemptsMax ? "fail" : "requeue";
}

/** `YYYYMMDD.N`: the day is UTC, N counts in the environment. */
export function deploymentVersion(day: string, count: number): string {
  return `${day.replaceAll("-", "")}.${count}`;
}
