/** The source archive of a deployment, for the holder of its build lease. */
import type { Readable } from "node:stream";
import { blobKey } from "../blobs/keys.ts";
import type { EngineContext } from "../engine-context.ts";
import { refusal, type Refusal } from "../outcome.ts";
import { deploymentPeekBuild } from "../store/deployment-build.ts";
import { type Stale, stale } from "../worker-actor.ts";
import type { BuildCall } from "./end-build.ts";

export async function readSource(
  context: EngineContext,
  call: BuildCall,
): Promise<{ bytes: Readable; sizeBytes: number } | Stale | Refusal> {
  const build = await deploymentPeekBuild(context.db, {
    lease_id: call.leaseId,
    deployment_id: call.deploymentId,
    worker_id: call.worker.workerId,
    fence: call.fence,
  });
  if (!build || build.lease_id !== call.leaseId || build.lease_state !== "held" || !build.in_time) return stale;
  const found = await context.blobs.get(blobKey.source(build.org_id, build.content_hash));
  if (!found) return refusal(404, "the source of the deployment is missing from the blob store");
  return { bytes: found.bytes, sizeBytes: found.info.sizeBytes };
}
