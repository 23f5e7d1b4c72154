/** Retry policies of tasks and starts (sdk §2.4). Keys are the same on the wire. */
import { DefinitionError } from "../errors.ts";
import { shown } from "../json-value.ts";

export type RetryPolicy =
  | { readonly enabled: false }
  | {
      readonly enabled?: true;
      /** All attempts, the first included: 1 to 10. */
      readonly maxAttempts: number;
      readonly backoff?: { readonly minMs?: number; readonly maxMs?: number; readonly factor?: number; readonly jitter?: "none" | "full" };
    };

const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 1;

export function checkRetry(retry: unknown, label: string): void {
  const { enabled, maxAttempts, backoff } = members(retry, label, ["enabled", "maxAttempts", "backoff"]);
  if (enabled !== undefined && typeof enabled !== "boolean") throw new DefinitionError(`${label}: enabled must be true or false`);
  if (enabled === false) {
    members(retry, `${label} with enabled: false`, ["enabled"]);
    return;
  }
  if (!isCount(maxAttempts) || maxAttempts > 10)
    throw new DefinitionError(`${label}: maxAttempts must be a whole number from 1 to 10, and is ${shown(maxAttempts)}`);
  if (backoff === undefined) return;
  const { minMs, maxMs, factor, jitter } = members(backoff, `${label}: backoff`, ["minMs", "maxMs", "factor", "jitter"]);
  if (minMs !== undefined && !isCount(minMs))
    throw new DefinitionError(`${label}: backoff.minMs must be a positive whole number, and is ${shown(minMs)}`);
  if (maxMs !== undefined && !isCount(maxMs))
    throw new DefinitionError(`${label}: backoff.maxMs must be a positive whole number, and is ${shown(maxMs)}`);
  if (factor !== undefined && !(typeof factor === "number" && Number.isFinite(factor) && factor > 0)) {
    throw new DefinitionError(`${label}: backoff.factor must be a number greater than zero, and is ${shown(factor)}`);
  }
  if (jitter !== undefined && jitter !== "none" && jitter !== "full") {
    throw new DefinitionError(`${label}: backoff.jitter must be "none" or "full", and is ${shown(jitter)}`);
  }
}

function members(value: unknown, label: string, allowed: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new DefinitionError(`${label} must be an object`);
  const unknown = Object.keys(value).find((key) => !allowed.includes(key));
  if (unknown !== undefined)
    throw new DefinitionError(`${label} has an unknown key ${JSON.stringify(unknown)}; allowed are ${allowed.join(", ")}`);
  return value as Record<string, unknown>;
}
