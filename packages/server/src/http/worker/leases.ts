/** Enrollment, epochs, claims, renewals and grants (protocol/worker/leases.ts). */
import { parseInput } from "@helmr/protocol/shared";
import { enrollRequest, workerRoutes } from "@helmr/protocol/worker";
import type { FastifyInstance } from "fastify";
import { storableJson } from "../../domain/storable.ts";
import type { EngineContext } from "../../engine-context.ts";
import type { ClaimDesk } from "../../operations/claim-leases.ts";
import { drainWorker } from "../../operations/drain-worker.ts";
import { enrollWorker, findEnrollment, startWorker } from "../../operations/enroll-worker.ts";
import { grantBlobs } from "../../operations/grant-blobs.ts";
import { renewLeases } from "../../operations/renew-leases.ts";
import { isRefusal, refusal } from "../../outcome.ts";
import { isStale } from "../../worker-actor.ts";
import { bearerToken } from "../auth/authenticate.ts";
import { sendJson, sendRefusal } from "../errors.ts";
import { readBody } from "../route.ts";
import { workerPrefix, type WorkerRoutes } from "./worker-route.ts";

export function addLeaseRoutes(app: FastifyInstance, routes: WorkerRoutes, context: EngineContext, desk: ClaimDesk): void {
  addEnrollment(app, context);

  routes.add("start", async ({ worker, body }) => {
    const facts = storableJson(body.facts) as typeof body.facts;
    return startWorker(context, worker, { facts, total: body.total, adopt: body.adopt });
  });

  routes.add("claim", async ({ worker, body, request, reply }) => {
    const gone = new AbortController();
    // The request is read already: its socket closing is the worker hanging up.
    const hangUp = () => !reply.raw.writableEnded && gone.abort();
    request.raw.socket.once("close", hangUp);
    try {
      const leases = await desk.claim(worker, body, gone.signal);
      return isStale(leases) ? leases : { leases };
    } finally {
      request.raw.socket.off("close", hangUp);
    }
  });

  routes.add("drain", ({ worker }) => drainWorker(context, worker.workerId));

  routes.add("renew", async ({ worker, body }) => {
    const leases = body.leases.map((lease) => ({
      leaseId: lease.lease_id.toLowerCase(),
      fence: lease.fence,
      activeMs: lease.active_ms ?? null,
      openCalls: lease.open_calls ?? [],
    }));
    const renewed = await renewLeases(context, worker, { epoch: body.epoch, leases });
    if (isStale(renewed)) return renewed;
    return {
      results: [
        ...renewed.held.map((lease) => ({
          state: "held" as const,
          lease_id: lease.leaseId,
          ttl_ms: lease.ttlMs,
          directives: lease.directives,
        })),
        ...renewed.stale.map((id) => ({ state: "stale" as const, lease_id: id })),
      ],
      drain: renewed.drain,
    };
  });

  routes.add("grants", async ({ worker, body }) => {
    const grants = await grantBlobs(context, worker, { leaseId: body.lease_id, fence: body.fence, gets: body.gets, puts: body.puts });
    return isStale(grants) || isRefusal(grants) ? grants : { grants };
  });
}

/** The one route whose credential is the secret of a group, not a worker's own. */
function addEnrollment(app: FastifyInstance, context: EngineContext): void {
  const { method, path } = workerRoutes.enroll;
  app.route({
    method,
    url: workerPrefix + path,
    handler: async (request, reply) => {
      const secret = bearerToken(request.headers.authorization ?? "");
      // Operators choose this one themselves, so it has no form of ours.
      if (!secret) return sendRefusal(reply, refusal(401, "an enrollment secret is required"));
      const enrollment = await findEnrollment(context.db, secret);
      if (isRefusal(enrollment)) return sendRefusal(reply, enrollment);
      const body = readBody(enrollRequest, request.body);
      if (isRefusal(body)) return sendRefusal(reply, body);
      const parsed = parseInput(enrollRequest, storableJson(body.value));
      if (!parsed.ok) return sendRefusal(reply, refusal(400, parsed.text));
      const enrolled = await enrollWorker(context, enrollment, parsed.value);
      return sendJson(reply, 200, { worker_id: enrolled.workerId, worker_group: enrolled.group, credential: enrolled.credential });
    },
  });
}
