/**
 * Byte streams (engine §9): run logs, exec and terminal bytes are one machine. A stream is open or closed, has a length (bytes ever accepted) and an
 * earliest offset that is still kept. A write names its offset: it continues the stream, or is an identical replay, or is refused.
 */
export interface ByteStream {
  length: number;
  earliest: number;
  closed: boolean;
}

export type WriteDecision =
  | { kind: "append" }
  /** All of it was accepted before; the caller still has to compare the bytes. */
  | { kind: "replay" }
  | { kind: "refused"; reason: "gap" | "overlap" | "closed"; expected: number };

export function decideWrite(stream: ByteStream, offset: number, size: number): WriteDecision {
  const end = offset + size;
  if (end <= stream.length && offset < stream.length) return { kind: "replay" };
  if (offset !== stream.length) return { kind: "refused", reason: offset > stream.length ? "gap" : "overlap", expected: stream.length };
  if (stream.closed) return { kind: "refused", reason: "closed", expected: stream.length };
  return { kind: "append" };
}

export type ReadDecision = { kind: "from"; offset: number } | { kind: "expired"; earliest: number };

/** A cursor before what is kept is an answer of its own, never silently the earliest bytes. */
export function decideRead(stream: ByteStream, cursor: number): ReadDecision {
  return cursor < stream.earliest
    ? { kind: "expired", earliest: stream.earliest }
    : { kind: "from", offset: Math.min(cursor, stream.length) };
}
