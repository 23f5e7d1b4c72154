/**
 * JSON that the user typed is sent as typed: parsing and writing it again would change large numbers and the order of duplicate keys.
 * Only its validity is checked here (cli §5.3).
 */
import type { Json, JsonObject } from "@helmr/protocol/shared";
import { Failure, reasonOf } from "../failure.ts";

class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Stands for a JSON value in a request body. `source` names it in the error: `--payload-json`, or a file. */
export function typedJson(text: string, source: string): Json {
  checked(text, source);
  return new RawJson(text.trim()) as unknown as Json;
}

/** The same, and it has to be an object. */
export function typedJsonObject(text: string, source: string): JsonObject {
  const value = checked(text, source);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Failure(`${source} must be a JSON object`);
  return new RawJson(text.trim()) as unknown as JsonObject;
}

function checked(text: string, source: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Failure(`${source} is not valid JSON: ${reasonOf(error)}`, { cause: error });
  }
}

/** A request body: an object whose members may be typed JSON. Members without a value are left out. */
export function bodyText(body: object): string {
  const members = Object.entries(body)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]: [string, unknown]) => `${JSON.stringify(key)}:${value instanceof RawJson ? value.text : JSON.stringify(value)}`);
  return `{${members.join(",")}}`;
}
