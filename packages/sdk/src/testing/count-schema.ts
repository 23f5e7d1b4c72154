/** A Standard Schema for tests: text of digits in, a number out; with `isAsync` it answers later. */
import type { StandardSchemaV1 } from "../schema.ts";

export function countSchema(options: { isAsync?: boolean; vendor?: string } = {}): StandardSchemaV1<{ count: string }, { count: number }> {
  const { isAsync = false, vendor = "tests" } = options;
  const validate = (value: unknown): StandardSchemaV1.Result<{ count: number }> => {
    const count = (value as { count?: unknown } | null)?.count;
    if (typeof count === "string" && /^\d+$/.test(count)) return { value: { count: Number(count) } };
    return { issues: [{ message: "must be digits", path: ["count"] }] };
  };
  return { "~standard": { version: 1, vendor, validate: (value) => (isAsync ? Promise.resolve(validate(value)) : validate(value)) } };
}
