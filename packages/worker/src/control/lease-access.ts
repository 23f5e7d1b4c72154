/** What a lease lets its work read and store: blobs by grants of that lease, sealed with the keys of its tenant. */
import { tenantKeys } from "../chunks/sealing.ts";
import type { WorkerHost } from "../worker-host.ts";
import type { Access } from "../workspace/base-store.ts";
import { GrantedBlobs } from "./blob-grants.ts";
import type { HeldLease } from "./held-lease.ts";

export function leaseAccess(host: WorkerHost, held: HeldLease, signal: AbortSignal): Access {
  const { storage, fence } = held.lease;
  const blobs = new GrantedBlobs(host.client, { leaseId: held.id, fence, deadline: held.deadline });
  return { keys: tenantKeys(storage), blobs, signal };
}
