/**
 * One live call as a duplex stream, on the worker's side: bytes to the control plane and from it, each direction within the credit of its receiver.
 * Answered once, by `open` or `refuse`.
 */
import { Duplex } from "node:stream";
import { liveFrameBytesMax, type LiveUpMessage, liveWindowBytes } from "@helmr/protocol/worker";

interface LiveWire {
  send(message: LiveUpMessage): void;
  bytes(call: number, data: Uint8Array): void;
  over(call: number): void;
}

/** Credit is given back in portions, not byte by byte. */
const creditBytes = liveWindowBytes / 4;

export class LiveCut extends Error {
  override name = "LiveCut";
  readonly code = "live_cut";
}

export class LiveStream extends Duplex {
  private readonly call: number;
  private readonly wire: LiveWire;
  private credit = liveWindowBytes;
  private taken = 0;
  private onCredit: (() => void) | undefined;
  /** The other side knows that it is over. */
  private silent = false;

  constructor(call: number, wire: LiveWire) {
    super({ readableHighWaterMark: liveWindowBytes, allowHalfOpen: true });
    this.call = call;
    this.wire = wire;
    this.on("error", () => undefined);
  }

  /** The call is carried out, or its bytes follow. */
  open(result: unknown): void {
    this.wire.send({ type: "live.opened", call: this.call, ...(result === undefined ? {} : { result }) });
  }

  refuse(code: string, message: string): void {
    if (this.destroyed) return;
    this.wire.send({ type: "live.failed", call: this.call, code: code.slice(0, 64), message: message.slice(0, 4096) });
    this.silent = true;
    this.destroy();
  }

  received(data: Uint8Array): void {
    this.taken += data.length;
    this.push(Buffer.from(data));
  }

  ended(error: string | undefined): void {
    if (error === undefined) this.push(null);
    else this.destroy(new LiveCut(error));
  }

  credited(bytes: number): void {
    this.credit += bytes;
    const resume = this.onCredit;
    this.onCredit = undefined;
    resume?.();
  }

  cut(message: string): void {
    this.silent = true;
    this.destroy(new LiveCut(message));
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
    const complete = this.readableEnded && this.writableFinished;
    if (!this.silent && !complete) this.wire.send({ type: "live.close", call: this.call });
    this.wire.over(this.call);
    done(error);
  }
}
