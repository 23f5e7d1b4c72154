/** Fields of views: what the server sends. Requests use the stricter `shared/values.ts`. */
import * as z from "zod";
import type { Json, JsonObject } from "../shared/index.ts";

export const id = z.string().meta({ format: "uuid" });
/** An RFC 3339 instant in UTC, up to nine fraction digits, ending in `Z`. */
export const timestamp = z.string().meta({ format: "date-time" });
export const json = z.unknown() as unknown as z.ZodType<Json, Json>;
export const jsonMembers = z.record(z.string(), json) as unknown as z.ZodType<JsonObject, JsonObject>;
export const tagList = z.array(z.string());
export const count = z.int().min(0);

/** Bodies of routes that need at least `{}`. */
export const emptyBody = z.strictObject({});

/** A key or cookie as a number of bytes or sequence; `0` when none was given. */
export const cursor = z.int().min(0);

export const errorBody = z.object({ error: z.string(), code: z.string().optional() }).meta({ id: "Error" });
export type ErrorBody = z.output<typeof errorBody>;

export const authFlowErrorKinds = [
  "invalid_token",
  "wrong_account",
  "no_account",
  "already_member",
  "disabled_member",
  "unauthenticated",
] as const;
export const authFlowErrorBody = z.object({ error: z.string(), error_kind: z.enum(authFlowErrorKinds) }).meta({ id: "AuthFlowError" });
export type AuthFlowErrorBody = z.output<typeof authFlowErrorBody>;

/** Ids used in examples, so that they read as one story. */
export const exampleId = {
  project: "01980a00-0000-7000-8000-000000000001",
  environment: "01980a00-0000-7000-8000-000000000002",
  session: "01980a00-0000-7000-8000-000000000003",
  run: "01980a00-0000-7000-8000-000000000004",
  deployment: "01980a00-0000-7000-8000-000000000005",
  deploymentTask: "01980a00-0000-7000-8000-000000000006",
  workspace: "01980a00-0000-7000-8000-000000000007",
  version: "01980a00-0000-7000-8000-000000000008",
  mount: "01980a00-0000-7000-8000-000000000009",
  sandbox: "01980a00-0000-7000-8000-00000000000a",
  stream: "01980a00-0000-7000-8000-00000000000b",
  record: "01980a00-0000-7000-8000-00000000000c",
  token: "01980a00-0000-7000-8000-00000000000d",
  exec: "01980a00-0000-7000-8000-00000000000e",
  pty: "01980a00-0000-7000-8000-00000000000f",
  schedule: "01980a00-0000-7000-8000-000000000010",
  user: "01980a00-0000-7000-8000-000000000011",
  organization: "01980a00-0000-7000-8000-000000000012",
  apiKey: "01980a00-0000-7000-8000-000000000013",
  invitation: "01980a00-0000-7000-8000-000000000014",
  other: "01980a00-0000-7000-8000-000000000015",
} as const;
export const exampleTime = "2026-06-06T09:30:00.125Z";
