/**
 * Preview URLs: `/preview/<token>/…` on the server's own host shows what listens on a port of a workspace's machine, WebSockets included. The token is the
 * credential: signed by us, for one workspace and port, until it expires.
 *
 * What a guest serves is hostile here: pages run in an origin of their own (CSP sandbox without allow-same-origin), so that they cannot act as the person
 * who looks at them. Neither our cookies nor an Authorization header travel to the guest, and its cookies do not come back.
 */
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { EngineContext } from "../engine-context.ts";
import { liveRefusal, type LiveStream, openLiveCall } from "../operations/open-live.ts";
import { isRefusal, type Refusal, refusal } from "../outcome.ts";
import { sendRefusal } from "./errors.ts";

interface Preview {
  environmentId: string;
  workspaceId: string;
  port: number;
  expiresMs: number;
}

const purpose = "grants";
const use = "port preview";

export function previewToken({ keys }: EngineContext, { environmentId, workspaceId, port, expiresMs }: Preview): string {
  return keys.sign(purpose, use, JSON.stringify([environmentId, workspaceId, port, expiresMs])).replaceAll(".", "~");
}

function readToken({ keys }: EngineContext, token: string): Preview | Refusal {
  const payload = keys.verify(purpose, use, token.replaceAll("~", "."));
  if (payload === undefined) return refusal(401, "the preview URL is not one of ours");
  const [environmentId, workspaceId, port, expiresMs] = JSON.parse(payload) as [string, string, number, number];
  if (expiresMs < Date.now()) return refusal(410, "the preview URL has expired: make a new one");
  return { environmentId, workspaceId, port, expiresMs };
}

const sandbox = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads allow-pointer-lock";
const headMs = 60_000;

export function addPreview(
  app: FastifyInstance,
  { context, onFault }: { context: EngineContext; onFault: (error: unknown) => void },
): void {
  app.route({
    method: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    url: "/preview/:token/*",
    onRequest: (request, _reply, done) => {
      // The body goes through as it is, whatever it calls itself.
      for (const name of ["content-type", "content-length", "transfer-encoding"]) {
        const value = request.headers[name];
        if (value !== undefined) request.raw.headers[`x-helmr-raw-${name}`] = value;
        delete request.headers[name];
      }
      done();
    },
    handler: (request, reply) => forward(context, request, reply),
  });
  app.get("/preview/:token", (request, reply) => reply.redirect(`${request.url.split("?")[0]}/`, 308));
  takeUpgrades(app, context, onFault);
}

async function forward(context: EngineContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const preview = readToken(context, (request.params as { token: string }).token);
  if (isRefusal(preview)) return sendRefusal(reply, preview);
  const connection = await connect(context, preview);
  if (isRefusal(connection)) return sendRefusal(reply, connection);
  let answer: IncomingMessage;
  try {
    answer = await exchange(connection, request, preview);
  } catch (error) {
    connection.destroy();
    return sendRefusal(reply, refusal(502, `what listens on port ${preview.port} did not answer: ${(error as Error).message}`));
  }
  reply.code(answer.statusCode ?? 502);
  for (const [name, value] of Object.entries(answerHeaders(answer.headers, `/preview/${(request.params as { token: string }).token}`)))
    reply.header(name, value);
  answer.on("close", () => connection.destroy());
  return reply.send(answer);
}

async function connect(context: EngineContext, preview: Preview): Promise<LiveStream | Refusal> {
  const target = { environmentId: preview.environmentId, workspaceId: preview.workspaceId, writes: false };
  const stream = await openLiveCall(context, target, { kind: "port", port: preview.port });
  if (isRefusal(stream)) return stream;
  const opened = await stream.opened;
  return opened.ok ? stream : liveRefusal(opened);
}

