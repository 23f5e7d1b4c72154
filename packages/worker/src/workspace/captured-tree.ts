/** The tree of a workspace as a lease says it to the control plane: stored as a new version, or why not; and what this host keeps of it. */
import type { WorkspaceResult } from "@helmr/protocol/worker";
import { tenantKeys } from "../chunks/sealing.ts";
import type { HeldLease } from "../control/held-lease.ts";
import { leaseAccess } from "../control/lease-access.ts";
import type { LayeredDisk, StoredDisk } from "../disks/layered-disk.ts";
import type { Cleanup } from "../host/cleanup.ts";
import { newId } from "../new-id.ts";
import { errorText } from "../telemetry.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "./base-store.ts";

export interface CapturedTree {
  result: WorkspaceResult;
  stored: StoredDisk | undefined;
}

export const unchangedTree: CapturedTree = { result: { status: "unchanged" }, stored: undefined };

export function captureFailed(message: string): CapturedTree {
  return { result: { status: "capture_failed", message: message.slice(0, 4096) }, stored: undefined };
}

/** Never rejects. */
export async function captureTree(
  host: WorkerHost,
  held: HeldLease,
  store: (access: Access) => Promise<StoredDisk>,
): Promise<CapturedTree> {
  const began = performance.now();
  try {
    const stored = await store(leaseAccess(host, held, AbortSignal.any([held.lost, AbortSignal.timeout(host.limits.captureMs)])));
    const { sizeBytes, entryCount } = stored.tree;
    host.telemetry("run.capture", { leaseId: held.id, ms: Math.round(performance.now() - began), newBytes: stored.newBytes, sizeBytes });
    const version = { version_id: newId(), artifact: stored.artifact, size_bytes: sizeBytes, entry_count: entryCount };
    return { result: { status: "captured", ...version }, stored };
  } catch (error) {
    return captureFailed(`The workspace could not be stored: ${errorText(error)}`);
  }
}

/** Gives the disk of a machine that has ended back. A captured version becomes a local base, so that the next machine on this host fetches nothing. */
export async function leaveTree(
  host: WorkerHost,
  held: HeldLease,
  { disk, stored, cleanup }: { disk: LayeredDisk; stored: StoredDisk | undefined; cleanup: Cleanup },
): Promise<void> {
  await cleanup.add("workspace disk", () => disk.release());
  if (stored === undefined) return;
  const { orgId } = tenantKeys(held.lease.storage);
  try {
    const advancing = disk.advance(host.bases, orgId, stored);
    await host.artifacts.learn(orgId, stored.manifest);
    await advancing;
  } catch (error) {
    host.telemetry("background.failed", { what: "local base of a workspace", message: errorText(error) });
  }
}
