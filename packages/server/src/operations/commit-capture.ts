/**
 * A worker has stored the tree of a live mount as of one instant, and the machine goes on (engine §5): compare-and-swap on the head, after which the mount
 * is compared with the new version, so that its end or the next capture follows it. A repeat after a lost answer gets the same answer. Nothing is kept
 * aside: what is in the machine is still there. Locks: workspace → mount.
 */
import type { NewArtifact } from "@helmr/protocol/worker";
import { storableText } from "../domain/storable.ts";
import type { EngineContext } from "../engine-context.ts";
import { invalid, type Refusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import { captureCommit, captureMount } from "../store/mount-capture.ts";
import { type Stale, stale } from "../worker-actor.ts";
import { checkArtifact } from "./check-artifact.ts";
import type { MountCall } from "./end-mount.ts";

export interface Capture {
  versionId: string;
  artifact: NewArtifact;
  sizeBytes: number;
  entryCount: number;
  message: string | null;
}

export type CaptureCommitted = { state: "captured" | "taken" | "head_moved" };

export async function commitCapture(
  context: EngineContext,
  call: MountCall,
  capture: Capture,
): Promise<CaptureCommitted | Stale | Refusal> {
  const { versionId, artifact } = capture;
  return context.db.tx(async (tx) => {
    const mount = await captureMount(tx, {
      lease_id: call.leaseId,
      mount_id: call.mountId,
      worker_id: call.worker.workerId,
      fence: call.fence,
      version_id: versionId,
    });
    if (!mount) return stale;
    if (mount.made_artifact_id !== null) return { state: mount.made_artifact_id === artifact.artifact_id ? "captured" : "taken" };
    if (mount.lease_state !== "held" || !mount.in_time || mount.state !== "mounted") return stale;
    if (mount.head_version_id !== mount.base_version_id) return { state: "head_moved" };
    const wrong = await checkArtifact(tx, mount.org_id, artifact);
    if (wrong) return invalid(wrong);
    await artifactInsert(tx, mount.org_id, "workspace", artifact);
    await captureCommit(tx, {
      mount_id: mount.id,
      version_id: versionId,
      artifact_id: artifact.artifact_id,
      content_digest: artifact.digest,
      size_bytes: capture.sizeBytes,
      entry_count: capture.entryCount,
      message: capture.message === null ? null : storableText(capture.message),
    });
    return { state: "captured" };
  });
}
