/**
 * Parts of queries. A query arrives as text; the metadata `param` says what a client sees in OpenAPI instead of a text with a pattern.
 */
import * as z from "zod";
import { plainText } from "./values.ts";

/** Query numbers arrive as text. A limit outside its range is refused, never clamped (http §1.6). */
export function limitQuery(max: number, defaultValue: number) {
  return z
    .string(`limit must be an integer from 1 to ${max}`)
    .regex(/^\d{1,9}$/, `limit must be an integer from 1 to ${max}`)
    .transform(Number)
    .refine((value) => value >= 1 && value <= max, `limit must be an integer from 1 to ${max}`)
    .default(defaultValue)
    .meta({ param: { type: "integer", minimum: 1, maximum: max, default: defaultValue } });
}

/** A sequence or offset: a non-negative safe integer as text; results start after it. */
export function cursorQuery(name = "cursor") {
  const message = `${name} must be a non-negative integer`;
  return z
    .string(message)
    .regex(/^\d{1,16}$/, message)
    .transform(Number)
    .refine(Number.isSafeInteger, message)
    .optional()
    .meta({ param: { type: "integer", minimum: 0 }, description: "results start after it" });
}

/** `follow=1` selects server-sent events (http §1.7); any other value does not. */
export function followQuery() {
  return z
    .string("follow must be 1")
    .optional()
    .transform((value) => value === "1")
    .meta({ param: { type: "string", enum: ["1"] }, description: "answer with server-sent events" });
}

/** A text filter; blank counts as absent. */
export function textFilter() {
  return plainText()
    .transform((text) => (text.trim() === "" ? undefined : text))
    .optional();
}
