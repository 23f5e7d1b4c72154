/** What was sent to a task last from this browser, for the next time. Kept for this tab's lifetime only: payloads can be confidential. */
import type { Scope } from "../api/scope.ts";

const keyOf = ({ project, environment }: Scope, task: string) => `helmr-payload:${project}/${environment}/${task}`;

export function lastPayload(scope: Scope, task: string): string | undefined {
  try {
    return sessionStorage.getItem(keyOf(scope, task)) ?? undefined;
  } catch {
    // Storage can be forbidden.
    return undefined;
  }
}

export function rememberPayload(scope: Scope, task: string, payload: string): void {
  try {
    sessionStorage.setItem(keyOf(scope, task), payload);
  } catch {
    // Storage can be forbidden or full: nothing is proposed next time.
  }
}
