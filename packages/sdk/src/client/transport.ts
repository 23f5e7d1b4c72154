/**
 * HTTP as the API speaks it: headers, scope prefixes, error classes (sdk §1.1, §1.4, §9.1, §13). Knows no resource; keeps no state but URL
 * and key. Retries nothing: that is for the calls that may (sdk §10).
 */
import { apiVersion, helmrVersion } from "@helmr/protocol/shared";
import { AuthError, DefinitionError, HelmrApiError } from "../errors.ts";
import { jsonText } from "../json-value.ts";
import { parseBaseUrl } from "./base-url.ts";
import type { RequestOptions } from "./request-options.ts";

export interface TransportOptions {
  readonly url?: string | undefined;
  readonly apiKey?: string | undefined;
}

/** In this order in the URL; members without a value are left out. */
export type Query = readonly (readonly [name: string, value: string | number | undefined])[];

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the prefix, with a leading slash and encoded parts. */
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON when present. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly bytes?: { readonly type: string; readonly data: Uint8Array | string } | undefined;
  readonly options?: RequestOptions | undefined;
  /** A public token: its bearer stands in for the key, and the path for `/api/v1`. */
  readonly publicToken?: string | undefined;
  /** Always under `/api`: the route takes its scope in the body. */
  readonly unprefixed?: boolean;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Transport {
  readonly #baseUrl: string;
  readonly #apiKey: string | undefined;

  constructor(options: TransportOptions) {
    const url = parseBaseUrl(options.url);
    if (url.isPlaintext) console.warn(`Helmr: ${url.href} is not encrypted; use http on this machine only`);
    this.#baseUrl = url.href;
    this.#apiKey = options.apiKey?.trim() || undefined;
  }

  /** The answer whatever its status; rejects only when there is none. */
  async send(request: ApiRequest): Promise<Response> {
    const { method, query = [], body, bytes, options = {}, publicToken, accept = "application/json" } = request;
    const prefix = pathPrefix(request);
    const bearer = publicToken ?? this.#apiKey;
    const headers: Record<string, string> = {
      accept,
      "Helmr-API-Version": apiVersion,
      "Helmr-SDK-Version": helmrVersion,
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(bytes === undefined ? {} : { "content-type": bytes.type }),
      ...request.headers,
    };
    return await fetch(`${this.#baseUrl}${prefix}${request.path}${queryText(query)}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: jsonText(body, { label: "the request" }) }),
      ...(bytes === undefined ? {} : { body: bytes.data as Uint8Array<ArrayBuffer> | string }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }

  /** A success, or the error of sdk §1.4. */
  async ok(request: ApiRequest): Promise<Response> {
    const response = await this.send(request);
    if (!response.ok) throw await answerError(response);
    return response;
  }

  async json<T>(request: ApiRequest): Promise<T> {
    return await jsonAnswer<T>(await this.ok(request));
  }

  /** For answers without content. */
  async empty(request: ApiRequest): Promise<void> {
    const response = await this.ok(request);
    await response.body?.cancel();
  }
}

export async function answerError(response: Response): Promise<Error> {
  const body = await response.text();
  return response.status === 401 ? new AuthError() : new HelmrApiError(response.status, body);
}

/** A success that is not what the API describes. */
export class MalformedAnswerError extends Error {
  override name = "MalformedAnswerError";
}

export async function jsonAnswer<T>(response: Response): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new MalformedAnswerError(`The answer of ${response.url} is not JSON: ${text.slice(0, 200)}`, { cause });
  }
}

function pathPrefix({ options = {}, publicToken, unprefixed = false }: ApiRequest): string {
  const { projectId, environmentId } = options;
  if ((projectId === undefined) !== (environmentId === undefined)) {
    throw new DefinitionError("projectId and environmentId must be provided together");
  }
  if (publicToken !== undefined) return "/api/v1";
  if (unprefixed || projectId === undefined || environmentId === undefined) return "/api";
  return `/api/projects/${encodeURIComponent(projectId)}/environments/${encodeURIComponent(environmentId)}`;
}

function queryText(query: Query): string {
  const parts = query.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]));
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}
