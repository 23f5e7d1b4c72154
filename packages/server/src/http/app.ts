/**
 * The HTTP front: body rules, versions, unknown paths and faults (http §1.1). Routes are added by `route.ts` from endpoint tables; this
 * file knows none of them.
 */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { apiVersion, limits } from "@helmr/protocol/shared";
import { faultAnswer, sendJson } from "./errors.ts";

export interface AppOptions {
  /** Told about every fault, with the route it happened in. */
  onFault: (error: unknown, request: { method: string; url: string; id: string }) => void;
  trustProxy: boolean;
  /** Answers what no route does outside of the API. */
  console?: (request: FastifyRequest, reply: FastifyReply) => FastifyReply;
}

const httpMethods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const;

export function createApp(options: AppOptions): FastifyInstance {
  const app = Fastify({
    bodyLimit: limits.apiBodyBytesMax,
    exposeHeadRoutes: false,
    trustProxy: options.trustProxy,
    requestTimeout: 0,
    routerOptions: { maxParamLength: 2048, ignoreTrailingSlash: false },
    // Long polls and streams end by themselves; shutdown must not wait for an idle keep-alive connection.
    forceCloseConnections: true,
  });

  app.removeAllContentTypeParsers();
  // Content-Type is not checked: every body is bytes until a route says what it is.
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addContentTypeParser("multipart/form-data", (_request, payload, done) => done(null, payload));

  app.addHook("onRequest", async (request, reply) => {
    if (!isApiPath(request.url)) return undefined;
    reply.header("helmr-api-version", apiVersion);
    const wanted = request.headers["helmr-api-version"];
    const version = Array.isArray(wanted) ? wanted.join(",") : wanted;
    if (version !== undefined && version.trim() !== "" && version.trim() !== apiVersion) {
      return sendJson(reply, 400, { error: `unsupported Helmr-API-Version "${version}"; current version is ${apiVersion}` });
    }
    return undefined;
  });

  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = knownRequestError(error, request);
    if (known) return sendJson(reply, known.status, { error: known.message });
    options.onFault(error, { method: request.method, url: request.routeOptions.url ?? request.url, id: request.id });
    const answer = faultAnswer(error);
    return sendJson(reply, answer.status, answer.body);
  });

  app.setNotFoundHandler((request, reply) => {
    if (isApiPath(request.url)) return sendJson(reply, 404, { error: "not found" });
    return options.console ? options.console(request, reply) : sendJson(reply, 404, { error: "page not found" });
  });
  return app;
}

export function isApiPath(url: string): boolean {
  return url === "/api" || url.startsWith("/api/") || url.startsWith("/api?");
}

/** A known path with a method nobody registered is 405 with an empty body; call it after all routes were added. */
export function refuseOtherMethods(app: FastifyInstance, registered: ReadonlyMap<string, ReadonlySet<string>>): void {
  for (const [url, methods] of registered) {
    const others = httpMethods.filter((method) => !methods.has(method) && !app.hasRoute({ method, url }));
    if (others.length === 0) continue;
    app.route({
      method: others,
      url,
      handler: (_request, reply) =>
        reply
          .code(405)
          .header("allow", [...methods].join(", "))
          .send(),
    });
  }
}

function knownRequestError(error: FastifyError, request: FastifyRequest): { status: number; message: string } | undefined {
  if (error.code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    const announced = request.headers["content-length"] !== undefined;
    return { status: announced ? 413 : 400, message: `the request body is larger than ${limits.apiBodyBytesMax} bytes` };
  }
  if (error.code === "FST_ERR_CTP_INVALID_CONTENT_LENGTH")
    return { status: 400, message: "the request body does not have the announced length" };
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return { status: error.statusCode, message: error.message };
  return undefined;
}
