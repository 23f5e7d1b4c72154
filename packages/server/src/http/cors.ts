/**
 * Cross-origin access to the public /api/v1 routes (http §5.4): an allow-list, no credentials. The header is on every answer of these routes, so
 * that a page can also read the refusals. Other routes never answer another origin.
 */
import type { Endpoint } from "@helmr/protocol/api";
import { routePaths } from "@helmr/protocol/api";
import type { FastifyInstance } from "fastify";
import { routeUrl } from "./route.ts";

const allowedHeaders = "authorization, content-type, Helmr-API-Version";
const preflightSeconds = "600";

/** Call it once, with every endpoint that has CORS; their own routes may be added before or after. */
export function allowCrossOrigin(app: FastifyInstance, endpoints: readonly Endpoint[], origins: ReadonlySet<string>): void {
  const methods = new Map<string, Set<string>>();
  for (const endpoint of endpoints) {
    for (const form of routePaths(endpoint)) {
      const url = routeUrl(form.path);
      methods.set(url, (methods.get(url) ?? new Set()).add(endpoint.method));
    }
  }
  app.addHook("onSend", async (request, reply) => {
    if (!methods.has(request.routeOptions.url ?? "")) return;
    // Without it a cache could give one origin's answer to another.
    reply.header("vary", "Origin");
    const origin = request.headers.origin;
    if (origin !== undefined && origins.has(origin)) reply.header("access-control-allow-origin", origin);
  });
  for (const [url, allowed] of methods) {
    app.options(url, (request, reply) => {
      if (origins.has(request.headers.origin ?? "")) {
        reply.header("access-control-allow-methods", [...allowed].join(", "));
        reply.header("access-control-allow-headers", allowedHeaders);
        reply.header("access-control-max-age", preflightSeconds);
      }
      return reply.code(204).send();
    });
  }
}
