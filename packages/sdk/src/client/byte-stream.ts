/**
 * Byte streams of execs and terminals (sdk §10): pages of chunks, and a follower that reconnects one second after a lost connection from
 * the last byte it gave out. It ends with the terminal frame; lost and failed sources, and error frames, end it with an error.
 */
import type { Chunk, StreamError, StreamTerminal } from "@helmr/protocol/api";
import { DefinitionError, WorkspaceStreamError, WorkspaceStreamTerminalError } from "../errors.ts";
import { shown } from "../json-value.ts";
import { base64Text } from "./base64.ts";
import type {
  WorkspaceExecReadableStreamApi,
  WorkspaceStreamChunk,
  WorkspaceStreamFollowOptions,
  WorkspaceStreamWriteOptions,
} from "./exec-shapes.ts";
import { chunkView, streamTerminalView } from "./exec-views.ts";
import { isFatal, pause, reconnectMs, sseFrames } from "./sse-follow.ts";
import { MalformedAnswerError, type Transport } from "./transport.ts";

export function readableStream(transport: Transport, path: string): WorkspaceExecReadableStreamApi {
  return Object.freeze<WorkspaceExecReadableStreamApi>({
    async list(options = {}) {
      const query = [
        ["cursor", options.cursor],
        ["limit", options.limit],
      ] as const;
      const { chunks } = await transport.json<{ chunks: Chunk[] }>({ method: "GET", path, query, options });
      return chunks.map(chunkView);
    },
    stream: (options = {}) => ({ [Symbol.asyncIterator]: () => followBytes({ transport, path, options }) }),
  });
}

interface ByteSource {
  transport: Transport;
  path: string;
  options: WorkspaceStreamFollowOptions;
}

type ByteFrame = { kind: "chunk"; chunk: WorkspaceStreamChunk } | { kind: "ended" };

async function* followBytes(source: ByteSource): AsyncGenerator<WorkspaceStreamChunk, void, undefined> {
  const { signal } = source.options;
  let cursor = source.options.cursor ?? 0;
  for (;;) {
    try {
      for await (const frame of connection(source, cursor)) {
        if (frame.kind === "ended") return;
        cursor = frame.chunk.offsetEnd;
        yield frame.chunk;
      }
    } catch (error) {
      if (error instanceof WorkspaceStreamError || error instanceof WorkspaceStreamTerminalError || isFatal(error, signal)) throw error;
    }
    await pause(reconnectMs, signal);
  }
}

async function* connection({ transport, path, options }: ByteSource, cursor: number): AsyncGenerator<ByteFrame, void, undefined> {
  const query = [
    ["follow", 1],
    ["cursor", cursor],
    ["limit", options.limit],
  ] as const;
  for await (const event of sseFrames(transport, { method: "GET", path, query, options })) {
    if (event.kind === "oversized") throw new MalformedAnswerError(`A frame of ${path} is larger than 1 MiB`);
    switch (event.event) {
      case "workspace_stream_chunk":
        yield { kind: "chunk", chunk: chunkView(frameData<Chunk>(event.data, path)) };
        break;
      case "workspace_stream_terminal":
      case "workspace_stream_lost": {
        const terminal = streamTerminalView(frameData<StreamTerminal>(event.data, path));
        if (terminal.state === "lost" || terminal.state === "failed") throw new WorkspaceStreamTerminalError(terminal);
        yield { kind: "ended" };
        return;
      }
      case "workspace_stream_error":
        throw new WorkspaceStreamError(frameData<StreamError>(event.data, path));
    }
  }
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- names the wire type at the call
function frameData<T>(data: string, path: string): T {
  try {
    return JSON.parse(data) as T;
  } catch (cause) {
    throw new MalformedAnswerError(`A frame of ${path} is not JSON`, { cause });
  }
}

/** Body of a write to stdin or to a terminal. */
export function writeBody(data: string | Uint8Array, { offset }: WorkspaceStreamWriteOptions): { offset: number; data: string } {
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new DefinitionError(`offset must be a whole number that is not negative, and is ${shown(offset)}`);
  return { offset, data: base64Text(data) };
}
