/** Log records of the stream `logger` (sdk §3.7). Logging never throws for what it is given. */
import { type JsonObject, isPlainObject, utf8Bytes } from "../json-value.ts";
import { type LogEntry, activeRuntime } from "./port.ts";

const entryBytesMax = 64 * 1024;
const cutMark = "\n...[truncated logger entry]";

export const logger: { info(...values: unknown[]): void; warn(...values: unknown[]): void; error(...values: unknown[]): void } =
  Object.freeze({
    info: (...values: unknown[]) => log("info", values),
    warn: (...values: unknown[]) => log("warn", values),
    error: (...values: unknown[]) => log("error", values),
  });

function log(level: LogEntry["level"], values: readonly unknown[]): void {
  const { runtime } = activeRuntime();
  const message = values.map(textOf).join(" ");
  const fields = fieldsOf(values.at(-1));
  const at = new Date().toISOString();
  const whole: LogEntry = { level, message, ...(fields === undefined ? {} : { fields }), at };
  runtime.log(utf8Bytes(JSON.stringify(whole)) <= entryBytesMax ? whole : cutEntry({ level, message, at }));
}

/** The fields are also in the message, so nothing but their form is lost with them. */
function cutEntry(entry: { level: LogEntry["level"]; message: string; at: string }): LogEntry {
  if (utf8Bytes(JSON.stringify(entry)) <= entryBytesMax) return entry;
  const empty = utf8Bytes(JSON.stringify({ ...entry, message: cutMark }));
  return { ...entry, message: prefixOfJsonBytes(entry.message, entryBytesMax - empty) + cutMark };
}

/** The longest beginning, whole characters only, whose JSON form fits. */
function prefixOfJsonBytes(text: string, bytesMax: number): string {
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += utf8Bytes(JSON.stringify(character)) - 2;
    if (bytes > bytesMax) break;
    end += character.length;
  }
  return text.slice(0, end);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return toJson(value) ?? String(value);
}

function fieldsOf(value: unknown): JsonObject | undefined {
  if (!isPlainObject(value)) return undefined;
  const text = toJson(value);
  const parsed: unknown = text === undefined ? undefined : JSON.parse(text);
  return isPlainObject(parsed) ? (parsed as JsonObject) : undefined;
}

/** JSON with errors as objects and bigints as text; `undefined` for what has no JSON form. */
function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value, (_key, member: unknown) => {
      if (member instanceof Error)
        return {
          ...(member as object),
          name: member.name,
          message: member.message,
          stack: member.stack,
          ...(member.cause === undefined ? {} : { cause: member.cause }),
        };
      return typeof member === "bigint" ? String(member) : member;
    });
  } catch {
    return '"[value without a JSON form]"';
  }
}
