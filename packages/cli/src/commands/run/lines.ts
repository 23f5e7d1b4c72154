import type { Run } from "@helmr/protocol/api";

/** What `run wait` and `run cancel` say about a run. */
export function runLines(run: Run): string[] {
  return [`run_id: ${run.id}`, `run_status: ${run.status}`, `session_id: ${run.session_id}`];
}
