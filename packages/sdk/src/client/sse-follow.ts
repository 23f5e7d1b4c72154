/**
 * Following server-sent events (sdk §10): one connection as a sequence of frames, and what may be tried again.
 *
 * A connection ends in one of three ways: cleanly (the server closes it after 30 minutes, for one), with a network error, or because the
 * consumer stops; in each of them the body is cancelled. Reconnecting is the caller's loop, because what must be checked in between
 * differs.
 */
import { SseReader, type SseEvent } from "@helmr/protocol/api";
import { AuthError, HelmrApiError } from "../errors.ts";
import { type ApiRequest, MalformedAnswerError, type Transport } from "./transport.ts";

export const reconnectMs = 1_000;

/** The server says something at least every 15 s: a connection that is silent for this long is dead, though nobody has told. */
const stalledMs = 60_000;

/** The connection was silent for too long. Worth another try. */
class StalledConnectionError extends Error {
  override name = "StalledConnectionError";
}

export async function* sseFrames(
  transport: Transport,
  request: ApiRequest,
  limits: { stalledMs: number } = { stalledMs },
): AsyncGenerator<SseEvent, void, undefined> {
  const response = await transport.ok({ ...request, accept: "text/event-stream" });
  if (response.body === null) throw new MalformedAnswerError(`The answer of ${response.url} has no body`);
  const body = response.body.getReader();
  const reader = new SseReader();
  try {
    for (;;) {
      const { done, value } = await within(body.read(), limits.stalledMs);
      if (done) break;
      yield* reader.push(value);
    }
    yield* reader.end();
  } finally {
    // Resolves or rejects with the connection; there is nobody left to tell.
    body.cancel().catch(() => undefined);
  }
}

async function within<T>(reading: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new StalledConnectionError(`No byte came for ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** AuthError and client errors are final, except 408 and 429; so is an answer that nobody can read, and an abort. */
export function isFatal(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted === true || error instanceof AuthError || error instanceof MalformedAnswerError) return true;
  if (!(error instanceof HelmrApiError)) return false;
  return error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429;
}

/** Rejects with the signal's reason when it is aborted. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
