/**
 * A real HTTP server that answers as a test says and keeps every request. The only stand-in of these tests: it stands at the wire.
 * A request that no route answers gets 404 as the real server's unknown paths do.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface RecordedRequest {
  method: string;
  /** Without the query. */
  path: string;
  query: Record<string, string>;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
  /** The body as JSON; undefined when it is empty or something else. */
  json: unknown;
}

export interface FakeAnswer {
  status?: number;
  /** Overrides the standard phrase of the status line. */
  phrase?: string;
  headers?: Record<string, string>;
  /** Text or bytes as they are, anything else as JSON. */
  body?: unknown;
  /** Takes over after the headers. */
  stream?: (response: http.ServerResponse) => void | Promise<void>;
}

type Respond = (request: RecordedRequest, count: number) => FakeAnswer | Promise<FakeAnswer>;

export class FakeServer {
  readonly requests: RecordedRequest[] = [];
  readonly url: string;
  readonly #server: http.Server;
  readonly #routes: Map<string, Respond>;
  readonly #counts = new Map<string, number>();

  private constructor(server: http.Server, routes: Map<string, Respond>) {
    this.#server = server;
    this.#routes = routes;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<FakeServer> {
    const routes = new Map<string, Respond>();
    const server = http.createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const fake = new FakeServer(server, routes);
    server.on("request", (request, response) => {
      void fake.#serve(request, response);
    });
    return fake;
  }

  /** `GET /api/runs`. Several answers are given one after the other, the last one for ever. */
  on(route: string, ...answers: (FakeAnswer | Respond)[]): this {
    this.#counts.delete(route);
    this.#routes.set(route, (request, count) => {
      const answer = answers[Math.min(count, answers.length - 1)] ?? {};
      return typeof answer === "function" ? answer(request, count) : answer;
    });
    return this;
  }

  /** `GET /api/runs?status=all`, in the order of arrival. */
  get lines(): string[] {
    return this.requests.map(({ method, path, query }) => {
      const text = new URLSearchParams(query).toString();
      return `${method} ${path}${text === "" ? "" : `?${text}`}`;
    });
  }

  get last(): RecordedRequest {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error("no request has arrived");
    return last;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #serve(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece);
    const url = new URL(incoming.url ?? "/", this.url);
    const body = Buffer.concat(pieces);
    const request = {
      method: incoming.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: incoming.headers,
      body,
      json: jsonOf(body),
    };
    this.requests.push(request);
    const route = `${request.method} ${request.path}`;
    const count = this.#counts.get(route) ?? 0;
    this.#counts.set(route, count + 1);
    const answer = (await this.#routes.get(route)?.(request, count)) ?? { status: 404, body: { error: "not found" } };
    await send(response, answer);
  }
}

async function send(response: http.ServerResponse, answer: FakeAnswer): Promise<void> {
  const isText = typeof answer.body === "string" || Buffer.isBuffer(answer.body);
  const type = answer.stream ? "text/event-stream" : "application/json";
  if (answer.phrase !== undefined) response.statusMessage = answer.phrase;
  response.writeHead(answer.status ?? 200, { "content-type": type, ...answer.headers });
  if (answer.stream) {
    response.flushHeaders();
    await answer.stream(response);
    return;
  }
  if (answer.body === undefined) response.end();
  else response.end(isText ? answer.body : `${JSON.stringify(answer.body)}\n`);
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

export function frame(id: string | number, event: string, data: unknown): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** An event stream with these frames, which then ends, or breaks off. */
export function eventStream(frames: readonly string[], options: { end?: "clean" | "broken" | "open" } = {}): FakeAnswer {
  return {
    stream: (response) => {
      for (const text of frames) response.write(text);
      if (options.end === "broken") setImmediate(() => response.destroy());
      else if (options.end !== "open") response.end();
    },
  };
}
