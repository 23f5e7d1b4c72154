/**
 * JSON that the user typed is sent as typed: parsing and writing it again would change large numbers and the order of duplicate keys.
 * Only its validity is checked here (cli §5.3).
 */
import type { Json } from "@helmr/protocol/shared";
import { Failure, reasonOf } from "../failure.ts";

class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Stands for a JSON value in a request body. `source` names it in the error: `--payload-json`, or a file. */
export function typedJson(text: string, source: string): Json {
  check(text, source);
  return new RawJson(text.trim()) as unknown as Json;
}

function check(text: string, source: string): void {
  try {
    JSON.parse(text);
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
