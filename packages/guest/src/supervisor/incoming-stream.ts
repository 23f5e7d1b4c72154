/**
 * A byte stream from the host: exists from the moment its request arrives, holds at most the host's window until a sink takes it, and
 * acknowledges what the sink has taken. The sink gets one chunk at a time and says when it is done with it.
 *
 * A replay of what is already here is dropped; bytes beyond a gap break the protocol. After `stop` everything is dropped.
 */
import { streamAckBytes, streamWindowBytes } from "@helmr/protocol/guest";
import { guestLimits } from "./limits.ts";

export interface StreamSink {
  write(data: Uint8Array, done: () => void): void;
  /** Exactly once, after the last chunk is done. */
  end(error?: string): void;
}

export class StreamRuleError extends Error {
  override name = "StreamRuleError";
}

export class IncomingStream {
  readonly id: number;
  private received = 0;
  private taken = 0;
  private acked = 0;
  private readonly queue: Uint8Array[] = [];
  private sink: StreamSink | undefined;
  private busy = false;
  private final: { length: number; error?: string } | undefined;
  private ended = false;
  private ackTimer: NodeJS.Timeout | undefined;
  private readonly sendAck: (offset: number) => void;
  private readonly onClosed: () => void;

  constructor(id: number, sendAck: (offset: number) => void, onClosed: () => void) {
    this.id = id;
    this.sendAck = sendAck;
    this.onClosed = onClosed;
  }

  receive(offset: number, data: Uint8Array): void {
    if (offset > this.received) {
      throw new StreamRuleError(`Stream ${this.id} continues at ${this.received}, but bytes at ${offset} came`);
    }
    const fresh = data.subarray(Math.min(data.length, this.received - offset));
    if (fresh.length === 0 || this.ended) return;
    if (this.received + fresh.length - this.taken > streamWindowBytes * 2) {
      throw new StreamRuleError(`Stream ${this.id} has more than ${streamWindowBytes} unacknowledged bytes`);
    }
    this.received += fresh.length;
    this.queue.push(fresh);
    this.pump();
  }

  finish(length: number, error?: string): void {
    if (this.final !== undefined) return;
    if (error === undefined && length !== this.received) {
      throw new StreamRuleError(`Stream ${this.id} ends at ${length}, but ${this.received} bytes came`);
    }
    this.final = { length, ...(error === undefined ? {} : { error }) };
    this.pump();
  }

  attach(sink: StreamSink): void {
    this.sink = sink;
    this.pump();
  }

  /** Nobody wants it any more: what is here and what comes is dropped. */
  discard(): void {
    this.queue.length = 0;
    this.sink = undefined;
    this.close();
  }

  /** The connection is a new one: say again what is safe. */
  repeatAck(): void {
    if (!this.ended) this.sendAck(this.acked);
  }

  private pump(): void {
    if (this.busy || this.sink === undefined || this.ended) return;
    const chunk = this.queue.shift();
    if (chunk === undefined) {
      if (this.final === undefined) return;
      const { error } = this.final;
      const { sink } = this;
      this.close();
      sink.end(error);
      return;
    }
    this.busy = true;
    this.sink.write(chunk, () => {
      this.busy = false;
      this.taken += chunk.length;
      this.noteTaken();
      this.pump();
    });
  }

  private noteTaken(): void {
    if (this.ended) return;
    if (this.taken - this.acked >= streamAckBytes) this.acknowledge();
    else this.ackTimer ??= setTimeout(() => this.acknowledge(), guestLimits.ackDelayMs);
  }

  private acknowledge(): void {
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    if (this.taken === this.acked) return;
    this.acked = this.taken;
    this.sendAck(this.acked);
  }

  private close(): void {
    if (this.ended) return;
    this.acknowledge();
    this.ended = true;
    this.onClosed();
  }
}
