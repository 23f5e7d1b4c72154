/**
 * Requests of the command line: base URL, credential and scope are fixed when a client is made, so that no command can mix them up
 * (cli §2). Answers other than 2xx become an HttpFailure with the text of cli §1. Nothing is retried here.
 */
import type { Readable } from "node:stream";
import { apiVersion, helmrVersion } from "@helmr/protocol/shared";
import { Failure, HttpFailure, TransportFailure } from "../failure.ts";
import { type RouteAnswer, type RouteBody, type RouteId, type RouteQuery, routes } from "./routes.ts";
import { bodyText } from "./raw-json.ts";
import { type Answer, type RequestBody, exchange } from "./transport.ts";

export type Credential = { kind: "api_key"; token: string } | { kind: "login"; token: string } | { kind: "none" };

export interface Scope {
  project: string;
  environment: string;
}

export interface ClientOptions {
  baseUrl: string;
  credential: Credential;
  /** As given on the command line, possibly only one of the two: the layer checks it against the credential. */
  scope?: Partial<Scope>;
  signal: AbortSignal;
}

export interface RequestOptions<Id extends RouteId> {
  params?: Readonly<Record<string, string>>;
  query?: RouteQuery<Id>;
  body?: RouteBody<Id>;
  signal?: AbortSignal;
}

export const scopeTexts = {
  unexpected: "project and environment scope is only accepted on session-scoped API routes",
  missing: "project and environment are required for session-scoped API routes",
} as const;

const silenceMsMax = { request: 60_000, events: 45_000, upload: 180_000 } as const;
/** An answer is held in memory; the largest legitimate one is a list of runs with their outputs. */
const answerBytesMax = 256 * 1024 * 1024;
const errorBytesMax = 1024 * 1024;

export class ApiClient {
  readonly baseUrl: string;
  readonly credential: Credential;
  readonly #scope: Partial<Scope>;
  readonly #signal: AbortSignal;

  constructor(options: ClientOptions) {
    this.baseUrl = options.baseUrl;
    this.credential = options.credential;
    this.#scope = options.scope ?? {};
    this.#signal = options.signal;
  }

  /** One JSON answer. A route without one (204) gives undefined. */
  async call<Id extends RouteId>(id: Id, options: RequestOptions<Id> = {}): Promise<RouteAnswer<Id>> {
    const { status, text, statusLine } = await this.#json(id, options);
    if (status === 202) throw failureOf(statusLine, status, text);
    return (text === "" ? undefined : parsedAnswer(text, id)) as RouteAnswer<Id>;
  }

  /** As call, for the routes whose 202 has a meaning of its own. */
  async callWithStatus<Id extends RouteId>(
    id: Id,
    options: RequestOptions<Id> = {},
  ): Promise<{ status: number; retryAfter: string | undefined; failure: HttpFailure | undefined; value: unknown }> {
    const { status, text, statusLine, retryAfter } = await this.#json(id, options);
    const value = text === "" ? undefined : parsedAnswer(text, id);
    return { status, retryAfter, failure: status === 202 ? failureOf(statusLine, status, text) : undefined, value };
  }

  /** Server-sent events. The stream breaks when nothing, not even a keep-alive, was heard for a while. */
  async events<Id extends RouteId>(id: Id, options: RequestOptions<Id>): Promise<Readable> {
    const answer = await this.#send(id, options, { accept: "text/event-stream", silenceMsMax: silenceMsMax.events });
    const type = answer.header("content-type") ?? "";
    if (!type.startsWith("text/event-stream")) {
      answer.stream.destroy();
      throw new Failure(`${id} answered ${type === "" ? "without a content type" : type} where an event stream was expected`);
    }
    return answer.stream;
  }

