/**
 * The host's end of the guest protocol over one duplex channel: frames in and out, request and answer, byte streams in both directions. It
 * knows no message family; its users register for what they want. What the guest sends is validated and bounded here.
 *
 *   open ──end of the channel, or a violation──▶ closed
 *
 * The channel begins at a frame boundary, also of a machine that was taken over: that is the driver's to see to.
 */
import type { Duplex } from "node:stream";
import {
  encodeMessage,
  type Frame,
  FrameDecoder,
  FrameError,
  type GuestMessage,
  guestMessage,
  type HostMessage,
  hostFrameBytesMax,
} from "@helmr/protocol/guest";
import { IncomingStreams, type StreamSink } from "./incoming-streams.ts";
import { type OutgoingOptions, OutgoingStream } from "./outgoing-stream.ts";

export type LinkEnd = { kind: "ended" } | { kind: "violation"; message: string };

/** The guest said no. */
export class GuestRefused extends Error {
  override name = "GuestRefused";
  readonly code: string;
  readonly retryable: boolean;
  constructor(code: string, message: string, retryable: boolean) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

/** The guest said nothing: in time, or any more. */
export class GuestSilent extends Error {
  override name = "GuestSilent";
  readonly code: "guest_silent" | "guest_gone";
  constructor(code: GuestSilent["code"], message: string) {
    super(message);
    this.code = code;
  }
}

type MessageOf<T extends GuestMessage["type"]> = Extract<GuestMessage, { type: T }>;
type Unnumbered<T> = T extends { id: number } ? Omit<T, "id"> : never;
export type HostRequest = Unnumbered<HostMessage>;
export type HostNotice = Exclude<HostMessage, { id: number }>;

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class GuestLink {
  readonly closed: Promise<LinkEnd>;
  private readonly channel: Duplex;
  private readonly decoder = new FrameDecoder();
  private readonly waiting = new Map<number, Waiting>();
  private readonly handlers = new Map<string, (message: GuestMessage) => void>();
  private readonly incoming = new IncomingStreams();
  private readonly outgoing = new Map<number, OutgoingStream>();
  private nextId = Date.now() * 1000;
  private end: LinkEnd | undefined;
  private settle: (end: LinkEnd) => void = () => {};

  constructor(channel: Duplex) {
    this.channel = channel;
    this.closed = new Promise((resolve) => {
      this.settle = resolve;
    });
    channel.on("data", (chunk: Uint8Array) => this.receive(chunk));
    channel.on("error", () => this.close({ kind: "ended" }));
    channel.on("end", () => this.close({ kind: "ended" }));
    channel.on("close", () => this.close({ kind: "ended" }));
  }

  on<T extends GuestMessage["type"]>(type: T, handler: (message: MessageOf<T>) => void): void {
    this.handlers.set(type, handler as (message: GuestMessage) => void);
  }

  /** Bytes of guest → host stream `id` go to `sink` from offset `from` on. */
  receiveStream(id: number, sink: StreamSink, from = 0): void {
    this.incoming.register(id, sink, from);
  }

  /** As `receiveStream`, of a machine that was taken over: it begins wherever the guest goes on. */
  resumeStream(id: number, sink: StreamSink): void {
    this.incoming.register(id, sink, undefined);
  }

  /** Bytes of streams that nobody has registered go where this says, if anywhere. */
  onUnknownStream(sinkOf: (id: number) => StreamSink | undefined): void {
    this.incoming.unknown = sinkOf;
  }

  /** What still comes on it is dropped. */
  dropStream(id: number): void {
    this.incoming.forget(id);
  }

  /** Everything below `offset` is safe here: the guest may forget it. */
  acknowledge(stream: number, offset: number): void {
    this.notify({ type: "stream.ack", stream, offset });
  }

  notify(message: HostNotice): void {
    if (this.end === undefined) this.channel.write(encodeMessage(message, hostFrameBytesMax));
  }

  /** Rejects with GuestRefused or GuestSilent. */
  request(message: HostRequest, timeoutMs: number): Promise<unknown> {
    if (this.end !== undefined) return Promise.reject(new GuestSilent("guest_gone", `The guest is gone: ${message.type} was not sent`));
    this.nextId += 1;
    const id = this.nextId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new GuestSilent("guest_silent", `The guest did not answer ${message.type} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiting.set(id, { resolve, reject, timer });
      this.channel.write(encodeMessage({ ...message, id }, hostFrameBytesMax));
    });
  }

  /** Sends a whole source as host → guest stream `id`, within the guest's window; resolves when the guest has all of it. */
  async sendStream(id: number, source: AsyncIterable<Uint8Array>, options: OutgoingOptions = {}): Promise<void> {
    const stream = new OutgoingStream(
      id,
      {
        write: (parts) => {
          for (const part of parts) this.channel.write(part);
        },
        drained: () => this.drained(),
      },
      options,
    );
    this.outgoing.set(id, stream);
    try {
      await stream.send(source);
    } finally {
      this.outgoing.delete(id);
    }
  }

  /** The machine is about to go: nothing is waited for any more. */
  abandon(): void {
    this.close({ kind: "ended" });
  }

  private async drained(): Promise<void> {
    if (!this.channel.writableNeedDrain || this.end !== undefined) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.channel.off("drain", done);
        this.channel.off("close", done);
        resolve();
      };
      this.channel.on("drain", done);
      this.channel.on("close", done);
    });
  }

  private receive(chunk: Uint8Array): void {
    if (this.end !== undefined) return;
    try {
      for (const frame of this.decoder.push(chunk)) this.take(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.violation(error.message);
    }
  }

  private take(frame: Frame): void {
    if (frame.kind === "bytes") {
      const problem = this.incoming.data(frame.stream, frame.offset, frame.data);
      if (problem !== undefined) this.violation(problem);
      return;
    }
    const parsed = guestMessage.safeParse(frame.message);
    if (!parsed.success) {
      this.violation(`A message of the guest is not of the protocol: ${parsed.error.message.slice(0, 500)}`);
      return;
    }
    this.dispatch(parsed.data);
  }

  private dispatch(message: GuestMessage): void {
    switch (message.type) {
      case "ok":
        this.answered(message.id)?.resolve(message.result);
        return;
      case "error":
        this.answered(message.id)?.reject(new GuestRefused(message.code, message.message, message.retryable ?? false));
        return;
      case "stream.ack":
        this.outgoing.get(message.stream)?.acknowledge(message.offset);
        return;
      case "stream.stop":
        this.outgoing.get(message.stream)?.stop();
        return;
      case "stream.end": {
        const problem = this.incoming.finish(message);
        if (problem !== undefined) this.violation(problem);
        return;
      }
      default:
        this.handlers.get(message.type)?.(message);
    }
  }

  /** A late answer, or one to a predecessor of this process, matches nothing. */
  private answered(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return undefined;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    return waiting;
  }

  private violation(message: string): void {
    this.close({ kind: "violation", message });
    this.channel.destroy();
  }

  private close(end: LinkEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    for (const [id, { reject, timer }] of this.waiting) {
      this.waiting.delete(id);
      clearTimeout(timer);
      reject(new GuestSilent("guest_gone", "The guest is gone"));
    }
    for (const stream of this.outgoing.values()) stream.fail();
    this.settle(end);
  }
}
