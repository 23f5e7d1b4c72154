/** What the holder of a build lease reads and reports (protocol/worker/builds.ts). */
import { sourcePath } from "@helmr/protocol/worker";
import type { FastifyInstance } from "fastify";
import type { EngineContext } from "../../engine-context.ts";
import { type BuildCall, completeBuild, reportBuild } from "../../operations/end-build.ts";
import { deliverBuildSecrets, findImageSteps, keepImageStep } from "../../operations/keep-image-step.ts";
import { readSource } from "../../operations/read-source.ts";
import { invalid, isRefusal } from "../../outcome.ts";
import { isStale, type WorkerActor } from "../../worker-actor.ts";
import { sendJson, sendRefusal } from "../errors.ts";
import { workerPrefix, type WorkerRoutes } from "./worker-route.ts";

export function addBuildRoutes(app: FastifyInstance, routes: WorkerRoutes, context: EngineContext): void {
  routes.add("buildReport", ({ worker, id, body }) => {
    return reportBuild(context, callOf({ worker, id, body }), { first: body.first, events: body.events });
  });

  routes.add("buildComplete", ({ worker, id, body }) => {
    return completeBuild(context, callOf({ worker, id, body }), { reportThrough: body.report_through, result: body.result });
  });

  routes.add("buildSecrets", ({ worker, id, body }) => deliverBuildSecrets(context, callOf({ worker, id, body }), body.names));
  routes.add("imageStepsFind", ({ worker, id, body }) => findImageSteps(context, callOf({ worker, id, body }), body.steps));
  routes.add("imageStepsKeep", ({ worker, id, body }) => {
    const { key, place, inputs, artifact, config } = body;
    return keepImageStep(context, callOf({ worker, id, body }), { key, place, inputs, artifact, config });
  });

  app.route({
    method: "GET",
    url: workerPrefix + sourcePath.replace("{id}", ":id"),
    handler: async (request, reply) => {
      const worker = await routes.authenticate(request);
      if (isRefusal(worker)) return sendRefusal(reply, worker);
      const { id } = request.params as { id: string };
      const query = request.query as { lease_id?: unknown; fence?: unknown };
      const fence = Number(query.fence);
      if (typeof query.lease_id !== "string" || !uuid.test(query.lease_id) || !uuid.test(id) || !Number.isSafeInteger(fence)) {
        return sendRefusal(reply, invalid("lease_id and fence are required"));
      }
      const source = await readSource(context, { worker, deploymentId: id.toLowerCase(), leaseId: query.lease_id.toLowerCase(), fence });
      if (isStale(source)) return sendJson(reply, 409, { error: "the lease is not held with this fence any more", code: "stale_lease" });
      if (isRefusal(source)) return sendRefusal(reply, source);
      return reply.header("content-type", "application/x-tar").header("content-length", String(source.sizeBytes)).send(source.bytes);
    },
  });
}

function callOf({ worker, id, body }: { worker: WorkerActor; id: string; body: { lease_id: string; fence: number } }): BuildCall {
  return { worker, deploymentId: id, leaseId: body.lease_id.toLowerCase(), fence: body.fence };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
