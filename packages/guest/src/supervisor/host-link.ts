/**
 * The supervisor's end of the guest protocol: frames in and out, byte streams in both directions, request and answer. Knows no message
 * family; `HostLinkHandlers` does. It outlives connections: a host that went away finds everything unanswered said again after `hello`.
 *
 *   disconnected ── connect(wire) ──▶ connected ── broken frame, end of the wire ──▶ disconnected
 */
import {
  FrameDecoder,
  FrameError,
  hostFrameBytesMax,
  type GuestErrorCode,
  type GuestMessage,
  type HelloMessage,
  type HostMessage,
} from "@helmr/protocol/guest";
import { IncomingStream, StreamRuleError } from "./incoming-stream.ts";
import { OutgoingStream } from "./outgoing-stream.ts";
import { Outbox, type WireWriter } from "./outbox.ts";

export interface HostLinkHandlers {
  hello(): HelloMessage;
  /** Say again what a new host may have missed. */
  repeat(): void;
  message(message: HostMessage): void;
}

/** A refusal that the host hears as an `error` answer. */
export class RequestError extends Error {
  override name = "RequestError";
  readonly code: GuestErrorCode;
  readonly retryable: boolean;
  constructor(code: GuestErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

export class HostLink {
  private readonly outbox = new Outbox();
  private readonly outgoing = new Map<number, OutgoingStream>();
  private readonly incoming = new Map<number, IncomingStream>();
  private decoder = new FrameDecoder(hostFrameBytesMax);
  private readonly handlers: HostLinkHandlers;

  constructor(handlers: HostLinkHandlers) {
    this.handlers = handlers;
  }

  /** Returns its end, which changes nothing once another connection has taken its place. */
  connect(writer: WireWriter): () => void {
    this.decoder = new FrameDecoder(hostFrameBytesMax);
    this.outbox.connect(writer, this.handlers.hello());
    this.repeatAll();
    return () => this.outbox.disconnect(writer);
  }

  /** Bytes of the wire. `broken`: the host broke the framing or a stream's rules; the connection must be closed. */
  receive(chunk: Uint8Array): { broken?: string } {
    try {
      for (const frame of this.decoder.push(chunk)) {
        if (frame.kind === "message") this.dispatch(frame.message as HostMessage);
        else this.incoming.get(frame.stream)?.receive(frame.offset, frame.data);
      }
      return {};
    } catch (error) {
      if (error instanceof FrameError || error instanceof StreamRuleError) return { broken: error.message };
      throw error;
    }
  }

  /** The other end may be a new one (after a restore even behind the same wire): say again what is not acknowledged and not answered. */
  repeatAll(): void {
    for (const stream of this.outgoing.values()) stream.rewind();
    for (const stream of this.incoming.values()) stream.repeatAck();
    this.handlers.repeat();
  }

  send(message: GuestMessage): void {
    this.outbox.send(message);
  }

  answer(id: number, work: Promise<unknown>): Promise<void> {
    return work.then(
      (result) => this.send({ type: "ok", id, ...(result === undefined ? {} : { result }) }),
      (error: unknown) => this.send({ type: "error", id, ...describeFailure(error) }),
    );
  }

  openOutgoing(id: number): OutgoingStream {
    const stream = new OutgoingStream(id, (woken) => {
      // The next run's stream may have its number by now.
      if (!woken.finished) this.outbox.wake(woken);
      else if (this.outgoing.get(id) === woken) this.outgoing.delete(id);
    });
    this.outgoing.set(id, stream);
    return stream;
  }

  openIncoming(id: number): IncomingStream {
    const stream = new IncomingStream(
      id,
      (offset) => this.send({ type: "stream.ack", stream: id, offset }),
      () => this.incoming.delete(id),
    );
    this.incoming.set(id, stream);
    return stream;
  }

  takeIncoming(id: number): IncomingStream | undefined {
    return this.incoming.get(id);
  }

  get hasSpace(): boolean {
    return this.outbox.hasSpace;
  }

  onSpace(callback: () => void): void {
    this.outbox.onSpace(callback);
  }

  onIdle(callback: () => void): void {
    this.outbox.onIdle(callback);
  }

  /** After this nothing new is sent until `release`. */
  hold(): void {
    this.outbox.hold();
  }

  release(): void {
    this.outbox.release();
  }

  /** By the sources of all streams that are open. */
  get bytesWritten(): number {
    let sum = 0;
    for (const stream of this.outgoing.values()) sum += stream.length;
    return sum;
  }

  /** Every stream has been taken by the host. */
  get streamsSettled(): boolean {
    for (const stream of this.outgoing.values()) if (!stream.settled) return false;
    return true;
  }

  private dispatch(message: HostMessage): void {
    switch (message.type) {
      case "stream.ack":
        this.outgoing.get(message.stream)?.acknowledge(message.offset);
        return;
      case "stream.stop":
        this.outgoing.get(message.stream)?.stop();
        return;
      case "stream.end":
        this.incoming.get(message.stream)?.finish(message.length, message.error);
        return;
      default:
        this.handlers.message(message);
    }
  }
}

function describeFailure(error: unknown): { code: GuestErrorCode; message: string; retryable?: boolean } {
  if (error instanceof RequestError) {
    return { code: error.code, message: error.message, ...(error.retryable ? { retryable: true } : {}) };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: "internal", message: message.slice(0, 8000) };
}
