/** `GET /api/openapi.json`: the document generated from the contracts, for anybody. Made at the first request: most servers are never asked. */
import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";

interface Document {
  bytes: Buffer;
  etag: string;
}

let made: Promise<Document> | undefined;

export function addOpenApiRoute(app: FastifyInstance): void {
  app.get("/api/openapi.json", async (request, reply) => {
    const { bytes, etag } = await (made ??= makeDocument());
    reply.header("etag", etag).header("cache-control", "public, max-age=300");
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
    return reply.type("application/json; charset=utf-8").send(bytes);
  });
}

async function makeDocument(): Promise<Document> {
  const { openApiDocument } = await import("@helmr/protocol/openapi");
  const bytes = Buffer.from(`${JSON.stringify(openApiDocument(), null, 2)}\n`);
  return { bytes, etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"` };
}
