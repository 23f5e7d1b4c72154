import * as z from "zod";

/** Query numbers arrive as text. A limit outside its range is refused, never clamped (http §1.6). */
export function limitQuery(max: number, defaultValue: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, `limit must be an integer from 1 to ${max}`)
    .transform(Number)
    .refine((value) => value >= 1 && value <= max, `limit must be an integer from 1 to ${max}`)
    .default(defaultValue)
    .meta({ param: { minimum: 1, maximum: max, default: defaultValue } });
}

/** A sequence or offset: a non-negative safe integer as text; results start after it. */
export function cursorQuery() {
  return z
    .string()
    .regex(/^\d{1,16}$/, "cursor must be a non-negative integer")
    .transform(Number)
    .refine(Number.isSafeInteger, "cursor must be a non-negative integer")
    .optional();
}
