/** A small real HTTP server at the worker API's place: routes by path, with faults between receiving and answering. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

export interface ApiAnswer {
  status?: number;
  body?: unknown;
  bytes?: Uint8Array;
  headers?: Record<string, string>;
}

export type ApiHandler = (request: {
  path: string;
  body: unknown;
  bytes: Buffer;
  headers: IncomingMessage["headers"];
  url: URL;
  method: string;
}) => ApiAnswer | Promise<ApiAnswer>;

export class ApiServer {
  /** By path below /api/worker, such as `/claim` or `/runs/{id}/report`; `*` takes the rest. */
  readonly routes = new Map<string, ApiHandler>();
  readonly calls: { path: string; body: unknown; at: number }[] = [];
  readonly sockets = new Set<WebSocket>();
  /** Asked for every request: what goes wrong with it. `lost`: the handler runs, its answer never arrives. */
  fault: (path: string) => "refuse" | "lost" | number | undefined = () => undefined;
  onSocket: (socket: WebSocket, headers: IncomingMessage["headers"]) => void = () => {};
  private readonly server: Server;
  private readonly channel = new WebSocketServer({ noServer: true });

  private constructor() {
    this.server = createServer((request, response) => void this.receive(request, response));
    this.server.on("upgrade", (request, socket, head) => {
      this.channel.handleUpgrade(request, socket, head, (channel) => {
        this.sockets.add(channel);
        channel.on("close", () => this.sockets.delete(channel));
        this.onSocket(channel, request.headers);
      });
    });
  }

  static async start(): Promise<ApiServer> {
    const api = new ApiServer();
    await new Promise<void>((resolve) => api.server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  count(path: string): number {
    return this.calls.filter((call) => call.path === path).length;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const path = url.pathname.replace(/^\/api\/worker/, "");
    const fault = this.fault(path);
    if (fault === "refuse") {
      request.socket.destroy();
      return;
    }
    const parts: Buffer[] = [];
    try {
      for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    } catch {
      return; // the client went away
    }
    const bytes = Buffer.concat(parts);
    const body = request.headers["content-type"]?.includes("json") === true ? (JSON.parse(bytes.toString()) as unknown) : undefined;
    this.calls.push({ path, body, at: performance.now() });
    if (typeof fault === "number") {
      send(response, { status: fault, body: { error: "a fault of the test" } });
      return;
    }
    const handler = this.routes.get(path) ?? this.routes.get(path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "{id}")) ?? this.routes.get("*");
    const answer = await (handler?.({ path, body, bytes, headers: request.headers, url, method: request.method ?? "" }) ?? {
      status: 404,
      body: { error: "no such route" },
    });
    if (fault === "lost") request.socket.destroy();
    else send(response, answer);
  }
}

function send(response: ServerResponse, answer: ApiAnswer): void {
  if (response.destroyed) return;
  const content = answer.bytes ?? Buffer.from(JSON.stringify(answer.body ?? {}));
  const type = answer.bytes === undefined ? "application/json" : "application/octet-stream";
  response.writeHead(answer.status ?? 200, { "content-type": type, "content-length": content.length, ...answer.headers });
  response.end(content);
}
