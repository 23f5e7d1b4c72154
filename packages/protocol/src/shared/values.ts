/**
 * The value rules of http §1.6 as schemas for requests. Views use `api/fields.ts`: what the server sends was checked when it came in.
 *
 * Messages begin with a lower-case letter. One that begins with a verb of `issues.ts` ("must", "is", ...) is a predicate: the path of the
 * field is put before it. Any other is a whole sentence and is given as it stands.
 *
 * Texts that PostgreSQL cannot store (NUL, halves of surrogate pairs) are refused here, so that they are a 400 and never a 500.
 */
import * as z from "zod";
import { parseDurationMs } from "./duration.ts";
import { isUuid } from "./ids.ts";
import type { Json, JsonObject } from "./json.ts";
import { limits } from "./limits.ts";
import { namePattern } from "./names.ts";

const encoder = new TextEncoder();

export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

/** What is wrong with a text, as a predicate; `undefined` when it can be stored. */
export function textProblem(text: string): string | undefined {
  if (text.includes("\0")) return "must not contain NUL characters";
  if (!text.isWellFormed()) return "must not contain halves of surrogate pairs";
  return undefined;
}

/** Any text that can be stored. */
export function plainText() {
  return z.string().superRefine((text, context) => {
    const problem = textProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });
}

/** Text of at least one character, not blank, at most `bytesMax` bytes of UTF-8 when given. Not trimmed. */
export function filledText(bytesMax?: number) {
  return plainText()
    .refine((text) => text.trim() !== "", "must not be blank")
    .refine((text) => bytesMax === undefined || utf8Bytes(text) <= bytesMax, `must be at most ${bytesMax} bytes`);
}

/** Trimmed text of 1 to `charactersMax` characters. */
export function title(charactersMax: number) {
  return plainText()
    .transform((text) => text.trim())
    .refine((text) => text !== "" && Array.from(text).length <= charactersMax, `must have 1 to ${charactersMax} characters`)
    .meta({ minLength: 1, maxLength: charactersMax });
}

/** Trimmed; blank counts as absent. Only the SHA-256 of an idempotency key is stored. */
export function idempotencyKey() {
  return trimmedKey("a key under which a repeat of this request gives the same answer");
}

/** Trimmed; blank counts as absent. */
export function externalId() {
  return trimmedKey("an id of the caller's own, unique in the environment");
}

function trimmedKey(description: string) {
  return plainText()
    .transform((text) => text.trim())
    .refine((text) => utf8Bytes(text) <= limits.keyBytesMax, `must be at most ${limits.keyBytesMax} bytes`)
    .transform((text) => (text === "" ? undefined : text))
    .meta({ description });
}

/** Not trimmed; empty counts as absent. */
export function concurrencyKey() {
  return plainText()
    .refine((text) => utf8Bytes(text) <= limits.keyBytesMax, `must be at most ${limits.keyBytesMax} bytes`)
    .transform((text) => (text === "" ? undefined : text));
}

/** Duration text `D`; stays text, because it is stored and shown as it was written. */
export function durationText() {
  return z
    .string()
    .refine((text) => parseDurationMs(text) !== undefined, "must be a duration greater than zero, such as 90s, 1h30m or 7d")
    .meta({ examples: ["90s", "1h30m", "7d"] });
}

/** Trimmed, without duplicates, sorted by bytes; the count is taken after duplicates are gone. */
export function tags(countMax: number = limits.tagsMax) {
  const bytesMax = limits.tagBytesMax;
  const tag = plainText()
    .transform((text) => text.trim())
    .refine((text) => text !== "" && utf8Bytes(text) <= bytesMax, `must have 1 to ${bytesMax} bytes`);
  return z
    .array(tag)
    .transform((list) => [...new Set(list)].sort(byBytes))
    .refine((list) => list.length <= countMax, `must have at most ${countMax} entries`)
    .meta({ description: `at most ${countMax}, each 1 to ${bytesMax} bytes` });
}

/** The default sort compares UTF-16 units, which is another order outside the basic plane. */
function byBytes(left: string, right: string): number {
  const a = encoder.encode(left);
  const b = encoder.encode(right);
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at === -1 ? a.length - b.length : (a[at] as number) - (b[at] ?? -1);
}

/** What is wrong with a JSON value, with the place inside it; `undefined` when it can be stored. Not recursive: nesting is a client's choice. */
export function jsonProblem(value: unknown): string | undefined {
  const stack: { value: unknown; depth: number }[] = [{ value, depth: 0 }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { value: item, depth } = next;
    if (depth > limits.jsonDepthMax) return `must not be nested deeper than ${limits.jsonDepthMax} levels`;
    if (typeof item === "string") {
      const problem = textProblem(item);
      if (problem !== undefined) return problem;
    } else if (typeof item === "number") {
      if (!Number.isFinite(item)) return "must not contain numbers beyond the range of a double";
    } else if (Array.isArray(item)) {
      for (const child of item) stack.push({ value: child, depth: depth + 1 });
    } else if (typeof item === "object" && item !== null) {
      for (const [key, child] of Object.entries(item)) {
        const problem = textProblem(key);
        if (problem !== undefined) return problem;
        stack.push({ value: child, depth: depth + 1 });
      }
    } else if (typeof item !== "boolean" && item !== null) {
      return "must be a JSON value";
    }
  }
  return undefined;
}

