/**
 * An endpoint is data. The server implements the table, the SDK client and the CLI take their types from it, OpenAPI is
 * generated from it. Nothing here knows HTTP frameworks, time or storage.
 *
 * `family` decides credentials and path prefix (http §1.3, §3):
 * - `environment`  `/api` + path for API keys, `/api/projects/{project}/environments/{environment}` + path for user sessions
 * - `account`      `/api` + path, user session only
 * - `unprefixed`   `/api` + path for API keys and user sessions alike; a user session names the scope in the body
 * - `public`       `/api` + path, no credential or one of its own that the operation checks (login, /api/v1, callbacks)
 * - `root`         path alone, beside `/api`
 *
 * Names. For a resource `thing`: `thingView` is the schema of what the server sends and `Thing` its type; `thingCreateBody` is the
 * schema of a request body, `ThingCreateBody` what the server gets after parsing and `ThingCreateInput` what a client writes;
 * `thingEndpoints` is the table of the resource, keyed by verb. Endpoint ids are `<resource>.<verb>`.
 *
 * Bodies are strict unless http §1.1 says otherwise; queries and views ignore what they do not know, so that either side can grow.
 */
import type * as z from "zod";
import type { ErrorCode, Permission } from "../shared/index.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Family = "environment" | "account" | "unprefixed" | "public" | "root";

/** What a `public` or `root` endpoint accepts instead of an API key or a user session. */
export type PublicCredential =
  | "none"
  | "stream_token"
  | "completion_token"
  | "callback_secret"
  | "flow_cookie"
  | "login_token"
  | "any_session";

/** One permission, all of several, any of several, or none beyond being signed in. */
export type PermissionRule = Permission | { all: readonly Permission[] } | { any: readonly Permission[] } | "none";

export interface Endpoint<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Response extends z.ZodType = z.ZodType,
> {
  /** Resource and verb, for example `sessions.start`; also the OpenAPI operationId. */
  id: string;
  method: Method;
  /** Path below the family's prefix with `{name}` placeholders. */
  path: string;
  family: Family;
  permission: PermissionRule;
  /** For `public` and `root`; absent means `none`. */
  credential?: PublicCredential;
  summary: string;
  params?: Params;
  query?: Query;
  /** Absent: the route takes no JSON body. */
  body?: Body;
  /** The JSON of the success answer; absent for 204 and for raw bodies. */
  response?: Response;
  /** Success statuses, the usual one first. */
  statuses: readonly number[];
  /** JSON of statuses whose shape is neither `response` nor the error body. */
  otherResponses?: Readonly<Record<number, z.ZodType>>;
  /** Codes of http §1.2 this route can answer with. */
  errors?: readonly ErrorCode[];
  /** Statuses of errors without a code, beside 400, 401, 403 and 404. */
  errorStatuses?: readonly number[];
  /** Event names and their data when the route can also answer as server-sent events (http §1.7). */
  events?: Readonly<Record<string, z.ZodType>>;
  /** A session route that also exists as `sessions/by-external-id...` (http §3). */
  byExternalId?: boolean;
  /** Something other than JSON in or out. */
  media?: {
    request?: "multipart/form-data" | "application/x-tar" | "application/octet-stream";
    response?: "application/octet-stream" | "text/html" | "application/x-tar";
  };
  /** Headers of the success answer with one sentence each. */
  responseHeaders?: Readonly<Record<string, string>>;
  /** Examples for OpenAPI: a request body and an answer that validate against the schemas (a test proves it). */
  example?: { body?: unknown; response?: unknown };
}

export function endpoint<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  definition: Endpoint<P, Q, B, R>,
): Endpoint<P, Q, B, R> {
  return definition;
}

export type BodyOf<E> = E extends Endpoint<z.ZodType, z.ZodType, infer B> ? z.output<B> : never;
export type QueryOf<E> = E extends Endpoint<z.ZodType, infer Q> ? z.output<Q> : never;
export type ParamsOf<E> = E extends Endpoint<infer P> ? z.output<P> : never;
export type ResponseOf<E> = E extends Endpoint<z.ZodType, z.ZodType, z.ZodType, infer R> ? z.output<R> : never;
/** What a client writes: before trimming, defaults and normal forms. */
export type BodyInputOf<E> = E extends Endpoint<z.ZodType, z.ZodType, infer B> ? z.input<B> : never;
export type QueryInputOf<E> = E extends Endpoint<z.ZodType, infer Q> ? z.input<Q> : never;
