/** A host → guest byte stream: within the guest's window, ended with its length, done when the guest has taken all of it. */
import { bytesFrameHeader, encodeMessage, streamWindowBytes } from "@helmr/protocol/guest";

const partBytes = 65_536;

export interface StreamWire {
  write(parts: Uint8Array[]): void;
  drained(): Promise<void>;
}

export interface OutgoingOptions {
  from?: number;
  /** The guest has taken everything below this offset. */
  onTaken?: (offset: number) => void;
}

/** The guest did not take the stream to its end. */
export class StreamStopped extends Error {
  override name = "StreamStopped";
  readonly code = "stream_stopped";
}

export class OutgoingStream {
  private readonly id: number;
  private readonly wire: StreamWire;
  private readonly onTaken: OutgoingOptions["onTaken"];
  private sent: number;
  private acked: number;
  private state: "open" | "stopped" | "failed" = "open";
  private wake: () => void = () => {};

  /** `from`: the guest has everything before it. */
  constructor(id: number, wire: StreamWire, options: OutgoingOptions = {}) {
    this.id = id;
    this.wire = wire;
    this.sent = options.from ?? 0;
    this.acked = this.sent;
    this.onTaken = options.onTaken;
  }

  async send(source: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of source) {
        for (let at = 0; at < chunk.length; at += partBytes) await this.part(chunk.subarray(at, at + partBytes));
      }
    } catch (error) {
      if (this.state === "open") this.end((error as Error).message);
      throw error;
    }
    this.end();
    await this.until(() => this.acked >= this.sent);
  }

  acknowledge(offset: number): void {
    // Never beyond what was sent, whatever the guest says.
    this.acked = Math.max(this.acked, Math.min(offset, this.sent));
    this.onTaken?.(this.acked);
    this.wake();
  }

  stop(): void {
    if (this.state !== "open") return;
    this.end();
    this.state = "stopped";
    this.wake();
  }

  fail(): void {
    this.state = "failed";
    this.wake();
  }

  private async part(data: Uint8Array): Promise<void> {
    await this.until(() => this.sent + data.length - this.acked <= streamWindowBytes);
    this.wire.write([bytesFrameHeader(this.id, this.sent, data.length), data]);
    this.sent += data.length;
    await this.wire.drained();
  }

  private end(error?: string): void {
    this.wire.write([
      encodeMessage({
        type: "stream.end",
        stream: this.id,
        length: this.sent,
        ...(error === undefined ? {} : { error: error.slice(0, 4096) }),
      }),
    ]);
  }

  private async until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.state !== "open") throw new StreamStopped(`Stream ${this.id} was ${this.state} by the guest after ${this.acked} bytes`);
      if (condition()) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}
