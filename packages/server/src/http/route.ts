/**
 * Implements endpoints of the protocol tables on the app: every path form of an endpoint, and for each request in this order
 *   credential → family and scope → permission → params, query, body → operation → view.
 * A handler gets parsed values and answers with a value; it never sees the framework unless it streams.
 */
import { type Endpoint, type PermissionRule, externalIdQuery, routePaths, scopeParams } from "@helmr/protocol/api";
import { type Permission, parseInput } from "@helmr/protocol/shared";
import type { WebSocket } from "@fastify/websocket";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type * as z from "zod";
import { type Refusal, invalid, isRefusal, refusal } from "../outcome.ts";
import type { Actor, Scope } from "./auth/actor.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import { sendJson, sendRefusal } from "./errors.ts";

/** How a session is named: by its id in the path or by its external id in the query (http §3). */
export type SessionAddress = { id: string } | { externalId: string };

export interface Input<P, Q, B> {
  actor: Actor;
  /** Set on environment routes; on the others asking for it is a bug. */
  scope: Scope;
  params: P;
  query: Q;
  body: B;
  address: SessionAddress;
  request: FastifyRequest;
  reply: FastifyReply;
}

export type Answer<R> = { status?: number; body?: R; headers?: Record<string, string> } | { streamed: true };

/** Serves an open socket; it ends when the socket is closed. */
export type SocketServer = (socket: WebSocket) => Promise<void>;

export type Handler<P, Q, B, R> = (input: Input<P, Q, B>) => Promise<Answer<R> | Refusal>;

/** Of answers that hold a credential. */
export const neverStored = { "cache-control": "no-store" } as const;

/** The body of an answer, or the refusal as it is. */
export function answer<R>(result: R | Refusal): { body: R } | Refusal {
  return isRefusal(result) ? result : { body: result };
}

export interface Routes {
  add<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
    endpoint: Endpoint<P, Q, B, R>,
    handler: Handler<z.output<P>, z.output<Q>, z.output<B>, z.input<R>>,
  ): void;
  /** A WebSocket: everything is checked before the upgrade; without one the answer is 426. */
  addSocket<P extends z.ZodType, Q extends z.ZodType>(
    endpoint: Endpoint<P, Q>,
    handler: (input: Input<z.output<P>, z.output<Q>, unknown>) => Promise<SocketServer | Refusal>,
  ): void;
  /** Path → methods, for the 405 answers. */
  readonly registered: ReadonlyMap<string, ReadonlySet<string>>;
  /** Ids of the endpoints that have a handler: a contract test compares them with the table. */
  readonly implemented: ReadonlySet<string>;
}

export function createRoutes(app: FastifyInstance, authenticator: Authenticator): Routes {
  const registered = new Map<string, Set<string>>();
  const implemented = new Set<string>();
  return {
    registered,
    implemented,
    add(endpoint, handler) {
      implemented.add(endpoint.id);
      for (const form of routePaths(endpoint)) {
        const url = routeUrl(form.path);
        const methods = registered.get(url) ?? new Set<string>();
        registered.set(url, methods.add(endpoint.method));
        app.route({
          method: endpoint.method,
          url,
          ...(isRaw(endpoint) ? { onRequest: keepRaw } : {}),
          handler: async (request, reply) => {
            const input = await prepare({ endpoint, form, request, reply, authenticator });
            if (isRefusal(input)) return answerRefusal(reply, input);
            const answer = await handler(input as Input<never, never, never>);
            if (isRefusal(answer)) return answerRefusal(reply, answer);
            if ("streamed" in answer) return reply;
            for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
            const status = answer.status ?? endpoint.statuses[0] ?? 200;
            return answer.body === undefined ? reply.code(status).send() : sendJson(reply, status, answer.body);
          },
        });
      }
    },
    addSocket(endpoint, handler) {
      implemented.add(endpoint.id);
      for (const form of routePaths(endpoint)) {
        const url = routeUrl(form.path);
        registered.set(url, new Set([...(registered.get(url) ?? []), endpoint.method]));
        const servers = new WeakMap<object, SocketServer>();
        app.route({
          method: "GET",
          url,
          preValidation: async (request, reply) => {
            const input = await prepare({ endpoint, form, request, reply, authenticator });
            if (isRefusal(input)) return answerRefusal(reply, input);
            if (request.headers.upgrade?.toLowerCase() !== "websocket") return undefined;
            const server = await handler(input as Input<never, never, never>);
            if (isRefusal(server)) return answerRefusal(reply, server);
            servers.set(request, server);
            return undefined;
          },
          handler: (_request, reply) => sendJson(reply.header("upgrade", "websocket"), 426, { error: "this route is a WebSocket" }),
          wsHandler: (socket, request) => {
            const server = servers.get(request);
            if (!server) return socket.close(1011, "not prepared");
            socket.on("error", () => undefined);
            return void server(socket).catch(() => socket.close(1011, "failed"));
          },
        });
      }
    },
  };
}

