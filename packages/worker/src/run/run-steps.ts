/** What is said on the way of a run: that its program is about to start, that its machine is restored, and the order to the guest. */
import type { HostRequest } from "../guest/guest-link.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { RunLease } from "@helmr/protocol/worker";
import type { WorkerHost } from "../worker-host.ts";
import type { HostVerdict } from "./run-end.ts";
import { placement } from "./secret-placement.ts";

interface Saying {
  host: WorkerHost;
  held: HeldLease;
  lease: RunLease;
  signal: AbortSignal;
}

type Answer = HostVerdict | "go on" | "stale";

const refused = (code: string, answer: unknown): HostVerdict => ({ kind: "machine_failed", code, message: JSON.stringify(answer) });

/** From here on a lost lease counts as one of user code. Repeating it is safe. */
export async function sayStarted({ host, held, lease, signal }: Saying): Promise<Answer> {
  const body = { ...held.fenced, attempt_id: lease.run.attempt_id };
  const said = await host.client.call("attemptStarted", body, { id: lease.run.id, deadline: held.deadline, signal });
  if (said.kind === "stale") return "stale";
  if (said.kind !== "ok") return refused("start_refused", said);
  return said.value.state === "cancelled" ? { kind: "cancelled", forced: false } : "go on";
}

/** Repeating it is safe: the control plane knows that this lease has gone on. */
export async function sayResumed({ host, held, lease, signal }: Saying, checkpointId: string): Promise<Answer> {
  const body = { ...held.fenced, attempt_id: lease.run.attempt_id, checkpoint_id: checkpointId };
  const said = await host.client.call("resumed", body, { id: lease.run.id, deadline: held.deadline, signal });
  if (said.kind === "stale") return "stale";
  return said.kind === "ok" ? "go on" : refused("resume_refused", said);
}

export function runStartRequest({ lease_id: leaseId, run }: RunLease): Extract<HostRequest, { type: "run.start" }> {
  const { id, attempt_id: attemptId, attempt_number: attemptNumber, session_id: sessionId, task_id: taskId } = run;
  return {
    type: "run.start",
    run: { id, attemptId, attemptNumber, leaseId, sessionId, taskId },
    module: run.module,
    exportName: run.export_name,
    payload: run.payload,
    secrets: run.secrets.map(placement),
    activeMs: run.active_ms_left,
  };
}
