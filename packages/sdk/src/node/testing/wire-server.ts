/**
 * A real HTTP server for tests of the client: it keeps every request as it came and answers from a list that the test wrote before. A
 * request that nobody expected is answered 599, which no client treats as success.
 */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

interface SeenRequest {
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  /** As text; empty when there was none. */
  readonly body: string;
}

export type Answer = (response: ServerResponse, request: SeenRequest) => void | Promise<void>;

export interface WireServer {
  readonly url: string;
  readonly requests: SeenRequest[];
  /** In the order of the requests. */
  expect(...answers: Answer[]): void;
  /** `METHOD url` of each request. */
  lines(): string[];
  lastBody(): unknown;
}

export async function wireServer(): Promise<WireServer> {
  const requests: SeenRequest[] = [];
  const answers: Answer[] = [];
  const server = createServer((incoming, response) => {
    void serve({ incoming, response, requests, answers });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    expect: (...more) => {
      answers.push(...more);
    },
    lines: () => requests.map(({ method, url }) => `${method} ${url}`),
    lastBody: () => JSON.parse(requests.at(-1)?.body ?? "null") as unknown,
  };
}

async function serve(exchange: {
  incoming: IncomingMessage;
  response: ServerResponse;
  requests: SeenRequest[];
  answers: Answer[];
}): Promise<void> {
  const { incoming, response, requests, answers } = exchange;
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const request = {
    method: incoming.method ?? "",
    url: incoming.url ?? "",
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString("utf8"),
  };
  requests.push(request);
  const answer = answers.shift();
  if (answer === undefined) response.writeHead(599).end("no answer was expected");
  else await answer(response, request);
}

export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(`${JSON.stringify(body)}\n`);
  };
}

export function raw(body: string | Uint8Array, status = 200, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, headers).end(body);
  };
}

/** Each part is one write to the socket; then the answer ends, or the connection is cut. */
export function eventStream(parts: readonly (string | Uint8Array)[], options: { ending?: "end" | "cut" | "stay" } = {}): Answer {
  return async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.flushHeaders();
    for (const part of parts) {
      await new Promise((resolve) => response.write(part, resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { ending = "end" } = options;
    if (ending === "end") response.end();
    else if (ending === "cut") response.destroy();
  };
}

/** One frame with its blank line. */
export function frame(id: string | number, event: string, data: unknown): string {
  return `id: ${id}\nevent: ${event}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

/** Never answers; the request ends with its connection. */
export const silence: Answer = () => undefined;