const isRaw = (endpoint: Endpoint) =>
  endpoint.media?.request === "application/octet-stream" || endpoint.media?.request === "application/x-tar";

/** The framework reads no body that it sees no sign of: the handler reads `request.raw`, however large it is. */
function keepRaw(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  for (const name of ["content-type", "content-length", "transfer-encoding"]) delete request.headers[name];
  done();
}

/** `/api/sessions/{id}` as the framework writes it. */
export function routeUrl(path: string): string {
  return path.replace(/\{([A-Za-z]+)\}/g, ":$1");
}

function answerRefusal(reply: FastifyReply, refused: Refusal): FastifyReply {
  return sendRefusal(reply, refused);
}

interface Preparation {
  endpoint: Endpoint;
  form: ReturnType<typeof routePaths>[number];
  request: FastifyRequest;
  reply: FastifyReply;
  authenticator: Authenticator;
}

async function prepare({
  endpoint,
  form,
  request,
  reply,
  authenticator,
}: Preparation): Promise<Input<unknown, unknown, unknown> | Refusal> {
  const access =
    form.caller === "public"
      ? ({ actor: { kind: "anonymous" } } as const)
      : await authorize({ endpoint, form, request, reply, authenticator });
  if (isRefusal(access)) return access;

  const refusedScope = refusedScopeText(access.actor, form);
  if (refusedScope !== undefined && access.actor.kind === "api_key" && namesScope(request.query)) return invalid(refusedScope);
  const params = endpoint.params && !form.byExternalId ? parseInput(endpoint.params, request.params) : pathParams(endpoint, request);
  if (!params.ok) return invalid(params.text);
  const query = endpoint.query ? parseInput(endpoint.query, singleValues(request.query)) : ({ ok: true, value: {} } as const);
  if (!query.ok) return refusal(400, query.text, query.code);
  const address = sessionAddress(endpoint, form.byExternalId, request);
  if (isRefusal(address)) return address;
  const body =
    endpoint.body && endpoint.media?.request === undefined ? readBody(endpoint.body, request.body, refusedScope) : { value: request.body };
  if (isRefusal(body)) return body;

  return {
    actor: access.actor,
    scope: ("scope" in access ? access.scope : undefined) as Scope,
    params: params.value,
    query: query.value,
    body: body.value,
    address,
    request,
    reply,
  };
}

async function authorize(preparation: Preparation): Promise<{ actor: Actor; scope?: Scope } | Refusal> {
  const { endpoint, request, reply, authenticator } = preparation;
  const actor = await authenticator.authenticate({
    authorization: request.headers.authorization,
    cookie: request.headers.cookie,
    // A page may open a channel to another site and the browser sends our cookie along: that counts as a change.
    method: request.headers.upgrade === undefined ? request.method : "UPGRADE",
    origin: request.headers.origin,
    setCookie: (cookie) => {
      reply.header("set-cookie", cookie);
    },
  });
  if (isRefusal(actor)) return clearing(reply, actor);
  if (actor.kind === "anonymous") return clearing(reply, refusal(401, "authentication is required"));
  const scope = await scopeOf(actor, preparation);
  if (scope && isRefusal(scope)) return scope;
  const permissions = actor.kind === "api_key" ? actor.permissions : (actor.membership?.permissions ?? new Set<Permission>());
  if (!allows(endpoint.permission, permissions)) return refusal(403, `${permissionText(endpoint.permission)} permission is required`);
  return scope ? { actor, scope } : { actor };
}

