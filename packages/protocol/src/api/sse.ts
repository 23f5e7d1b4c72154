/**
 * Server-sent events (http §1.7, sdk §10): one writer and one reader for server, SDK and CLI.
 *
 * The reader is fed bytes as they come and gives whole events back. It holds at most `sseFrameBytesMax` bytes of one event: a larger one
 * is dropped to its end and reported as `oversized` with the id it had, so that a follower can go on behind it instead of meeting
 * it again after every reconnect. It does not connect, retry or interpret data.
 *
 * States of a frame: empty -> collecting (fields) -> given out at a blank line; or collecting -> oversized (lines skipped) -> given out.
 */

/** The longest event a reader keeps, counted from its first byte to its blank line. */
export const sseFrameBytesMax = 1024 * 1024;

export interface SseFrame {
  id: string | number;
  event: string;
  data: unknown;
}

/** A whole frame with its blank line. JSON text has no line breaks, so the data is always one line. */
export function formatSseFrame(frame: SseFrame): string {
  return `id: ${oneLine(String(frame.id))}\nevent: ${oneLine(frame.event)}\ndata: ${JSON.stringify(frame.data)}\n\n`;
}

/** A comment keeps an idle connection open; readers skip it. */
export function formatSseComment(text: string): string {
  return `: ${oneLine(text)}\n\n`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, " ");
}

export type SseEvent =
  | { kind: "event"; id: string | undefined; event: string; data: string }
  /** `id` is known only when it came before the bound was passed. */
  | { kind: "oversized"; id: string | undefined; event: string };

const lineFeed = 10;
const carriageReturn = 13;

export class SseReader {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder();
  /** Pieces of the line that has no end yet. */
  #pieces: Uint8Array[] = [];
  /** Bytes of the frame so far, lines that were given to fields included. */
  #held = 0;
  #afterReturn = false;
  #oversized = false;
  #id: string | undefined;
  #event = "";
  #data: string[] = [];

  constructor(options: { bytesMax?: number } = {}) {
    this.#bytesMax = options.bytesMax ?? sseFrameBytesMax;
  }

  /** Events that these bytes complete. Bytes may be cut anywhere, also inside a character or between CR and LF. */
  push(bytes: Uint8Array): SseEvent[] {
    const events: SseEvent[] = [];
    let from = 0;
    if (this.#afterReturn && bytes.length > 0) {
      this.#afterReturn = false;
      if (bytes[0] === lineFeed) from = 1;
    }
    for (let at = from; at < bytes.length; at += 1) {
      const byte = bytes[at];
      if (byte !== lineFeed && byte !== carriageReturn) continue;
      this.#hold(bytes.subarray(from, at));
      this.#endLine(events);
      if (byte === carriageReturn) {
        if (at + 1 === bytes.length) this.#afterReturn = true;
        else if (bytes[at + 1] === lineFeed) at += 1;
      }
      from = at + 1;
    }
    this.#hold(bytes.subarray(from));
    return events;
  }

  /** The stream has ended: a last frame counts also without its blank line. */
  end(): SseEvent[] {
    const events: SseEvent[] = [];
    if (this.#pieces.length > 0) this.#endLine(events);
    this.#endFrame(events);
    return events;
  }

  #hold(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#held += piece.length;
    if (this.#held > this.#bytesMax) {
      this.#oversized = true;
      this.#data = [];
    }
    // A skipped line is remembered by one byte: whether it is blank decides where the frame ends. The caller may reuse its buffer.
    if (!this.#oversized) this.#pieces.push(piece.slice());
    else this.#pieces = [piece.slice(0, 1)];
  }

  #endLine(events: SseEvent[]): void {
    const pieces = this.#pieces;
    this.#pieces = [];
    if (pieces.length === 0) {
      this.#endFrame(events);
      return;
    }
    if (!this.#oversized) this.#field(this.#decoder.decode(concat(pieces)));
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) {
      // A comment is no part of a frame: keep-alives must not add up.
      if (this.#id === undefined && this.#event === "" && this.#data.length === 0) this.#held = 0;
      return;
    }
    const name = colon === -1 ? line : line.slice(0, colon);
    const rest = colon === -1 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  #endFrame(events: SseEvent[]): void {
    const event = this.#event === "" ? "message" : this.#event;
    if (this.#oversized) events.push({ kind: "oversized", id: this.#id, event });
    else if (this.#data.length > 0) events.push({ kind: "event", id: this.#id, event, data: this.#data.join("\n") });
    this.#held = 0;
    this.#oversized = false;
    this.#id = undefined;
    this.#event = "";
    this.#data = [];
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  const whole = new Uint8Array(pieces.reduce((total, piece) => total + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
