/**
 * Objects of the fs blob store, served to whoever holds a signed grant (blobs/signed-grants.ts). The URL is the credential: it names one method, one
 * object, and a time. Ranges are honoured on reads; a write is stored once.
 */
import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ObjectAccess } from "../../operations/object-access.ts";
import { invalid, refusal } from "../../outcome.ts";
import { parseRange } from "../byte-range.ts";
import { sendJson, sendRefusal } from "../errors.ts";

/** Packs are a few MiB; a manifest of the largest device is below this. */
const objectBytesMax = 1024 * 1024 * 1024;

export function addBlobRoutes(app: FastifyInstance, access: ObjectAccess): void {
  void app.register(async (scope) => {
    // Bodies are streamed: a pack must not be held in memory.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { bodyLimit: objectBytesMax }, (_request, payload, done) => done(null, payload));
    const url = `${access.path}*`;
    scope.route({ method: "GET", url, handler: (request, reply) => read(access, request, reply) });
    scope.route({ method: "PUT", url, handler: (request, reply) => write(access, request, reply) });
  });
}

function granted(access: ObjectAccess, request: FastifyRequest) {
  const key = (request.params as { "*": string })["*"];
  return access.check(request.method, key, request.query as Record<string, unknown>);
}

async function read(access: ObjectAccess, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const grant = granted(access, request);
  if (!grant) return sendRefusal(reply, refusal(403, "the grant is not valid for this object, or too old"));
  const info = await access.head(grant.key);
  if (!info) return sendRefusal(reply, refusal(404, "object not found"));
  const range = parseRange(request.headers.range, info.sizeBytes);
  if (range === "unsatisfiable") return reply.code(416).header("content-range", `bytes */${info.sizeBytes}`).send();
  const found = await access.get(grant.key, range);
  if (!found) return sendRefusal(reply, refusal(404, "object not found"));
  const length = range ? range.endExclusive - range.start : info.sizeBytes;
  reply.header("content-type", "application/octet-stream").header("content-length", String(length)).header("accept-ranges", "bytes");
  if (range) reply.code(206).header("content-range", `bytes ${range.start}-${range.endExclusive - 1}/${info.sizeBytes}`);
  return reply.send(found.bytes);
}

async function write(access: ObjectAccess, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const grant = granted(access, request);
  if (!grant) return sendRefusal(reply, refusal(403, "the grant is not valid for this object, or too old"));
  const body = (request.body ?? new Uint8Array()) as Readable | Uint8Array;
  const result = await access.put(
    grant.key,
    body,
    grant.sizeBytes === undefined ? { sizeBytesMax: objectBytesMax } : { sizeBytes: grant.sizeBytes },
  );
  switch (result.outcome) {
    case "stored":
      return sendJson(reply, 201, { size_bytes: result.sizeBytes });
    case "exists":
      return sendJson(reply, 200, { size_bytes: result.sizeBytes });
    case "conflict":
      return sendRefusal(reply, refusal(409, "an object is written once: this key has other content"));
    default:
      return sendRefusal(reply, invalid(`the object was not stored: ${result.reason}`));
  }
}
