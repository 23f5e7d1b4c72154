/** Bytes of execs and terminals (http §13.3): chunks with offsets, resumed from the last one, until the stream says that it has ended. */
import type { Chunk, StreamError, StreamTerminal } from "@helmr/protocol/api";
import { unreachable } from "../assert.ts";
import { Failure } from "../failure.ts";
import { type EventSource, followEvents } from "./event-stream.ts";

export interface ByteReader {
  /** Offset behind the last byte that was taken. */
  cursor: number;
  take: (bytes: Uint8Array) => Promise<void>;
}

async function takeChunk(reader: ByteReader, chunk: Chunk): Promise<void> {
  if (chunk.offset_end <= reader.cursor) return;
  const bytes = Buffer.from(chunk.data, "base64");
  // A cursor inside a chunk: only what stands behind it is new.
  const known = Math.max(0, reader.cursor - chunk.offset_start);
  reader.cursor = chunk.offset_end;
  await reader.take(bytes.subarray(known));
}

/** Ends with the terminal frame; an error frame is an error. */
export async function followBytes(reader: ByteReader, source: Pick<EventSource, "connect" | "signal">): Promise<StreamTerminal> {
  for await (const item of followEvents({
    ...source,
    cursor: String(reader.cursor),
    connect: (_id, signal) => source.connect(String(reader.cursor), signal),
  })) {
    if (item.kind !== "event") continue;
    switch (item.event) {
      case "workspace_stream_chunk":
        await takeChunk(reader, item.data as Chunk);
        break;
      case "workspace_stream_terminal":
      case "workspace_stream_lost":
        return item.data as StreamTerminal;
      case "workspace_stream_error":
        throw new Failure(streamErrorText(item.data as StreamError));
      default:
        break;
    }
  }
  return unreachable("a follower ends only by its caller");
}

function streamErrorText({ code, message }: StreamError): string {
  return message === undefined || message === "" ? code : `${code}: ${message}`;
}

/** Reads what is stored behind the cursor, page by page. */
export async function drainBytes(reader: ByteReader, page: (cursor: number) => Promise<readonly Chunk[]>): Promise<void> {
  for (;;) {
    const before = reader.cursor;
    for (const chunk of await page(before)) await takeChunk(reader, chunk);
    if (reader.cursor === before) return;
  }
}
