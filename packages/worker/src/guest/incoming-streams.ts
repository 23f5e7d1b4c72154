/**
 * Guest → host byte streams (protocol/guest/byte-streams.ts): contiguous, a repeat is dropped, a gap is a violation. Acknowledging is the
 * sink's business: it knows when bytes are safe.
 */
import type { StreamEnd } from "@helmr/protocol/guest";

export interface StreamSink {
  /** `data` is only valid during the call. */
  data(data: Uint8Array): void;
  /** Where its bytes begin, when it was registered without saying so. */
  begins?(offset: number): void;
  /** Everything has come; `error` when the source failed. */
  end(length: number, error?: string): void;
}

interface Incoming {
  sink: StreamSink;
  /** Undefined: the first bytes say. */
  next: number | undefined;
  ended: boolean;
}

export class IncomingStreams {
  private readonly streams = new Map<number, Incoming>();
  /** A sink for a stream that nobody has registered. */
  unknown: (id: number) => StreamSink | undefined = () => undefined;

  register(id: number, sink: StreamSink, from: number | undefined): void {
    this.streams.set(id, { sink, next: from, ended: false });
  }

  /** Its bytes are dropped from now on. */
  forget(id: number): void {
    this.streams.delete(id);
  }

  /** What is wrong with it, if anything. Bytes of a stream that nobody wants are dropped: they stay unacknowledged. */
  data(id: number, offset: number, data: Uint8Array): string | undefined {
    const stream = this.find(id, offset);
    if (stream === undefined) return undefined;
    if (offset > stream.next) return `Stream ${id} has a gap from ${stream.next} to ${offset}`;
    const known = stream.next - offset;
    if (known >= data.length) return undefined;
    if (stream.ended) return `Stream ${id} goes on after its end`;
    stream.next = offset + data.length;
    stream.sink.data(data.subarray(known));
    return undefined;
  }

  finish(end: StreamEnd): string | undefined {
    const stream = this.find(end.stream, end.length);
    if (stream === undefined) return undefined;
    if (end.length !== stream.next) return `Stream ${end.stream} ended at ${end.length}, but ${stream.next} bytes have come`;
    if (stream.ended) return undefined;
    stream.ended = true;
    stream.sink.end(end.length, end.error);
    return undefined;
  }

  private find(id: number, offset: number): (Incoming & { next: number }) | undefined {
    let stream = this.streams.get(id);
    if (stream === undefined) {
      const sink = this.unknown(id);
      if (sink === undefined) return undefined;
      stream = { sink, next: undefined, ended: false };
      this.streams.set(id, stream);
    }
    if (stream.next === undefined) {
      stream.next = offset;
      stream.sink.begins?.(offset);
    }
    return stream as Incoming & { next: number };
  }
}