/** Any JSON value that PostgreSQL can store. It is returned unchanged, not copied. */
export function jsonValue(): z.ZodType<Json, Json> {
  return z.unknown().superRefine((value, context) => {
    if (value === undefined) {
      context.addIssue({ code: "custom", message: "is required" });
      return;
    }
    const problem = jsonProblem(value);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  }) as unknown as z.ZodType<Json, Json>;
}

/** A JSON object: metadata. Members may be null and come back unchanged. */
export function jsonObject(): z.ZodType<JsonObject, JsonObject> {
  return z
    .unknown()
    .superRefine((value, context) => {
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
      const problem = isObject ? jsonProblem(value) : value === undefined ? "is required" : "must be a JSON object";
      if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
    })
    .meta({ type: "object", additionalProperties: {} }) as unknown as z.ZodType<JsonObject, JsonObject>;
}

const says = (message: string) => (issue: { input?: unknown }) => (issue.input === undefined ? "is required" : message);

export function integer(min: number, max: number) {
  const error = says(`must be an integer between ${min} and ${max}`);
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export const int32Min = -2_147_483_648;
export const int32Max = 2_147_483_647;

/** 0 or absent means the task's own value. */
export function maxDurationSeconds() {
  const { runDurationSecondsMin: min, runDurationSecondsMax: max } = limits;
  const error = says(`must be 0 or an integer between ${min} and ${max}`);
  return z
    .int({ error })
    .min(0, { error })
    .max(max, { error })
    .refine((seconds) => seconds === 0 || seconds >= min, { error })
    .transform((seconds) => (seconds === 0 ? undefined : seconds));
}

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: says(`must be one of ${values.map((value) => JSON.stringify(value)).join(", ")}`) });
}

const named = (pattern: RegExp, what: string) =>
  z.string({ error: says("must be a string") }).regex(pattern, `must be a ${what} that matches ${pattern.source}`);

export const taskId = () => named(namePattern.task, "name");
export const queueName = () => named(namePattern.queue, "queue name");
export const streamName = () => named(namePattern.stream, "stream name");
export const secretName = () => named(namePattern.secret, "secret name");
export const slug = () => named(namePattern.slug, "slug");

/** A UUID in a body or query; lower case afterwards. */
export function uuidValue() {
  return z
    .string()
    .refine(isUuid, "must be a UUID")
    .transform((text) => text.toLowerCase())
    .meta({ format: "uuid" });
}

/** A UUID in a path: its text is fixed by http §1.1, for example `invalid session id`. */
export function uuidParam(what: string) {
  const message = `invalid ${what} id`;
  return z
    .string({ error: message })
    .refine(isUuid, message)
    .transform((text) => text.toLowerCase())
    .meta({ format: "uuid" });
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/** The same instant in UTC with a `Z`, trailing zeros trimmed; `undefined` when the text is no RFC 3339 instant of the years 1 to 9999. */
export function normalTimestamp(text: string): string | undefined {
  const match = rfc3339.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  const zone = match[8] as string;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second);
  if (local.getUTCMonth() !== month - 1 || local.getUTCDate() !== day) return undefined;
  const offset = zoneMinutes(zone);
  if (offset === undefined) return undefined;
  const utc = new Date(local.getTime() - offset * 60_000);
  if (utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return undefined;
  const fraction = (match[7] ?? "").replace(/0+$/, "");
  return `${utc.toISOString().slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`;
}

function zoneMinutes(zone: string): number | undefined {
  if (zone === "Z" || zone === "z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes);
}

/** An instant in a request. Offsets are accepted; the result is the normal form in UTC. */
export function timestampValue() {
  const message = "must be an RFC 3339 instant such as 2026-01-31T12:00:00Z";
  return z
    .string()
    .refine((text) => normalTimestamp(text) !== undefined, message)
    .transform((text) => normalTimestamp(text) as string)
    .meta({ format: "date-time" });
}

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Standard base64 with padding, not empty. Size is the operation's to judge: too large is 413, not 400. */
export function base64Text() {
  return z
    .string()
    .refine((text) => text.length > 0 && text.length % 4 === 0 && base64.test(text), "must be base64 with padding and not be empty")
    .meta({ contentEncoding: "base64" });
}

/** A field that exists only to be refused with a sentence of its own. */
export function refused(sentence: string) {
  return z.never({ error: sentence }).optional();
}

/**
 * Accepted as keys, refused by the server when they are not empty: the sentence depends on the actor (http §1.3).
 */
export const scopeFields = {
  project_id: z.string().optional().meta({ description: "must be absent or empty: the scope is the credential's or the path's" }),
  environment_id: z.string().optional().meta({ description: "must be absent or empty: the scope is the credential's or the path's" }),
};
