/**
 * Routes of the worker API (protocol/worker/routes.ts): credential → body → operation → answer. A stale fence is 409 `stale_lease`, a gap in an ordered
 * report 409 `report_gap` with the number that is expected. Outside of the public contract, so bodies are not strict: a newer worker may say more.
 */
import { credentialPrefix } from "@helmr/protocol/shared";
import { type WorkerBody, type WorkerResponse, type WorkerRoute, workerRoutes } from "@helmr/protocol/worker";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isIssuedForm } from "../../credentials.ts";
import type { EngineContext } from "../../engine-context.ts";
import { findWorker } from "../../operations/enroll-worker.ts";
import { invalid, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import { isStale, type Stale, type WorkerActor } from "../../worker-actor.ts";
import { bearerToken } from "../auth/authenticate.ts";
import { createCredentialCache } from "../auth/credential-cache.ts";
import { sendJson, sendRefusal } from "../errors.ts";
import { readBody } from "../route.ts";

export const workerPrefix = "/api/worker";

export type Gap = { gap: true; expected: number };

export interface WorkerInput<K extends WorkerRoute> {
  worker: WorkerActor;
  /** The subject's id of `/runs/{id}/…` and `/builds/{id}/…`. */
  id: string;
  body: WorkerBody<K>;
  request: FastifyRequest;
  reply: FastifyReply;
}

type Handler<K extends WorkerRoute> = (input: WorkerInput<K>) => Promise<WorkerResponse<K> | Stale | Gap | Refusal>;

export interface WorkerRoutes {
  add<K extends WorkerRoute>(route: K, handler: Handler<K>): void;
  /** Who calls, for what is not JSON (the source archive, the channel). */
  authenticate(request: FastifyRequest): Promise<WorkerActor | Refusal>;
  /** Path → methods, for the 405 answers. */
  readonly registered: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A worker whose credential was replaced is refused within this time. */
const rememberMs = 5_000;
const rememberedMax = 10_000;

export function createWorkerRoutes(app: FastifyInstance, context: EngineContext): WorkerRoutes {
  const registered = new Map<string, Set<string>>();
  const known = createCredentialCache<WorkerActor>({ ttlMs: rememberMs, entriesMax: rememberedMax });

  async function authenticate(request: FastifyRequest): Promise<WorkerActor | Refusal> {
    const token = bearerToken(request.headers.authorization ?? "");
    const worker =
      token && isIssuedForm(token, credentialPrefix.worker) ? await known.get(token, () => findWorker(context.db, token)) : undefined;
    return worker ?? refusal(401, "a worker credential is required");
  }

  return {
    registered,
    authenticate,
    add(name, handler) {
      const { method, path, body: schema } = workerRoutes[name];
      const url = workerPrefix + path.replace(/\{([A-Za-z]+)\}/g, ":$1");
      registered.set(url, new Set([method]));
      app.route({
        method,
        url,
        handler: async (request, reply) => {
          const worker = await authenticate(request);
          if (isRefusal(worker)) return sendRefusal(reply, worker);
          const body = readBody(schema, request.body);
          if (isRefusal(body)) return sendRefusal(reply, body);
          const id = subjectId(request);
          if (isRefusal(id)) return sendRefusal(reply, id);
          return answer(reply, await handler({ worker, id, body: body.value as never, request, reply }));
        },
      });
    },
  };
}

function answer(reply: FastifyReply, result: unknown): FastifyReply {
  if (isRefusal(result)) return sendRefusal(reply, result);
  if (isStale(result)) return sendJson(reply, 409, { error: "the lease is not held with this fence any more", code: "stale_lease" });
  if (isGap(result))
    return sendJson(reply, 409, {
      error: `the report has a gap: item ${result.expected} is expected`,
      code: "report_gap",
      expected: result.expected,
    });
  return sendJson(reply, 200, result);
}

function isGap(value: unknown): value is Gap {
  return typeof value === "object" && value !== null && (value as { gap?: unknown }).gap === true;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function subjectId(request: FastifyRequest): string | Refusal {
  const { id } = request.params as { id?: string };
  if (id === undefined) return "";
  return uuid.test(id) ? id.toLowerCase() : invalid("invalid id");
}
