/**
 * One live call to a worker as a duplex stream: bytes go down to the guest and come up from it, each direction within the credit of its receiver.
 *
 *   opening ──live.opened──▶ open ──both halves ended──▶ over
 *      └──live.failed, the channel broke, destroyed──────▶ over
 *
 * Nothing is kept: whoever made the call ends with it.
 */
import { Duplex } from "node:stream";
import { type ChannelMessage, liveFrameBytesMax, liveWindowBytes } from "@helmr/protocol/worker";

export type LiveOpened = { ok: true; result: unknown } | { ok: false; code: string; message: string };

export interface LiveWire {
  send(message: ChannelMessage): void;
  bytes(call: number, data: Uint8Array): void;
  over(call: number): void;
}

/** Credit is given back in portions, not byte by byte. */
const creditBytes = liveWindowBytes / 4;

export class LiveStream extends Duplex {
  readonly opened: Promise<LiveOpened>;
  private readonly call: number;
  private readonly wire: LiveWire;
  private settle: (opened: LiveOpened) => void = () => {};
  private credit = liveWindowBytes;
  private taken = 0;
  private onCredit: (() => void) | undefined;
  private closed_ = false;

  constructor(call: number, wire: LiveWire) {
    super({ readableHighWaterMark: liveWindowBytes, allowHalfOpen: true, emitClose: true });
    this.call = call;
    this.wire = wire;
    this.opened = new Promise((resolve) => {
      this.settle = resolve;
    });
    // Who only looks at `opened` hears of its failure there.
    this.on("error", () => undefined);
  }

  openedWith(result: unknown): void {
    this.settle({ ok: true, result });
  }

  fail(code: string, message: string): void {
    this.settle({ ok: false, code, message });
    this.closed_ = true;
    this.destroy();
  }

  received(data: Uint8Array): void {
    this.taken += data.length;
    this.push(Buffer.from(data));
  }

  ended(error: string | undefined): void {
    if (error === undefined) this.push(null);
    else this.destroy(Object.assign(new TypeError(error), { code: "live_source_failed" }));
  }

  credited(bytes: number): void {
    this.credit += bytes;
    const resume = this.onCredit;
    this.onCredit = undefined;
    resume?.();
  }

  /** The other side gave up, or the channel is gone. */
  cut(message: string): void {
    this.settle({ ok: false, code: "channel_lost", message });
    this.closed_ = true;
    this.destroy(Object.assign(new TypeError(message), { code: "live_cut" }));
  }

  override _read(): void {
    if (this.taken < creditBytes) return;
    this.wire.send({ type: "live.credit", call: this.call, bytes: this.taken });
    this.taken = 0;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    let at = 0;
    const next = () => {
      while (at < chunk.length && this.credit > 0 && !this.destroyed) {
        const part = chunk.subarray(at, at + Math.min(liveFrameBytesMax, this.credit));
        this.credit -= part.length;
        at += part.length;
        this.wire.bytes(this.call, part);
      }
      if (at >= chunk.length || this.destroyed) done();
      else this.onCredit = next;
    };
    next();
  }

  override _final(done: () => void): void {
    this.wire.send({ type: "live.end", call: this.call });
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.onCredit?.();
    this.settle({ ok: false, code: "given_up", message: "the call was given up" });
    const complete = this.readableEnded && this.writableFinished;
    if (!this.closed_ && !complete) this.wire.send({ type: "live.close", call: this.call });
    this.wire.over(this.call);
    done(error);
  }
}
