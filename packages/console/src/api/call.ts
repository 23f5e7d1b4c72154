/** One request to the control plane: typed by the protocol's endpoint tables, signed by the session cookie. */
import type { apiEndpoints, BodyInputOf, ParamsOf, QueryInputOf, ResponseOf } from "@helmr/protocol/api";
import { ApiError, errorOfResponse } from "./api-error.ts";
import { type EndpointId, endpoints } from "./endpoints.ts";
import { type Scope, scopePrefix } from "./scope.ts";

type Tables = typeof apiEndpoints;
type EndpointOf<Id extends EndpointId> = Id extends `${infer Resource}.${infer Verb}`
  ? Resource extends keyof Tables
    ? Verb extends keyof Tables[Resource]
      ? Tables[Resource][Verb]
      : never
    : never
  : never;

export type Answer<Id extends EndpointId> = ResponseOf<EndpointOf<Id>>;
export type Body<Id extends EndpointId> = BodyInputOf<EndpointOf<Id>>;
type Query<Id extends EndpointId> = { [Key in keyof QueryInputOf<EndpointOf<Id>>]?: string | number | undefined };
type Params<Id extends EndpointId> = { [Key in keyof ParamsOf<EndpointOf<Id>>]: string };

export interface Call<Id extends EndpointId> {
  /** Needed by the routes of an environment. */
  scope?: Scope;
  params?: Params<Id>;
  query?: Query<Id>;
  body?: Body<Id>;
  signal?: AbortSignal;
}

export function urlOf<Id extends EndpointId>(id: Id, { scope, params, query }: Call<Id> = {}): string {
  const [, path = ""] = endpoints[id].split(" ");
  const values = (params ?? {}) as Record<string, string>;
  const filled = path.replace(/\{([A-Za-z]+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
  const prefixed = filled.startsWith("P/") ? `${scope ? scopePrefix(scope) : ""}${filled.slice(1)}` : filled;
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries((query ?? {}) as Record<string, string | number | undefined>)) {
    if (value !== undefined && value !== "") search.set(key, String(value));
  }
  return `/api${prefixed}${search.size === 0 ? "" : `?${search}`}`;
}

export async function call<Id extends EndpointId>(id: Id, options: Call<Id> = {}): Promise<Answer<Id>> {
  const [method = "GET"] = endpoints[id].split(" ");
  const { body, signal } = options;
  const response = await send(urlOf(id, options), {
    method,
    ...(signal ? { signal } : {}),
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  if (!response.ok) throw await errorOfResponse(response);
  if (response.status === 204) return undefined as Answer<Id>;
  return (await response.json()) as Answer<Id>;
}

/** A fetch whose failure is an ApiError too; an abort stays an abort. */
export async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "The server cannot be reached", { cause: error });
  }
}
