/** Byte streams of execs and PTYs (http §13.1, §13.3): chunks with contiguous offsets, and what ends a follower. */
import * as z from "zod";
import { base64Text, cursorQuery, followQuery, limitQuery } from "../shared/index.ts";
import { count, exampleId, exampleTime, id, json, timestamp } from "./fields.ts";

export const chunkView = z
  .object({
    id,
    stream: z.string().meta({ examples: ["stdout", "stderr", "stdin"] }),
    offset_start: count,
    offset_end: count,
    data: z.string().meta({ contentEncoding: "base64" }),
    observed_at: timestamp,
    created_at: timestamp,
  })
  .meta({ id: "Chunk" });
export type Chunk = z.output<typeof chunkView>;

export const chunkPageView = z.object({ chunks: z.array(chunkView) }).meta({ id: "ChunkPage" });
export type ChunkPage = z.output<typeof chunkPageView>;

export const streamTerminalView = z
  .object({
    resource_kind: z.enum(["workspace_exec", "workspace_pty"]),
    resource_id: id,
    stream: z.string(),
    state: z.string(),
    cursor: count,
    error: json.optional(),
  })
  .meta({ id: "StreamTerminal" });
export type StreamTerminal = z.output<typeof streamTerminalView>;

export const streamErrorView = z
  .object({ code: z.string(), message: z.string().optional(), cursor: count.optional() })
  .meta({ id: "StreamError" });
export type StreamError = z.output<typeof streamErrorView>;

/** After any of the last three the stream closes. The frame id is the chunk's `offset_end`, else the present cursor. */
export const byteStreamEvents = {
  workspace_stream_chunk: chunkView,
  workspace_stream_terminal: streamTerminalView,
  workspace_stream_lost: streamTerminalView,
  workspace_stream_error: streamErrorView,
} as const;
export type ByteStreamEvent = keyof typeof byteStreamEvents;

/** The cursor is a byte offset. */
export const byteStreamQuery = z.object({ cursor: cursorQuery(), limit: limitQuery(500, 100), follow: followQuery() });

const offsetText = "must be an integer that is not negative";

/** A write to stdin or to a PTY. More than 1 MiB decoded is 413, which is not this schema's to say. */
export const byteWriteBody = z.strictObject({ offset: z.int(offsetText).min(0, offsetText), data: base64Text() });
export type ByteWriteBody = z.output<typeof byteWriteBody>;
export type ByteWriteInput = z.input<typeof byteWriteBody>;

export const exampleChunk: Chunk = {
  id: exampleId.other,
  stream: "stdout",
  offset_start: 0,
  offset_end: 6,
  data: "aGVsbG8K",
  observed_at: exampleTime,
  created_at: exampleTime,
};
