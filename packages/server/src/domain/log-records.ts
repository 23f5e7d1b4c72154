/**
 * Log records derived from byte chunks (http §7.5). Chunks hold the bytes of one stream as they came; a record is one line of stdout or stderr, or
 * one entry (a line of JSON) of the logger. Records are numbered densely over the three streams in the order in which they end: the n-th record
 * (from 0) that ends in a chunk has id `firstRecord + n`.
 *
 * Where records end depends only on the bytes and on how many unfinished bytes stood before the chunk (`tailBefore`), so that a reader finds the
 * same ends as the writer did:
 * - after each line break;
 * - at the bound of a record without a line break, moved back to where a character begins (if this chunk shows it);
 * - at the end of a stream (an attempt has ended with an unfinished line): an empty chunk with one record.
 */
import { engineLimits } from "../limits.ts";

export type LogStream = "stdout" | "stderr" | "logger";

const newline = 0x0a;

export function recordBytesMax(stream: LogStream): number {
  return stream === "logger" ? engineLimits.loggerRecordBytesMax : engineLimits.logRecordBytesMax;
}

/** Ends (exclusive, as positions in `data`) of the records that end in a chunk, and the unfinished bytes after it. */
export function recordEnds(stream: LogStream, data: Uint8Array, tailBefore: number): { ends: number[]; tailAfter: number } {
  const max = recordBytesMax(stream);
  const ends: number[] = [];
  // Where the present record begins; negative while it began in an earlier chunk.
  let start = -tailBefore;
  let at = 0;
  while (at < data.length) {
    const found = data.indexOf(newline, at);
    const end = found === -1 ? data.length : found + 1;
    while (end - start > max) {
      start = characterStart(data, start + max);
      ends.push(start);
    }
    if (found !== -1) {
      ends.push(end);
      start = end;
    }
    at = end;
  }
  return { ends, tailAfter: data.length - start };
}

/** At most three bytes back: a cut must not fall inside a UTF-8 sequence, unless the bytes are no UTF-8 anyway. */
function characterStart(data: Uint8Array, position: number): number {
  for (let back = 0; back < 4 && position - back > 0; back += 1) {
    const byte = data[position - back];
    if (byte === undefined || (byte & 0xc0) !== 0x80) return position - back;
  }
  return position;
}

export interface LogChunk {
  stream: LogStream;
  firstRecord: number;
  recordCount: number;
  tailBefore: number;
  data: Uint8Array;
  observedAt: string;
}

export interface LogRecord {
  id: number;
  at: string;
  stream: LogStream;
  level?: "info" | "warn" | "error";
  message: string;
  fields?: Record<string, unknown>;
}

/** The records that end in a chunk; `tail` are the `tailBefore` bytes of its stream that stand before it. */
export function chunkRecords(chunk: LogChunk, tail: Uint8Array): LogRecord[] {
  const { ends } = recordEnds(chunk.stream, chunk.data, chunk.tailBefore);
  if (ends.length < chunk.recordCount) ends.push(chunk.data.length);
  let start = -chunk.tailBefore;
  return ends.map((end, index) => {
    const bytes =
      start >= 0
        ? chunk.data.subarray(start, end)
        : Buffer.concat([tail.subarray(tail.length + start, tail.length + Math.min(0, end)), chunk.data.subarray(0, Math.max(0, end))]);
    start = end;
    return record(chunk, chunk.firstRecord + index, bytes);
  });
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function record(chunk: LogChunk, id: number, bytes: Uint8Array): LogRecord {
  const text = decoder.decode(bytes).replace(/\r?\n$/, "");
  const plain: LogRecord = { id, at: chunk.observedAt, stream: chunk.stream, message: text };
  return chunk.stream === "logger" ? loggerRecord(plain, text) : plain;
}

const levels = ["info", "warn", "error"] as const;

/** The guest wrote it, so it may be anything; what is no entry is shown as it is. */
function loggerRecord(plain: LogRecord, text: string): LogRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ...plain, level: "info" };
  }
  if (typeof value !== "object" || value === null) return { ...plain, level: "info" };
  const { level, message, fields, at } = value as Record<string, unknown>;
  const known = levels.find((name) => name === level) ?? "info";
  return {
    ...plain,
    level: known,
    message: typeof message === "string" ? message : text,
    ...(typeof at === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(at) ? { at } : {}),
    ...(typeof fields === "object" && fields !== null && !Array.isArray(fields) ? { fields: fields as Record<string, unknown> } : {}),
  };
}
