/** JSON over one kept-alive pool of sockets: cheap enough for a thousand requests a second beside the server it talks to. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";

export interface WireAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers
  json: any;
}

export interface WireCall {
  /** Sent as JSON; a text or bytes are sent as they are. */
  body?: unknown;
  bearer?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface WireClient {
  call(method: string, path: string, call?: WireCall): Promise<WireAnswer>;
  /** The answer before its body was read: for streams. */
  open(method: string, path: string, call?: WireCall): Promise<IncomingMessage>;
  close(): void;
}

export function wireClient(base: string, defaults: { bearer?: string } = {}): WireClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const url = new URL(base);

  function open(
    method: string,
    path: string,
    { body, bearer = defaults.bearer, headers = {}, signal }: WireCall = {},
  ): Promise<IncomingMessage> {
    const bytes = body === undefined ? undefined : typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          agent,
          host: url.hostname,
          port: url.port,
          method,
          path,
          headers: {
            ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
            ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(bytes)) }),
            ...headers,
          },
          ...(signal ? { signal } : {}),
        },
        resolve,
      );
      sent.once("error", reject);
      sent.end(bytes);
    });
  }

  return {
    open,
    async call(method, path, call) {
      const response = await open(method, path, call);
      const parts: Buffer[] = [];
      for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
      const text = Buffer.concat(parts).toString();
      const isJson = (response.headers["content-type"] ?? "").startsWith("application/json") && text !== "";
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        text,
        json: isJson ? (JSON.parse(text) as unknown) : undefined,
      };
    },
    close: () => agent.destroy(),
  };
}
