/** Tokens that an outside party completes (http §6). */
import * as z from "zod";
import {
  idempotencyKey,
  jsonObject,
  jsonValue,
  limitQuery,
  limits,
  oneOf,
  parseDurationMs,
  plainText,
  scopeFields,
  tags,
  uuidParam,
  uuidValue,
} from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, json, jsonMembers, tagList, timestamp } from "./fields.ts";

export const tokenStatuses = ["pending", "completed", "expired", "cancelled"] as const;
export type TokenStatus = (typeof tokenStatuses)[number];

export const tokenView = z
  .object({
    id,
    status: z.enum(tokenStatuses),
    callback_url: z.string().optional().meta({ description: "only in the answer of create" }),
    public_access_token: z.string().optional().meta({ description: "only in the answer of create" }),
    timeout_at: timestamp.nullable(),
    data: json.optional(),
    tags: tagList.optional(),
    metadata: jsonMembers.optional(),
  })
  .meta({ id: "Token" });
export type Token = z.output<typeof tokenView>;

const exampleToken: Token = { id: exampleId.token, status: "pending", timeout_at: exampleTime, tags: ["approval"] };

/** `duration` is duration text; the members are added up. There is no `days`. */
export interface DurationObject {
  milliseconds?: number;
  seconds?: number;
  minutes?: number;
  hours?: number;
  duration?: string;
}
/** A number is milliseconds on the wire (inside a task it is seconds). */
export type TokenTimeout = string | number | DurationObject;

const memberMs = { milliseconds: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000 } as const;
const timeoutMsMax = 9_223_372_036_854;

/** Whole milliseconds, rounded up, or a predicate that says what is wrong. */
export function tokenTimeoutMs(timeout: unknown): number | string {
  const total =
    typeof timeout === "object" ? objectMs(timeout) : typeof timeout === "string" ? (parseDurationMs(timeout) ?? Number.NaN) : timeout;
  if (typeof total === "string") return total;
  if (typeof total !== "number") return "must be a number of milliseconds, a duration such as 1h30m, or a duration object";
  if (Number.isNaN(total)) return "must be a duration greater than zero, such as 90s, 1h30m or 7d";
  if (!(total > 0)) return "must be greater than zero";
  return total > timeoutMsMax ? `must be at most ${timeoutMsMax} milliseconds` : Math.ceil(total);
}

function objectMs(value: object | null): number | string {
  if (value === null || Array.isArray(value)) return "must be a number of milliseconds, a duration such as 1h30m, or a duration object";
  let total = 0;
  for (const [key, member] of Object.entries(value)) {
    if (key === "duration") {
      const ms = typeof member === "string" ? parseDurationMs(member) : undefined;
      if (ms === undefined) return "must have a duration greater than zero, such as 1h30m, in its member duration";
      total += ms;
    } else if (Object.hasOwn(memberMs, key)) {
      if (typeof member !== "number" || !Number.isFinite(member) || member < 0)
        return `must have a number that is not negative in its member ${key}`;
      total += member * memberMs[key as keyof typeof memberMs];
    } else {
      return `unknown field "timeout.${key}"`;
    }
  }
  return total;
}

const timeoutMeta = {
  description: "a number is milliseconds, text is a duration, the members of an object are added up; default 7 days",
  anyOf: [
    { type: "number", exclusiveMinimum: 0 },
    { type: "string", examples: ["7d"] },
    {
      type: "object",
      properties: {
        milliseconds: { type: "number", minimum: 0 },
        seconds: { type: "number", minimum: 0 },
        minutes: { type: "number", minimum: 0 },
        hours: { type: "number", minimum: 0 },
        duration: { type: "string" },
      },
      additionalProperties: false,
    },
  ],
};

/** The result is whole milliseconds. */
const tokenTimeout = z
  .unknown()
  .meta(timeoutMeta)
  .transform((timeout, context): number => {
    const ms = tokenTimeoutMs(timeout);
    if (typeof ms === "number") return ms;
    context.addIssue({ code: "custom", message: ms });
    return z.NEVER;
  }) as unknown as z.ZodType<number, TokenTimeout>;

export const tokenTimeoutMsDefault = 7 * 86_400_000;

export const tokenCreateBody = z.strictObject({
  ...scopeFields,
  timeout: tokenTimeout.optional(),
  tags: tags(limits.tokenTagsMax).default([]),
  metadata: jsonObject().default({}),
  idempotency_key: idempotencyKey().optional(),
});
/** `timeout` is milliseconds here, whatever form it had on the wire. */
export type TokenCreateBody = z.output<typeof tokenCreateBody>;
export type TokenCreateInput = z.input<typeof tokenCreateBody>;

