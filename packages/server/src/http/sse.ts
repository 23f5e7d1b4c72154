/**
 * Server-sent events (http §1.7): a follower that is woken by hints, reads what is new from the store, and writes frames with back-pressure.
 * It ends after the terminal frame, when the client goes away, or after limits.sseLifetimeMs; it never waits for a poll, but looks every few
 * seconds by itself in case a hint was lost.
 */
import { formatSseFrame } from "@helmr/protocol/api";
import { apiVersion, limits } from "@helmr/protocol/shared";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Hints } from "../hints.ts";

export interface SseFrame {
  id: string;
  event: string;
  data: unknown;
}

export interface Follow {
  request: FastifyRequest;
  reply: FastifyReply;
  hints: Hints;
  topics: string[];
  /** Everything after what was given before; `done` ends the stream once the frames are written, `more` asks again at once. */
  next(): Promise<{ frames: SseFrame[]; done?: boolean; more?: boolean }>;
  onFault(error: unknown): void;
}

const lookAnywayMs = 5_000;

export function wantsEvents(request: FastifyRequest): boolean {
  const accept = request.headers.accept ?? "";
  return accept.includes("text/event-stream") || (request.query as { follow?: unknown }).follow === "1";
}

/** `Last-Event-ID` wins over the query's cursor (http §1.7). */
export function followCursor(request: FastifyRequest, queryCursor: number | undefined): number | "invalid" {
  const header = request.headers["last-event-id"];
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined || text === "") return queryCursor ?? 0;
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text))) return "invalid";
  return Number(text);
}

export async function follow(options: Follow): Promise<{ streamed: true }> {
  const { reply, hints } = options;
  const socket = reply.raw;
  const headers: Record<string, string> = {
    ...(reply.getHeaders() as Record<string, string>),
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "helmr-api-version": apiVersion,
  };
  reply.hijack();
  socket.writeHead(200, headers);
  socket.flushHeaders();

  let wake: (() => void) | undefined;
  let hinted = false;
  const over = new AbortController();
  const look = () => {
    hinted = true;
    wake?.();
  };
  const unsubscribe = options.topics.map((topic) => hints.subscribe(topic, look));
  const end = () => {
    over.abort();
    wake?.();
  };
  socket.once("close", end);
  const lifetime = setTimeout(end, limits.sseLifetimeMs);
  let lastWrite = Date.now();
  const write = async (text: string) => {
    lastWrite = Date.now();
    socket.write(text);
    // A slow reader holds us up, not our memory; a hint meanwhile is looked at afterwards.
    while (socket.writableNeedDrain && !over.signal.aborted) {
      await new Promise<void>((resolve) => {
        socket.once("drain", resolve);
        wake = () => {
          socket.off("drain", resolve);
          resolve();
        };
      });
    }
  };

  try {
    while (!over.signal.aborted) {
      hinted = false;
      const { frames, done, more } = await options.next();
      for (const frame of frames) {
        if (over.signal.aborted) break;
        await write(formatSseFrame(frame));
      }
      if (done) break;
      if (more || hinted || over.signal.aborted) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(lookAnywayMs, Math.max(0, lastWrite + limits.sseKeepAliveMs - 1_000 - Date.now())));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = undefined;
      if (!over.signal.aborted && Date.now() - lastWrite >= limits.sseKeepAliveMs - 1_000) await write(": keep-alive\n\n");
    }
  } catch (error) {
    options.onFault(error);
  } finally {
    clearTimeout(lifetime);
    for (const stop of unsubscribe) stop();
    socket.end();
  }
  return { streamed: true };
}
