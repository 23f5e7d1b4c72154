/**
 * Following server-sent events (cli §5.4): after a broken or ended stream the next connection is made one second later from the last id.
 * A 4xx answer, malformed JSON and an oversized event end the follower with an error; 5xx answers and network errors never do, so that the
 * caller's deadline is the only bound. The caller decides what ends the following: it stops iterating.
 */
import type { Readable } from "node:stream";
import { type SseEvent, SseReader } from "@helmr/protocol/api";
import { pause } from "../clock.ts";
import { Failure, HttpFailure, TransportFailure, reasonOf } from "../failure.ts";

export type FollowItem =
  | { kind: "event"; id: string | undefined; event: string; data: unknown }
  /** The connection is gone. If the caller goes on, a new one is made in a second. */
  | { kind: "disconnected" };

export interface EventSource {
  /** Opens the stream behind the cursor. */
  connect: (cursor: string, signal: AbortSignal) => Promise<Readable>;
  cursor: string;
  signal: AbortSignal;
}

export const reconnectMs = 1_000;

export async function* followEvents(source: EventSource): AsyncGenerator<FollowItem, never> {
  let { cursor } = source;
  for (;;) {
    try {
      const stream = await source.connect(cursor, source.signal);
      for await (const item of eventsOf(stream)) {
        if (item.id !== undefined) cursor = item.id;
        yield item;
      }
    } catch (error) {
      source.signal.throwIfAborted();
      if (!isTransient(error)) throw error;
    }
    yield { kind: "disconnected" };
    await pause(reconnectMs, source.signal);
  }
}

/** One connection, to its end. */
export async function* eventsOf(stream: Readable): AsyncGenerator<FollowItem & { kind: "event" }> {
  const reader = new SseReader();
  try {
    for await (const bytes of stream as AsyncIterable<Buffer>) yield* reader.push(bytes).map(parsedEvent);
    yield* reader.end().map(parsedEvent);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new TransportFailure(`the event stream broke off: ${reasonOf(error)}`, error);
  } finally {
    stream.destroy();
  }
}

function parsedEvent(event: SseEvent): FollowItem & { kind: "event" } {
  if (event.kind === "oversized") throw new Failure(`the event stream sent an event ${event.event} that is too large`);
  try {
    return { kind: "event", id: event.id, event: event.event, data: JSON.parse(event.data) as unknown };
  } catch (error) {
    throw new Failure(`the event stream sent an event ${event.event} that is not valid JSON`, { cause: error });
  }
}

export function isTransient(error: unknown): boolean {
  return error instanceof TransportFailure || (error instanceof HttpFailure && error.status >= 500);
}
