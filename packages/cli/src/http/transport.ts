/**
 * One HTTP exchange over node:http, redirects included (cli §2): at most ten, none to a plaintext host that is not loopback, and the
 * credential is not carried to another origin. Here because an upload streams for minutes and an event stream for half an hour: what
 * bounds an exchange is silence on the connection, not its length.
 *
 * It does not retry, and it does not judge the status.
 */
import http from "node:http";
import https from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure, TransportFailure, reasonOf } from "../failure.ts";
import { isLoopbackHost } from "../settings/api-url.ts";

export interface RequestBody {
  /** Known before the first byte: no chunked encoding. */
  bytes: number;
  /** Called once per attempt, so that a redirected request can be sent again. */
  open: () => Readable;
}

export interface Exchange {
  method: string;
  url: URL;
  headers: Readonly<Record<string, string>>;
  body?: string | RequestBody;
  signal: AbortSignal;
  /** The connection is given up after so much silence. */
  silenceMsMax: number;
}

export interface Answer {
  status: number;
  /** `404 Not Found` */
  statusLine: string;
  header(name: string): string | undefined;
  /** Bytes as they arrive; fails when the connection breaks off. Must be read to its end or destroyed. */
  stream: Readable;
}

const redirectsMax = 10;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);

export async function exchange(request: Exchange): Promise<Answer> {
  let current = request;
  for (let redirects = 0; ; redirects += 1) {
    const answer = await exchangeOnce(current);
    const location = answer.header("location");
    if (!redirectStatuses.has(answer.status) || location === undefined) return answer;
    answer.stream.destroy();
    if (redirects === redirectsMax) throw new Failure(`stopped after ${redirectsMax} redirects, at ${current.url.href}`);
    current = redirected(current, answer.status, location);
  }
}

function redirected(from: Exchange, status: number, location: string): Exchange {
  if (!URL.canParse(location, from.url)) throw new Failure(`${from.url.href} redirects to ${JSON.stringify(location)}, which is not a URL`);
  const url = new URL(location, from.url);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new Failure(`refused a redirect to ${url.href}: only http and https are followed`);
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname)) {
    throw new Failure(`refused a redirect to ${url.href}: http is allowed only for localhost or a loopback IP`);
  }
  const headers = { ...from.headers };
  if (url.origin !== from.url.origin) delete headers["authorization"];
  const becomesGet = (status === 303 && from.method !== "HEAD") || (from.method === "POST" && (status === 301 || status === 302));
  if (!becomesGet) return { ...from, url, headers };
  delete headers["content-type"];
  return { method: "GET", url, headers, signal: from.signal, silenceMsMax: from.silenceMsMax };
}

function exchangeOnce(request: Exchange): Promise<Answer> {
  const { url, body } = request;
  return new Promise((resolve, reject) => {
    let answered = false;
    const fail = (error: unknown) => {
      // A server may answer and close while we still write: then its answer counts, not the broken pipe.
      if (!answered) reject(request.signal.aborted ? (request.signal.reason as Error) : unreachable(url, error));
    };
    const outgoing = (url.protocol === "https:" ? https : http).request(url, {
      method: request.method,
      headers: { ...request.headers, ...bodyHeaders(request) },
      signal: request.signal,
    });
    outgoing.setTimeout(request.silenceMsMax, () => {
      outgoing.destroy(new Error(`nothing was heard for ${Math.round(request.silenceMsMax / 1000)} s`));
    });
    outgoing.on("error", fail);
    outgoing.on("response", (incoming) => {
      answered = true;
      resolve(answerOf(incoming));
    });
    if (body === undefined || typeof body === "string") outgoing.end(body);
    else pipeline(body.open(), outgoing).catch(fail);
  });
}

function bodyHeaders(request: Exchange): Record<string, string> {
  const { body } = request;
  if (body !== undefined) return { "content-length": String(typeof body === "string" ? Buffer.byteLength(body) : body.bytes) };
  return request.method === "GET" || request.method === "DELETE" ? {} : { "content-length": "0" };
}

function answerOf(incoming: http.IncomingMessage): Answer {
  const status = incoming.statusCode ?? 0;
  const phrase = incoming.statusMessage || http.STATUS_CODES[status] || "";
  return {
    status,
    statusLine: `${status} ${phrase}`.trim(),
    header: (name) => {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    stream: incoming,
  };
}

function unreachable(url: URL, error: unknown): TransportFailure {
  return new TransportFailure(`cannot reach ${url.origin}: ${networkReason(error)}`, error);
}

/** A name with several addresses fails with all of their errors at once. */
function networkReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return reasonOf(error);
}
