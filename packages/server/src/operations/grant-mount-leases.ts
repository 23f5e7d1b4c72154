/** Mounts that wait for a worker become leases of it, and what such a lease carries (protocol/worker/leases.ts). */
import { limits } from "@helmr/protocol/shared";
import type { Lease, MountLease } from "@helmr/protocol/worker";
import { engineLimits } from "../limits.ts";
import { newId } from "../new-id.ts";
import type { WorkerSubject } from "../store/lease.ts";
import { mountGrant, mountLeaseContents, type MountOffer } from "../store/mount.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { artifactRef, imageConfig, readLeases, storageReader } from "./read-leases.ts";

export async function grantMountLeases(
  context: EngineContext,
  worker: WorkerSubject & { group: string },
  free: MountOffer["free"],
): Promise<Lease[]> {
  const granted = await context.db.tx(async (tx) => {
    const offer = { leaseIds: [newId()], ttlMs: limits.leaseTtlMs, free, diskDefaultMib: engineLimits.diskNeedMibDefault };
    const rows = await mountGrant(tx, worker, offer);
    for (const row of rows) tx.afterCommit(() => context.hints.send(topic.mount(row.workspace_id)));
    return rows;
  });
  return readLeases(
    context,
    granted.map((row) => ({ id: row.lease_id, kind: "mount" })),
  );
}

export async function readMountLeases(context: EngineContext, leaseIds: string[]): Promise<MountLease[]> {
  const storage = storageReader(context);
  const rows = await mountLeaseContents(context.db, leaseIds);
  return rows.map((row) => ({
    kind: "mount",
    lease_id: row.lease_id,
    fence: row.fence,
    ttl_ms: row.ttl_ms,
    needs: { milli_cpu: row.milli_cpu, memory_mib: row.memory_mib, disk_mib: row.disk_mib },
    environment_id: row.environment_id,
    org_id: row.org_id,
    image: { ref: row.image_ref, artifact: row.image && artifactRef(row.image), config: imageConfig(row.image_config) },
    network: row.network,
    task_tree: row.task_tree && artifactRef(row.task_tree),
    workspace: {
      workspace_id: row.workspace_id,
      mount_id: row.mount_id,
      fence: row.fence,
      mount_path: row.workspace_path,
      size_mib: row.sandbox_disk_mib ?? engineLimits.workspaceMibDefault,
      base_version_id: row.base_version_id,
      base: row.base && artifactRef(row.base),
    },
    storage: storage(row.org_id),
  }));
}