/** A wrong credential also clears the cookie it may have come from (http §1.3); the authenticator's owner sets `clearCookie`. */
function clearing(reply: FastifyReply, refused: Refusal): Refusal {
  if (refused.status === 401) reply.header("set-cookie", clearedSessionCookies);
  return refused;
}

const sessionCookieNames = { secure: "__Host-helmr_session", plain: "helmr_session_dev" } as const;
const clearedSessionCookies = [
  `${sessionCookieNames.secure}=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0`,
  `${sessionCookieNames.plain}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`,
];

async function scopeOf(
  actor: Exclude<Actor, { kind: "anonymous" }>,
  { endpoint, form, request, authenticator }: Preparation,
): Promise<Scope | Refusal | undefined> {
  if (form.caller === "user_session") {
    if (actor.kind === "api_key") return refusal(401, "session authentication is required");
    if (endpoint.family !== "environment") return undefined;
    const parts = parseInput(scopeParams, request.params);
    if (!parts.ok) return invalid(parts.text);
    return authenticator.resolveScope(actor, parts.value.project, parts.value.environment);
  }
  if (actor.kind === "api_key") return { orgId: actor.orgId, projectId: actor.projectId, environmentId: actor.environmentId };
  if (form.caller === "either") return undefined;
  const status = /^\/sessions\/(\{id\}|by-external-id)/.test(endpoint.path) ? 403 : 400;
  return refusal(status, "session environment scoped requests must use the project environment path");
}

export function allows(rule: PermissionRule, granted: ReadonlySet<Permission>): boolean {
  if (rule === "none") return true;
  if (typeof rule === "string") return granted.has(rule);
  if ("all" in rule) return rule.all.every((permission) => granted.has(permission));
  return rule.any.some((permission) => granted.has(permission));
}

function permissionText(rule: PermissionRule): string {
  if (typeof rule === "string") return rule;
  return "all" in rule ? rule.all.join(" and ") : rule.any.join(" or ");
}

/** By-external-id routes have no id in the path; the other placeholders (stream names) are checked all the same. */
function pathParams(endpoint: Endpoint, request: FastifyRequest) {
  const given = request.params as Record<string, string>;
  if (!endpoint.params) return { ok: true, value: given } as const;
  const placeholder = "00000000-0000-7000-8000-000000000000";
  return parseInput(endpoint.params, { ...given, id: placeholder });
}

function sessionAddress(endpoint: Endpoint, byExternalId: boolean, request: FastifyRequest): SessionAddress | Refusal {
  if (!endpoint.byExternalId) return { id: "" };
  if (!byExternalId) return { id: (request.params as { id: string }).id.toLowerCase() };
  const parsed = parseInput(externalIdQuery, singleValues(request.query));
  return parsed.ok ? { externalId: parsed.value.external_id } : invalid(parsed.text);
}

/** A query parameter given twice counts with its first value. */
function singleValues(query: unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(query as Record<string, unknown>).map(([name, value]) => [name, Array.isArray(value) ? (value[0] as unknown) : value]),
  );
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * The scope is the key's or the path's (http §1.3): the sentence for a request that names one itself. Routes that both kinds of callers share
 * decide about sessions on their own.
 */
function refusedScopeText(actor: Actor, form: Preparation["form"]): string | undefined {
  if (actor.kind === "api_key") return "project_id and environment_id are not accepted with API keys";
  return form.caller === "user_session" ? "project_id and environment_id are not accepted on project environment routes" : undefined;
}

function namesScope(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { project_id: project, environment_id: environment } = value as { project_id?: unknown; environment_id?: unknown };
  return [project, environment].some((part) => (typeof part === "string" ? part.trim() !== "" : part !== undefined && part !== null));
}

export function readBody(schema: z.ZodType, raw: unknown, refusedScope?: string): { value: unknown } | Refusal {
  const bytes = raw instanceof Uint8Array ? raw : new Uint8Array();
  if (bytes.length === 0) return invalid("a JSON body is required, at least {}");
  let value: unknown;
  try {
    value = JSON.parse(strictUtf8.decode(bytes));
  } catch (error) {
    return invalid(`the request body is not valid JSON: ${(error as Error).message}`);
  }
  if (refusedScope !== undefined && namesScope(value)) return invalid(refusedScope);
  const parsed = parseInput(schema, value);
  return parsed.ok ? { value: parsed.value } : refusal(400, parsed.text, parsed.code);
}
