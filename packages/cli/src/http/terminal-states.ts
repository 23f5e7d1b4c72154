/**
 * Which states and events are the last ones. The protocol says the same beside its schemas, whose construction costs more than most
 * commands take; a test holds both together.
 */
import type { ExecState, PtyState, RunStatus } from "@helmr/protocol/api";

export const terminalRunStatuses = ["succeeded", "failed", "cancelled", "expired"] as const satisfies readonly RunStatus[];
export const terminalRunEventKinds = ["run.completed", "run.failed", "run.cancelled", "run.expired", "run.dead_lettered"] as const;
export const terminalDeploymentEventKinds = ["deployment.deployed", "deployment.failed"] as const;
export const terminalExecStates = ["exited", "terminated", "lost", "failed"] as const satisfies readonly ExecState[];
export const terminalPtyStates = ["closed", "lost", "failed"] as const satisfies readonly PtyState[];

export function isOneOf(all: readonly string[], one: string): boolean {
  return all.includes(one);
}
