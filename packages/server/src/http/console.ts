/**
 * The web console: static files of one directory, read into memory at start and served compressed (http §1.1). Any path that is no API route is a page of
 * the console: `index.html`. Files below `assets/` have content hashes in their names and never change; a missing one is 404, not a page.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { sendJson } from "./errors.ts";

interface File {
  bytes: Buffer;
  gzip: Buffer | undefined;
  type: string;
  etag: string;
}

export type Console = (request: FastifyRequest, reply: FastifyReply) => FastifyReply;

const mediaTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
  ".map": "application/json",
};
const compressible = /^(text\/|application\/json|image\/svg)/;

/** The page may talk to its own server only; nobody may frame it. */
const pagePolicy = [
  "default-src 'self'",
  "img-src 'self' data: https:",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join("; ");

/** Without a directory (or without an index.html in it) every page is 404 with a sentence. */
export async function openConsole(directory: string): Promise<Console> {
  const files = directory === "" ? new Map<string, File>() : await readFiles(directory);
  const index = files.get("/index.html");
  return (request, reply) => {
    const path = pathOf(request.url);
    if (request.method !== "GET" && request.method !== "HEAD") return sendJson(reply, 404, { error: "not found" });
    const file = files.get(path);
    if (file && file !== index)
      return sendFile(request, reply, file, path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache");
    if (path.startsWith("/assets/") || !index)
      return sendJson(reply, 404, { error: index ? "asset not found" : "this server has no web console" });
    reply
      .header("content-security-policy", pagePolicy)
      .header("x-content-type-options", "nosniff")
      .header("referrer-policy", "same-origin");
    return sendFile(request, reply, index, "no-cache");
  };
}

function pathOf(url: string): string {
  const path = url.split(/[?#]/, 1)[0] ?? "/";
  try {
    return decodeURIComponent(path);
  } catch {
    return "/";
  }
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: File, caching: string): FastifyReply {
  reply.header("cache-control", caching).header("etag", file.etag).header("vary", "Accept-Encoding").type(file.type);
  if (request.headers["if-none-match"] === file.etag) return reply.code(304).send();
  const zipped = file.gzip && acceptsGzip(request) ? file.gzip : undefined;
  if (zipped) reply.header("content-encoding", "gzip");
  return reply.code(200).send(request.method === "HEAD" ? "" : (zipped ?? file.bytes));
}

function acceptsGzip(request: FastifyRequest): boolean {
  const header = request.headers["accept-encoding"];
  return /\bgzip\b/.test(Array.isArray(header) ? header.join(",") : (header ?? ""));
}

async function readFiles(directory: string): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const type = mediaTypes[extname(entry.name)] ?? "application/octet-stream";
    const bytes = await readFile(path);
    const gzip = compressible.test(type) && bytes.length > 1_024 ? gzipSync(bytes) : undefined;
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    files.set(`/${relative(directory, path).split(sep).join("/")}`, { bytes, gzip, type, etag });
  }
  return files;
}
