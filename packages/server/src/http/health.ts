/** http §2. Liveness touches nothing; readiness asks the database. */
import type { FastifyInstance } from "fastify";
import { sendJson } from "./errors.ts";

export function addHealthRoutes(app: FastifyInstance, isReady: () => Promise<boolean>): void {
  app.get("/healthz", (_request, reply) => sendJson(reply, 200, { status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    const ready = await isReady().catch(() => false);
    return sendJson(reply, ready ? 200 : 503, { status: ready ? "ready" : "not_ready" });
  });
}
