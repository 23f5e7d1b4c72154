/** Keys under which a repeated start gives the same session (sdk §4.2). */
import { DefinitionError } from "./errors.ts";
import { sha256Hex } from "./sha256.ts";
import { shown } from "./json-value.ts";

export type IdempotencyKeyScope = "global";

export interface IdempotencyKeyCreateOptions {
  readonly scope?: IdempotencyKeyScope;
}

export interface IdempotencyKey {
  /** Hex SHA-256; this is what is sent. */
  readonly value: string;
  readonly key: string | readonly string[];
  readonly scope: IdempotencyKeyScope;
}

export type IdempotencyKeyInput = string | readonly string[] | IdempotencyKey;

function create(key: string | readonly string[], options: IdempotencyKeyCreateOptions = {}): IdempotencyKey {
  const scope = options.scope ?? "global";
  if (scope !== "global") throw new DefinitionError(`The scope of an idempotency key must be "global", and is ${shown(scope)}`);
  const parts = typeof key === "string" ? [key] : key;
  if (!Array.isArray(parts) || parts.length === 0 || parts.some((part) => typeof part !== "string" || part === "")) {
    throw new DefinitionError("An idempotency key must be a text, or a list of texts, none of them empty");
  }
  return Object.freeze({
    value: sha256Hex(JSON.stringify({ scope, key: parts })),
    key: typeof key === "string" ? key : Object.freeze([...key]),
    scope,
  });
}

export const idempotencyKeys: {
  create(key: string | readonly string[], options?: IdempotencyKeyCreateOptions): IdempotencyKey;
} = Object.freeze({ create });

/** What `sessions.start` sends. */
export function idempotencyKeyValue(input: IdempotencyKeyInput): string {
  if (typeof input === "object" && !Array.isArray(input) && "value" in input) return input.value;
  return create(input as string | readonly string[]).value;
}
