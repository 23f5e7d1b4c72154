/**
 * Server-sent events over fetch (http §1.7). A browser's own EventSource cannot see statuses, and opens again for ever what has ended.
 *
 *   connecting → open → ended by the server → over? done : connecting again behind the last id
 *                    ↘ failed → pause (growing) → connecting again
 *
 * While the page is hidden nothing is held open: browsers allow six connections per server, and tabs in the background must not use them up.
 * A refusal (4xx) ends the stream with its error.
 */
import { ApiError, errorOfResponse } from "./api-error.ts";
import { send } from "./call.ts";

export interface StreamEvent {
  id: string;
  event: string;
  data: string;
}

export type StreamState = "connecting" | "open" | "paused" | "done";

export interface Following {
  url: string;
  signal: AbortSignal;
  onEvents: (events: StreamEvent[]) => void;
  onState: (state: StreamState) => void;
  /** Asked when the server has ended the stream: whether there is nothing more to come. */
  isOver: () => boolean;
}

const pausesMs = [250, 1_000, 3_000, 10_000] as const;

export async function follow({ url, signal, onEvents, onState, isOver }: Following): Promise<void> {
  let lastId: string | undefined;
  let failures = 0;
  while (!signal.aborted) {
    await visible(signal, () => onState("paused"));
    if (signal.aborted) return;
    onState("connecting");
    const hidden = untilHidden(signal);
    try {
      const headers = { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) };
      const response = await send(url, { headers, signal: hidden.signal });
      if (!response.ok || !response.body) throw await errorOfResponse(response);
      onState("open");
      for await (const events of eventsOf(response.body)) {
        failures = 0;
        lastId = events.at(-1)?.id ?? lastId;
        onEvents(events);
      }
      if (isOver()) return onState("done");
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      if (!hidden.signal.aborted) failures += 1;
    } finally {
      hidden.release();
    }
    if (!hidden.signal.aborted) await pause(pausesMs[Math.min(failures, pausesMs.length - 1)] ?? 1_000, signal);
  }
}

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent[]> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parse = eventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = parse(decoder.decode(value, { stream: true }));
      if (events.length > 0) yield events;
    }
  } finally {
    reader.releaseLock();
  }
}

/** Fed with text as it comes, gives whole events back. */
export function eventParser(): (text: string) => StreamEvent[] {
  let rest = "";
  let id = "";
  let event = "message";
  let data: string[] = [];
  return (text) => {
    const events: StreamEvent[] = [];
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) events.push({ id, event, data: data.join("\n") });
        event = "message";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line.charAt(colon + 1) === " " ? colon + 2 : colon + 1);
      if (field === "id") id = value;
      else if (field === "event") event = value;
      else if (field === "data") data.push(value);
    }
    return events;
  };
}

function untilHidden(outer: AbortSignal): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController();
  const onHide = () => document.hidden && stop.abort();
  const onAbort = () => stop.abort();
  document.addEventListener("visibilitychange", onHide);
  outer.addEventListener("abort", onAbort);
  return {
    signal: stop.signal,
    release() {
      document.removeEventListener("visibilitychange", onHide);
      outer.removeEventListener("abort", onAbort);
      stop.abort();
    },
  };
}

function visible(signal: AbortSignal, onWait: () => void): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  onWait();
  return new Promise((resolve) => {
    const settle = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", settle);
      signal.removeEventListener("abort", settle);
      resolve();
    };
    document.addEventListener("visibilitychange", settle);
    signal.addEventListener("abort", settle);
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", settle);
      resolve();
    };
    const timer = setTimeout(settle, ms);
    signal.addEventListener("abort", settle);
  });
}
