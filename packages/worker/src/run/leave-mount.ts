/**
 * From the decision of a run that used the machine of a mount to the control plane's answer. A program that ended by itself leaves the machine as it is: its
 * tree becomes a version while the mount lives on. A program that could not be asked to end has the mount end, which keeps the tree; the run says its end
 * after the mount has said that.
 */
import { pause } from "../host/pause.ts";
import type { MountSeat } from "../mount/mount-seat.ts";
import { newId } from "../new-id.ts";
import { errorText } from "../telemetry.ts";
import { type CapturedTree, captureFailed, unchangedTree } from "../workspace/captured-tree.ts";
import { completeRun, type Conclusion } from "./run-conclusion.ts";
import type { RunParts } from "./run-state.ts";

class VersionNotTaken extends Error {
  override name = "VersionNotTaken";
}

/** The state the control plane put the run in, or why it was not told. */
export async function leaveMount(parts: RunParts, conclusion: Conclusion, seat: MountSeat | undefined): Promise<string> {
  const { decision, before } = conclusion;
  const { host, held, output, reporter, timeline } = parts;
  const guest = "guest" in before ? before.guest : undefined;
  const ended = decision.by === "guest" && guest !== undefined;
  if (ended) await Promise.race([output.complete(decision.ended.streams), pause(host.limits.outputMs, held.lost), guest.link.closed]);
  timeline.mark("quiet");
  output.finish();
  await reporter.drain();
  if (!ended && before.phase === "running") await seat?.end();
  // Nobody is sent back into a machine that goes.
  if (seat?.isEnding === true) await seat.over;
  if (held.lost.aborted) return "lost";
  if (!ended || seat === undefined || seat.isEnding) return completeRun(parts, conclusion, unchangedTree);
  return completeWithTree(parts, conclusion, seat);
}

async function completeWithTree(parts: RunParts, conclusion: Conclusion, seat: MountSeat): Promise<string> {
  const { host, held, lease, timeline } = parts;
  const versionId = newId();
  let said: string | undefined;
  try {
    await seat.capture(versionId, async (stored) => {
      timeline.mark("captured");
      const { artifact, tree } = stored;
      const version = { version_id: versionId, artifact, size_bytes: tree.sizeBytes, entry_count: tree.entryCount };
      const captured: CapturedTree = { result: { status: "captured", ...version }, stored };
      said = await completeRun(parts, conclusion, captured);
      if (captured.stored === undefined || (said !== "finished" && said !== "retrying"))
        throw new VersionNotTaken(`The version was not taken: ${said}`);
    });
  } catch (error) {
    host.telemetry("background.failed", { what: `capture of run ${lease.run.id} in a mount`, message: errorText(error) });
    if (said !== undefined) return said;
    if (seat.isEnding) await seat.over;
    if (held.lost.aborted) return "lost";
    return completeRun(
      parts,
      conclusion,
      seat.isEnding ? unchangedTree : captureFailed(`The workspace could not be stored: ${errorText(error)}`),
    );
  }
  return said ?? "lost";
}
