/** One HTTP request and its whole answer over kept-alive connections. No retries, no meaning: that is client.ts. */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";

export interface Exchange {
  method: "GET" | "POST" | "PUT";
  url: URL;
  headers: Record<string, string>;
  body?: Uint8Array | string | (() => Readable);
  timeoutMs: number;
  signal?: AbortSignal;
  answerBytesMax: number;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** The request got no whole answer: the connection failed, or took too long. What the other side did is unknown. */
export class ExchangeFailed extends Error {
  override name = "ExchangeFailed";
  readonly code = "exchange_failed";
}

const socketsMax = 64;
const idleMs = 30_000;

export class HttpExchanges {
  private readonly plain = new HttpAgent({ keepAlive: true, maxSockets: socketsMax, timeout: idleMs, scheduling: "lifo" });
  private readonly secure = new HttpsAgent({ keepAlive: true, maxSockets: socketsMax, timeout: idleMs, scheduling: "lifo" });

  close(): void {
    this.plain.destroy();
    this.secure.destroy();
  }

  async send(exchange: Exchange): Promise<Answer> {
    const message = await this.open(exchange);
    return { status: message.statusCode ?? 0, headers: message.headers, body: await collect(message, exchange) };
  }

  /** The answer as a stream, for bodies that are not kept in memory. The caller reads or destroys it. */
  open(exchange: Exchange): Promise<IncomingMessage> {
    const secure = exchange.url.protocol === "https:";
    return new Promise((resolve, reject) => {
      const options = {
        method: exchange.method,
        headers: exchange.headers,
        agent: secure ? this.secure : this.plain,
        signal: exchange.signal,
      };
      const request = secure ? httpsRequest(exchange.url, options) : httpRequest(exchange.url, options);
      const late = setTimeout(() => request.destroy(new ExchangeFailed(`No answer within ${exchange.timeoutMs} ms`)), exchange.timeoutMs);
      const fail = (cause: Error) => {
        clearTimeout(late);
        if (exchange.signal?.aborted === true || cause instanceof ExchangeFailed) reject(cause);
        else reject(new ExchangeFailed(`${exchange.method} ${exchange.url.pathname}: ${cause.message}`, { cause }));
      };
      request.on("error", fail);
      request.on("response", (message: IncomingMessage) => {
        // The limit covers the body as well; whoever reads it sees the error there.
        message.on("close", () => clearTimeout(late));
        resolve(message);
      });
      sendBody(request, exchange.body, fail);
    });
  }
}

function sendBody(request: ReturnType<typeof httpRequest>, body: Exchange["body"], fail: (error: Error) => void): void {
  if (typeof body !== "function") {
    request.end(body);
    return;
  }
  const source = body();
  source.on("error", (error) => {
    request.destroy();
    fail(error);
  });
  request.on("close", () => source.destroy());
  source.pipe(request);
}

async function collect(message: IncomingMessage, exchange: Exchange): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of message as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > exchange.answerBytesMax) throw new ExchangeFailed(`Answer is longer than ${exchange.answerBytesMax} bytes`);
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof ExchangeFailed || exchange.signal?.aborted === true) throw cause;
    throw new ExchangeFailed(`Answer was cut short: ${(cause as Error).message}`, { cause });
  }
  return Buffer.concat(parts);
}
