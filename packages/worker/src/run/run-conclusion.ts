/**
 * From the decision to the control plane's answer: the last output is taken, the file system made quiet, the machine ended, the workspace stored,
 * and all of it said in one completion. The workspace is captured whenever the program was started, however it ended; a guest that died leaves it
 * as a power cut would.
 */
import type { AttemptEnd, WorkspaceResult } from "@helmr/protocol/worker";
import type { GuestMachine } from "../guest/guest-machine.ts";
import { pause } from "../host/pause.ts";
import { errorText } from "../telemetry.ts";
import { type CapturedTree, captureFailed, captureTree, leaveTree, unchangedTree } from "../workspace/captured-tree.ts";
import type { Decision, RunParts, RunState } from "./run-state.ts";
import { endByHost, endOfRun } from "./run-end.ts";

export interface Conclusion {
  decision: Extract<Decision, { by: "guest" | "host" }>;
  /** The state in which the decision fell. */
  before: RunState;
  cancel: { forced: boolean } | undefined;
}

/** The state the control plane put the run in, or why it was not told. */
export async function concludeRun(parts: RunParts, conclusion: Conclusion): Promise<string> {
  const { before } = conclusion;
  const guest = "guest" in before ? before.guest : undefined;
  const quiet = guest === undefined ? false : await lastWords(parts, conclusion, guest);
  parts.timeline.mark("quiet");
  parts.output.finish();
  const stopped = guest?.machine.stop().catch((error: unknown) => {
    parts.host.telemetry("background.failed", { what: "stopping a machine", message: errorText(error) });
  });
  if (!quiet) await stopped;
  const disks = before.phase === "running" ? before.disks : undefined;
  const { host, held, cleanup } = parts;
  const capturing =
    disks === undefined ? unchangedTree : captureTree(host, held, (access) => disks.workspace.store(host.artifacts, access));
  const [captured] = await Promise.all([capturing, parts.reporter.drain(), stopped]);
  parts.timeline.mark("captured");
  if (held.lost.aborted) return "lost";
  const state = await completeRun(parts, conclusion, captured);
  const stored = state === "finished" || state === "retrying" ? captured.stored : undefined;
  if ("disks" in before) await leaveTree(host, held, { disk: before.disks.workspace, stored, cleanup });
  return state;
}

/** All output of a run that has ended, and a file system that is quiet and clean. False: the machine goes as it is. */
async function lastWords(parts: RunParts, conclusion: Conclusion, guest: GuestMachine): Promise<boolean> {
  const { decision } = conclusion;
  if (decision.by !== "guest") return false;
  const { outputMs, syncMs } = parts.host.limits;
  await Promise.race([parts.output.complete(decision.ended.streams), pause(outputMs, parts.held.lost), guest.link.closed]);
  try {
    await guest.link.request({ type: "sync", freeze: true }, syncMs);
    return true;
  } catch {
    // What the guest had flushed is there all the same.
    return false;
  }
}

function endOf(parts: RunParts, { decision, cancel }: Conclusion): AttemptEnd {
  // Asked to stop, and stopped: whatever the last straw was.
  if (decision.by === "host" && cancel !== undefined && decision.verdict.kind !== "spool_failed")
    return { status: "cancelled", forced: true };
  const end = decision.by === "guest" ? endOfRun(decision.ended, cancel) : endByHost(decision.verdict);
  const { masker } = parts;
  if (end.status === "failed") return { ...end, message: masker.maskText(end.message) };
  if (end.status === "succeeded" && end.output !== undefined)
    return { ...end, output: { value: masker.maskJson(end.output.value as never) } };
  return end;
}

/** Says the end. What could not be taken of the captured tree is not in `captured.stored` any more. */
export async function completeRun(parts: RunParts, conclusion: Conclusion, captured: CapturedTree): Promise<string> {
  const { host, held, lease, spool } = parts;
  const end = endOf(parts, conclusion);
  const said = (workspace: WorkspaceResult) =>
    host.client.call(
      "complete",
      {
        ...held.fenced,
        attempt_id: lease.run.attempt_id,
        end,
        active_ms: activeMs(parts, conclusion),
        report_through: spool.lastItem,
        workspace,
      },
      { id: lease.run.id, deadline: held.deadline, signal: held.lost },
    );
  let result = await said(captured.result);
  if (result.kind === "refused" && captured.stored !== undefined) {
    // Better a run that ends without its last version than one that hangs until its lease does.
    host.telemetry("background.failed", { what: `completion of run ${lease.run.id}`, message: result.message });
    result = await said(captureFailed(`The control plane refused the version: ${result.message}`).result);
    captured.stored = undefined;
  }
  if (result.kind === "ok") return result.value.state;
  if (result.kind === "stale") held.lose("stale");
  if (result.kind === "refused" || result.kind === "gap")
    host.telemetry("background.failed", { what: `completion of run ${lease.run.id}`, message: JSON.stringify(result) });
  return result.kind;
}

/** The guest knows best, and after a change of the worker's process alone; but it may not make itself younger than it was seen. */
function activeMs({ clock, lease, isResumed }: RunParts, { decision }: Conclusion): number {
  // What a guest that was resumed counts began before this lease.
  const said = decision.by === "guest" && !isResumed ? decision.ended.activeMs : 0;
  return Math.min(Math.max(clock.activeMs, said), lease.run.active_ms_left);
}
