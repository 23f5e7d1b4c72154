/**
 * One GET of a registry's client: redirects followed a few times and never with credentials to another origin, connections only to addresses that
 * its host may have. The name was written by a tenant, and a redirect or a token server is named by whoever answers: without this a build could
 * read the worker's own network.
 */
import dns from "node:dns";
import http from "node:http";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { parseAddress } from "../../network/ip-address.ts";
import { refusedCategory } from "../../network/special-ranges.ts";
import { ImageError } from "../image-error.ts";

export interface RegistryRequest {
  url: URL;
  headers: Record<string, string>;
  /** Origins that the operator named: reached wherever they are. */
  trustedOrigins: ReadonlySet<string>;
  signal: AbortSignal;
  method?: "GET" | "HEAD";
}

export interface RegistryResponse {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: http.IncomingMessage;
}

const redirectsMax = 5;
const idleMs = 30_000;
const noOwnAddresses: ReadonlySet<string> = new Set();

export async function requestRegistry(request: RegistryRequest): Promise<RegistryResponse> {
  let { url } = request;
  let headers = request.headers;
  for (let redirects = 0; ; redirects += 1) {
    const response = await requestOnce({ ...request, url, headers });
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response;
    response.body.resume();
    const next = URL.parse(location, url);
    if (redirects === redirectsMax || next === null || !/^https?:$/.test(next.protocol))
      throw new ImageError(
        "registry_answer_invalid",
        `${url.host} redirects to ${JSON.stringify(location.slice(0, 200))}, which is not followed`,
      );
    if (next.origin !== url.origin) {
      const { authorization: _dropped, ...kept } = headers;
      headers = kept;
    }
    url = next;
  }
}

function requestOnce({ url, headers, trustedOrigins, signal, method }: RegistryRequest): Promise<RegistryResponse> {
  const trusted = trustedOrigins.has(url.origin);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (!trusted && url.protocol !== "https:")
    return Promise.reject(
      new ImageError("registry_refused", `${url.origin} speaks plain http; an operator allows that with HELMR_REGISTRIES on the worker`),
    );
  const literal = isIP(host) === 0 ? undefined : refusalOf(host, host);
  if (!trusted && literal !== undefined) return Promise.reject(literal);
  const client = url.protocol === "http:" ? http : https;
  return new Promise((resolve, reject) => {
    const sent = client.request(url, {
      method: method ?? "GET",
      headers: { "user-agent": "helmr", ...headers },
      signal,
      timeout: idleMs,
      lookup: trusted ? dns.lookup : publicLookup,
    });
    sent.on("timeout", () => sent.destroy(new ImageError("registry_unavailable", `${url.host} said nothing for ${idleMs / 1000} s`)));
    sent.on("error", (cause) => reject(signal.aborted || cause instanceof ImageError ? cause : unreachable(url, cause)));
    sent.on("response", (body) => resolve({ status: body.statusCode ?? 0, headers: body.headers, body }));
    sent.end();
  });
}

function unreachable(url: URL, cause: NodeJS.ErrnoException): ImageError {
  // An answer of the name servers, unlike EAI_AGAIN.
  if (cause.code === "ENOTFOUND")
    return new ImageError("image_not_found", `There is no host ${url.hostname}; check the registry's name in the image reference`, {
      cause,
    });
  return new ImageError("registry_unavailable", `${url.host} cannot be reached: ${cause.message}`, { cause });
}

/** Resolves as the system does; an answer that is not public is refused, so that what was looked at is what is connected to. */
const publicLookup: LookupFunction = (name, options, callback) => {
  dns.lookup(name, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, [], 0);
    const refused = addresses.map(({ address }) => refusalOf(name, address)).find((one) => one !== undefined);
    if (refused) return callback(refused, [], 0);
    const [first] = addresses;
    if (options.all === true || first === undefined) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};

function refusalOf(name: string, text: string): ImageError | undefined {
  const address = parseAddress(text.split("%")[0] ?? "");
  const category = address === undefined ? "unknown" : refusedCategory(address, noOwnAddresses);
  if (category === null) return undefined;
  return new ImageError(
    "registry_refused",
    `The registry ${name} has the address ${text} (${category}), which builds do not reach; an operator allows it with HELMR_REGISTRIES on the worker`,
  );
}

/** A whole small body; more than `bytesMax` is refused. */
export async function readBody(response: RegistryResponse, bytesMax: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response.body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > bytesMax) throw new ImageError("registry_answer_invalid", `The registry's answer has more than ${bytesMax} bytes`);
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw new ImageError("registry_unavailable", `The registry's answer was cut off: ${(cause as Error).message}`, { cause });
  } finally {
    response.body.destroy();
  }
  return Buffer.concat(parts);
}
