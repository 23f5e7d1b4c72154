/** JSON values, and the one way in which the SDK writes them (sdk §8.5): finite numbers only, dates as ISO text, a bounded size. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A value that JSON cannot carry, or that is too large. */
class JsonValueError extends TypeError {
  override name = "JsonValueError";
}

const encoder = new TextEncoder();

export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

export interface JsonTextOptions {
  /** Names the value in errors, for example `the task output`. */
  label: string;
  bytesMax?: number;
}

/** `undefined` becomes null at the top; inside objects such members are left out, as JSON.stringify does. */
export function jsonText(value: unknown, options: JsonTextOptions): string {
  const { label, bytesMax } = options;
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null, (key, member: unknown) => {
      if (typeof member === "number" && !Number.isFinite(member)) {
        throw new JsonValueError(`Cannot send ${label}: ${place(key)} is ${member}, and JSON numbers must be finite`);
      }
      if (typeof member === "bigint")
        throw new JsonValueError(`Cannot send ${label}: ${place(key)} is a bigint; convert it to a number or text`);
      return member;
    });
  } catch (error) {
    if (error instanceof JsonValueError) throw error;
    throw new JsonValueError(`Cannot send ${label}: it has no JSON form`, { cause: error });
  }
  if (text === undefined) throw new JsonValueError(`Cannot send ${label}: a ${typeof value} has no JSON form`);
  const bytes = bytesMax === undefined ? 0 : utf8Bytes(text);
  if (bytesMax !== undefined && bytes > bytesMax) {
    throw new JsonValueError(
      `Cannot send ${label}: it has ${bytes} bytes as JSON and the limit is ${bytesMax}; write large data to the workspace`,
    );
  }
  return text;
}

function place(key: string): string {
  return key === "" ? "the value" : `its member ${JSON.stringify(key)}`;
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A value in the words of an error: JSON where there is any, cut at a length that a sentence bears. */
export function shown(value: unknown): string {
  if (typeof value === "number" || typeof value === "bigint" || value === undefined) return String(value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    text = undefined;
  }
  if (text === undefined) return `a ${typeof value}`;
  return text.length <= shownLengthMax ? text : `${text.slice(0, shownLengthMax)}...`;
}

const shownLengthMax = 200;