function exchange(connection: LiveStream, request: FastifyRequest, preview: Preview): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      method: request.method,
      path: innerPath(request.raw.url ?? "/"),
      headers: requestHeaders(request.raw.headers, preview.port),
      createConnection: () => connection,
    });
    // A live call is a stream, not a socket: it has no timeout of its own.
    const timer = setTimeout(() => outgoing.destroy(new TypeError(`nothing was heard for ${headMs} ms`)), headMs);
    outgoing.on("response", (answer) => (clearTimeout(timer), resolve(answer)));
    outgoing.on("error", (error) => (clearTimeout(timer), reject(error)));
    request.raw.pipe(outgoing);
    request.raw.on("aborted", () => outgoing.destroy());
  });
}

/** Behind the token, with its query. */
function innerPath(url: string): string {
  const rest = url.replace(/^\/preview\/[^/?]+/, "");
  return rest.startsWith("/") ? rest : `/${rest}`;
}

const dropped = new Set([
  "host",
  "cookie",
  "authorization",
  "connection",
  "keep-alive",
  "proxy-authorization",
  "te",
  "trailer",
  "upgrade",
  "x-forwarded-for",
]);
const rawPrefix = "x-helmr-raw-";

function requestHeaders(headers: IncomingHttpHeaders, port: number): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || dropped.has(name)) continue;
    passed[name.startsWith(rawPrefix) ? name.slice(rawPrefix.length) : name] = value;
  }
  return { ...passed, host: `localhost:${port}`, connection: "close" };
}

const droppedAnswers = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "set-cookie",
  "service-worker-allowed",
  "strict-transport-security",
  "clear-site-data",
]);

function answerHeaders(headers: IncomingHttpHeaders, prefix: string): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !droppedAnswers.has(name)) passed[name] = value;
  const { location } = passed;
  // A redirect to an absolute path stays below the preview.
  if (typeof location === "string" && location.startsWith("/") && !location.startsWith("//")) passed["location"] = prefix + location;
  const policy = headers["content-security-policy"];
  return {
    ...passed,
    "content-security-policy": policy === undefined ? sandbox : [policy, sandbox].flat(),
    "referrer-policy": "no-referrer",
    "access-control-allow-origin": "*",
  };
}

/** WebSockets of a previewed page: the upgrade goes through as bytes, in front of the framework's own upgrades. */
function takeUpgrades(app: FastifyInstance, context: EngineContext, onFault: (error: unknown) => void): void {
  const others = app.server.listeners("upgrade") as ((request: IncomingMessage, socket: Socket, head: Buffer) => void)[];
  app.server.removeAllListeners("upgrade");
  app.server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const token = /^\/preview\/([^/?]+)/.exec(request.url ?? "")?.[1];
    if (token === undefined) return others.forEach((listener) => listener.call(app.server, request, socket, head));
    return void upgrade(context, { request, socket, head, token }).catch((error: unknown) => {
      onFault(error);
      socket.destroy();
    });
  });
}

interface Upgrade {
  request: IncomingMessage;
  socket: Socket;
  head: Buffer;
  token: string;
}

async function upgrade(context: EngineContext, { request, socket, head, token }: Upgrade): Promise<void> {
  socket.on("error", () => socket.destroy());
  const preview = readToken(context, token);
  const connection = isRefusal(preview) ? preview : await connect(context, preview);
  if (isRefusal(connection) || isRefusal(preview)) {
    const refused = (isRefusal(connection) ? connection : preview) as Refusal;
    socket.end(`HTTP/1.1 ${refused.status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    return;
  }
  const headers = requestHeaders(request.headers, preview.port);
  const lines = Object.entries({
    ...headers,
    connection: "Upgrade",
    upgrade: request.headers.upgrade ?? "websocket",
    origin: `http://localhost:${preview.port}`,
  });
  const text = lines.flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`)).join("");
  connection.write(`GET ${innerPath(request.url ?? "/")} HTTP/1.1\r\n${text}\r\n`);
  if (head.length > 0) connection.write(head);
  socket.on("close", () => connection.destroy());
  connection.on("close", () => socket.destroy());
  socket.pipe(connection);
  connection.pipe(socket);
}