export const tokenCompleteBody = z.strictObject({ data: jsonValue().default(null) });
export type TokenCompleteBody = z.output<typeof tokenCompleteBody>;
export type TokenCompleteInput = z.input<typeof tokenCompleteBody>;

export const tokenCompleteView = z
  .object({ status: z.enum(["completed", "already_completed"]), token: tokenView })
  .meta({ id: "TokenCompleteResult" });
export type TokenCompleteResult = z.output<typeof tokenCompleteView>;

export const tokenPageView = z.object({ tokens: z.array(tokenView), next_cursor: z.string().optional() }).meta({ id: "TokenPage" });
export type TokenPage = z.output<typeof tokenPageView>;

const tokenParams = z.object({ id: uuidParam("token") });
const completeErrors = ["token_not_found", "token_completion_conflict", "token_cancelled", "token_expired"] as const;
const exampleComplete = {
  body: { data: { approved: true } },
  response: { status: "completed", token: { ...exampleToken, status: "completed", data: { approved: true } } },
} as const;

export const tokenEndpoints = {
  create: endpoint({
    id: "tokens.create",
    method: "POST",
    path: "/tokens",
    family: "environment",
    permission: "tokens.create",
    summary: "Create a token that an outside party completes",
    body: tokenCreateBody,
    response: tokenView,
    statuses: [201, 200],
    errors: ["idempotency_fingerprint_mismatch"],
    example: {
      body: { timeout: "24h", tags: ["approval"], idempotency_key: "approval-4711" },
      response: {
        ...exampleToken,
        callback_url: `https://helmr.example.com/api/v1/tokens/${exampleId.token}/callback/hlmr_callback_0f1e2d`,
        public_access_token: "hlmr_public_access_0f1e2d",
      },
    },
  }),
  list: endpoint({
    id: "tokens.list",
    method: "GET",
    path: "/tokens",
    family: "environment",
    permission: "tokens.read",
    summary: "List tokens, oldest first",
    query: z
      .object({
        status: oneOf(tokenStatuses).optional(),
        state: oneOf(tokenStatuses).optional(),
        cursor: uuidValue().optional(),
        limit: limitQuery(500, 100),
      })
      .refine(
        (query) => query.status === undefined || query.state === undefined || query.status === query.state,
        "status and state mean the same and must be equal when both are given",
      )
      .transform(({ state, ...query }) => ({ ...query, status: query.status ?? state })),
    response: tokenPageView,
    statuses: [200],
    example: { response: { tokens: [exampleToken], next_cursor: exampleId.token } },
  }),
  get: endpoint({
    id: "tokens.get",
    method: "GET",
    path: "/tokens/{id}",
    family: "environment",
    permission: "tokens.read",
    summary: "Get a token",
    params: tokenParams,
    response: tokenView,
    statuses: [200],
    errors: ["token_not_found"],
    example: { response: exampleToken },
  }),
  complete: endpoint({
    id: "tokens.complete",
    method: "POST",
    path: "/tokens/{id}/complete",
    family: "environment",
    permission: "tokens.complete",
    summary: "Complete a token and resolve the waits on it",
    params: tokenParams,
    body: tokenCompleteBody,
    response: tokenCompleteView,
    statuses: [200],
    errors: completeErrors,
    example: exampleComplete,
  }),
  cancel: endpoint({
    id: "tokens.cancel",
    method: "POST",
    path: "/tokens/{id}/cancel",
    family: "environment",
    permission: "tokens.cancel",
    summary: "Cancel a pending token; a body is ignored",
    params: tokenParams,
    response: tokenView,
    statuses: [200],
    errors: ["token_not_found", "token_cancelled", "token_completed", "token_expired"],
    example: { response: { ...exampleToken, status: "cancelled" } },
  }),
  publicComplete: endpoint({
    id: "tokens.publicComplete",
    method: "POST",
    path: "/v1/tokens/{id}/complete",
    family: "public",
    permission: "none",
    credential: "completion_token",
    summary: "Complete a token with its public access token",
    params: tokenParams,
    body: tokenCompleteBody,
    response: tokenCompleteView,
    statuses: [200],
    errors: [...completeErrors, "token_scope_denied"],
    example: exampleComplete,
  }),
  callback: endpoint({
    id: "tokens.callback",
    method: "POST",
    path: "/v1/tokens/{id}/callback/{secret}",
    family: "public",
    permission: "none",
    credential: "callback_secret",
    summary: "Complete a token by its callback URL",
    params: tokenParams.extend({ secret: plainText() }),
    body: tokenCompleteBody,
    response: tokenCompleteView,
    statuses: [200],
    errors: [...completeErrors, "token_scope_denied"],
    example: exampleComplete,
  }),
};