  /** What opens a route that is a WebSocket. */
  socket<Id extends RouteId>(id: Id, options: RequestOptions<Id>): { url: string; headers: Record<string, string> } {
    return { url: this.#url(id, options).href.replace(/^http/, "ws"), headers: this.#headers() };
  }

  /** Bytes as they are. Breaks when nothing was heard for a while. */
  async content<Id extends RouteId>(id: Id, options: RequestOptions<Id>): Promise<Readable> {
    return (await this.#send(id, options, { accept: "application/octet-stream", silenceMsMax: silenceMsMax.request })).stream;
  }

  async upload<Id extends RouteId>(
    id: Id,
    upload: { contentType: string; body: RequestBody },
    options: RequestOptions<Id> = {},
  ): Promise<RouteAnswer<Id>> {
    const answer = await this.#send(id, options, { accept: "application/json", silenceMsMax: silenceMsMax.upload, upload });
    return parsedAnswer(await textOf(answer.stream, { bytesMax: answerBytesMax, signal: this.#signal }), id) as RouteAnswer<Id>;
  }

  async #json<Id extends RouteId>(
    id: Id,
    options: RequestOptions<Id>,
  ): Promise<{ status: number; statusLine: string; text: string; retryAfter: string | undefined }> {
    const answer = await this.#send(id, options, { accept: "application/json", silenceMsMax: silenceMsMax.request });
    const text = await textOf(answer.stream, { bytesMax: answerBytesMax, signal: options.signal ?? this.#signal });
    return { status: answer.status, statusLine: answer.statusLine, text, retryAfter: answer.header("retry-after") };
  }

  async #send<Id extends RouteId>(
    id: Id,
    options: RequestOptions<Id>,
    how: { accept: string; silenceMsMax: number; upload?: { contentType: string; body: RequestBody } },
  ): Promise<Answer> {
    const url = this.#url(id, options);
    const body = how.upload?.body ?? (options.body === undefined ? undefined : bodyText(options.body as object));
    const contentType = how.upload?.contentType ?? (body === undefined ? undefined : "application/json");
    const answer = await exchange({
      method: routes[id].method,
      url,
      headers: { ...this.#headers(), accept: how.accept, ...(contentType === undefined ? {} : { "content-type": contentType }) },
      ...(body === undefined ? {} : { body }),
      signal: options.signal ?? this.#signal,
      silenceMsMax: how.silenceMsMax,
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw failureOf(
      answer.statusLine,
      answer.status,
      await textOf(answer.stream, { bytesMax: errorBytesMax, signal: this.#signal }).catch(() => ""),
    );
  }

  #headers(): Record<string, string> {
    return {
      "user-agent": `helmr-cli/${helmrVersion}`,
      "helmr-api-version": apiVersion,
      "helmr-client-version": helmrVersion,
      "helmr-cli-version": helmrVersion,
      ...(this.credential.kind === "none" ? {} : { authorization: `Bearer ${this.credential.token}` }),
    };
  }

  #url<Id extends RouteId>(id: Id, options: RequestOptions<Id>): URL {
    const { path, family } = routes[id];
    const prefix = family === "environment" ? environmentPrefix(this.credential, this.#scope) : "/api";
    const url = new URL(this.baseUrl + prefix + filledPath(path, options.params ?? {}));
    for (const [name, value] of Object.entries((options.query ?? {}) as Record<string, string | number | undefined>)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url;
  }
}

/** The layer's own check of scope against credential, with its own texts (cli §2). */
function environmentPrefix(credential: Credential, scope: Partial<Scope>): string {
  const given = scope.project !== undefined || scope.environment !== undefined;
  if (credential.kind !== "login") {
    if (given) throw new Failure(scopeTexts.unexpected);
    return "/api";
  }
  const { project, environment } = scope;
  if (project === undefined || environment === undefined) throw new Failure(scopeTexts.missing);
  return `/api/projects/${segment("project", project)}/environments/${segment("env", environment)}`;
}

function filledPath(path: string, params: Readonly<Record<string, string>>): string {
  return path.replace(/\{([A-Za-z]+)\}/g, (_placeholder, name: string) => segment(name, params[name] ?? ""));
}

const segmentNames: Record<string, string> = {
  execID: "exec id",
  ptyID: "pty id",
  taskID: "task id",
  sandboxID: "sandbox id",
  env: "environment",
};

/** A blank segment or one of dots would address another route. */
function segment(name: string, value: string): string {
  if (value.trim() === "" || value === "." || value === "..")
    throw new Failure(`invalid ${segmentNames[name] ?? name} ${JSON.stringify(value)}`);
  return encodeURIComponent(value);
}

function failureOf(statusLine: string, status: number, text: string): HttpFailure {
  const body = errorBody(text);
  return new HttpFailure(body.error === undefined ? statusLine : `${statusLine}: ${body.error}`, {
    status,
    code: body.code,
    reason: body.error,
  });
}

function errorBody(text: string): { error?: string; code?: string } {
  try {
    const body = JSON.parse(text) as { error?: unknown; code?: unknown } | null;
    return {
      ...(typeof body?.error === "string" && body.error !== "" ? { error: body.error } : {}),
      ...(typeof body?.code === "string" ? { code: body.code } : {}),
    };
  } catch {
    // Not JSON: a proxy's page, for example. The status line says enough.
    return {};
  }
}

function parsedAnswer(text: string, id: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Failure(`${id} answered with something that is not JSON; does the URL belong to Helmr?`, { cause: error });
  }
}

async function textOf(stream: Readable, options: { bytesMax: number; signal: AbortSignal }): Promise<string> {
  const pieces: Buffer[] = [];
  let held = 0;
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      held += piece.length;
      if (held > options.bytesMax) throw new Failure(`the answer is larger than ${options.bytesMax} bytes`);
      pieces.push(piece);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw new TransportFailure("the answer of the server broke off", error);
  }
  return Buffer.concat(pieces).toString("utf8");
}
