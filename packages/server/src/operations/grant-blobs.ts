/**
 * Short-lived grants for objects of the blob store. A holder of a live lease may read packs and manifests of its organization and write new ones; keys
 * are checked against the organization of the lease's subject, never taken from elsewhere.
 */
import type { Grant } from "@helmr/protocol/worker";
import { isWorkerObject } from "../blobs/keys.ts";
import { engineLimits } from "../limits.ts";
import { refusal, type Refusal } from "../outcome.ts";
import { leaseGet } from "../store/lease.ts";
import type { EngineContext } from "../engine-context.ts";
import { type FencedLease, type Stale, stale, type WorkerActor } from "../worker-actor.ts";

export interface GrantRequest extends FencedLease {
  gets: string[];
  puts: { object_key: string; size_bytes: number }[];
}

export async function grantBlobs(context: EngineContext, worker: WorkerActor, request: GrantRequest): Promise<Grant[] | Stale | Refusal> {
  const lease = await leaseGet(context.db, { lease_id: request.leaseId, worker_id: worker.workerId, fence: request.fence });
  if (!lease || lease.state !== "held" || !lease.in_time) return stale;
  const foreign = [...request.gets, ...request.puts.map((put) => put.object_key)].find((key) => !isWorkerObject(key, lease.org_id));
  if (foreign !== undefined) return refusal(403, `object ${JSON.stringify(foreign)} is not a pack or manifest of the lease's organization`);
  const ttlMs = engineLimits.grantTtlMs;
  const issue = async (method: "GET" | "PUT", key: string, sizeBytes?: number): Promise<Grant> => {
    const { url, headers } = await context.blobs.grant(method, key, { ttlMs, ...(sizeBytes === undefined ? {} : { sizeBytes }) });
    return { object_key: key, method, url, headers, ttl_ms: ttlMs };
  };
  return Promise.all([
    ...request.gets.map((key) => issue("GET", key)),
    ...request.puts.map((put) => issue("PUT", put.object_key, put.size_bytes)),
  ]);
}
