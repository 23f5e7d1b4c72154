/** One byte stream of an exec or a terminal as pages and as server-sent events (http §13.3). */
import type { ChunkPage } from "@helmr/protocol/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { StreamName } from "../../domain/exec.ts";
import { type EngineContext, topic } from "../../engine-context.ts";
import { type ExecAddress, readChunks, readExec, readNext } from "../../operations/read-execs.ts";
import { invalid, isRefusal, type Refusal } from "../../outcome.ts";
import type { Answer } from "../route.ts";
import { follow, followCursor, type SseFrame, wantsEvents } from "../sse.ts";
import { chunkView } from "./exec-view.ts";

export interface ByteRequest {
  context: EngineContext;
  request: FastifyRequest;
  reply: FastifyReply;
  onFault: (error: unknown) => void;
}

/** Chunks are at most 64 KiB: a page is a few MiB of memory. */
const followPage = 32;

export async function readBytes(
  { context, request, reply, onFault }: ByteRequest,
  address: ExecAddress,
  { name, cursor, limit }: { name: StreamName; cursor: number | undefined; limit: number },
): Promise<Answer<ChunkPage> | Refusal> {
  const exec = await readExec(context, address);
  if (isRefusal(exec)) return exec;
  const stream = { execId: address.id, name };
  const start = wantsEvents(request) ? followCursor(request, cursor) : (cursor ?? 0);
  if (start === "invalid") return invalid("Last-Event-ID must be a non-negative integer");
  const first = await readChunks(context, stream, { cursor: start, limit: wantsEvents(request) ? 1 : limit });
  if (isRefusal(first)) return first;
  if (!wantsEvents(request)) return { body: { chunks: first.chunks.map(chunkView) } };
  let after = start;
  return follow({
    request,
    reply,
    hints: context.hints,
    topics: [topic.exec(address.id)],
    onFault,
    async next() {
      const next = await readNext(context, address, { name, cursor: after, limit: followPage });
      if (isRefusal(next)) return { frames: [errorFrame(next, after)], done: true };
      const { page, end } = next;
      const frames = page.chunks.map((row): SseFrame => ({
        id: String(row.offset_end),
        event: "workspace_stream_chunk",
        data: chunkView(row),
      }));
      after = page.chunks.at(-1)?.offset_end ?? Math.min(after, page.length);
      if (end) frames.push(terminalFrame(address, name, { ...end, cursor: after }));
      return { frames, done: end !== undefined, more: page.chunks.length > 0 };
    },
  });
}

function terminalFrame(address: ExecAddress, stream: StreamName, end: { state: string; error: unknown; cursor: number }): SseFrame {
  return {
    id: String(end.cursor),
    event: end.state === "lost" ? "workspace_stream_lost" : "workspace_stream_terminal",
    data: {
      resource_kind: address.kind === "pty" ? "workspace_pty" : "workspace_exec",
      resource_id: address.id,
      stream,
      state: end.state,
      cursor: end.cursor,
      ...(end.error === null ? {} : { error: end.error }),
    },
  };
}

const errorFrame = (refused: Refusal, cursor: number): SseFrame => ({
  id: String(cursor),
  event: "workspace_stream_error",
  data: { code: refused.code ?? "workspace_stream_follow_failed", message: refused.message, cursor },
});
