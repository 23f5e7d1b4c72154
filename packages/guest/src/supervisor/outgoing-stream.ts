/**
 * A byte stream to the host. Keeps what the host has not acknowledged, so that it can be sent again after a reconnect, and never more than
 * the window: `hasRoom` false means that the source must not be read any further until `onRoom` is called.
 *
 *   0 ── acked ── sent ── written          acked: safe with the host · sent: in frames · written: taken from the source
 *
 * Ends once: by `end` of the source, or by `stop` of the host, which drops what is kept and everything that is still written.
 */
import { streamWindowBytes } from "@helmr/protocol/guest";
import { Waiters } from "./waiters.ts";

/** Small chunks are collected in buffers of this size, so that a task that writes byte by byte costs no object per byte. */
const slabBytes = 16_384;
const smallBytes = 2_048;

export interface StreamFinal {
  length: number;
  error?: string;
}

export class OutgoingStream {
  readonly id: number;
  private kept: Uint8Array[] = [];
  /** Behind the last kept chunk, while it still grows. */
  private slab: { buffer: Uint8Array; used: number; from: number } | undefined;
  private acked = 0;
  private sent = 0;
  private written = 0;
  private stopped = false;
  private final: StreamFinal | undefined;
  private finalSent = false;
  private readonly wake: (stream: OutgoingStream) => void;
  private readonly room = new Waiters();
  private readonly flush = new Waiters();

  constructor(id: number, wake: (stream: OutgoingStream) => void) {
    this.id = id;
    this.wake = wake;
  }

  get length(): number {
    return this.written;
  }

  get hasRoom(): boolean {
    return this.stopped || this.written - this.acked < streamWindowBytes;
  }

  /** The host has everything, the end included. */
  get settled(): boolean {
    return this.acked === this.written && (this.final === undefined || this.finalSent);
  }

  get finished(): boolean {
    return this.final !== undefined && this.settled;
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  /** The source must hand over a buffer that it does not use again. */
  write(data: Uint8Array): void {
    if (data.length === 0 || this.final !== undefined || this.stopped) return;
    this.keep(data);
    this.written += data.length;
    this.wake(this);
  }

  end(error?: string): void {
    if (this.final !== undefined) return;
    this.final = { length: this.written, ...(error === undefined ? {} : { error }) };
    this.wake(this);
  }

  /** Called once there is room, at once when there is. */
  onRoom(callback: () => void): void {
    if (this.hasRoom) callback();
    else this.room.add(callback);
  }

  /** Called once everything up to the end is in frames, at once when it is. */
  onFlushed(callback: () => void): void {
    if (this.final !== undefined && this.finalSent) callback();
    else this.flush.add(callback);
  }

  acknowledge(offset: number): void {
    if (offset <= this.acked || offset > this.sent) return;
    this.drop(offset - this.acked);
    this.acked = offset;
    this.releaseRoom();
    if (this.finished) this.wake(this);
  }

  /** The host wants no more of it. */
  stop(): void {
    this.stopped = true;
    this.kept = [];
    this.slab = undefined;
    this.acked = this.written;
    this.sent = this.written;
    this.end();
    this.releaseRoom();
  }

  /** The connection is a new one: everything unacknowledged is sent again. */
  rewind(): void {
    this.sent = this.acked;
    this.finalSent = false;
    if (this.written > this.acked || this.final !== undefined) this.wake(this);
  }

  /** The next bytes to send, at most `bytesMax`; undefined when all were sent. */
  take(bytesMax: number): { offset: number; data: Uint8Array } | undefined {
    if (this.sent === this.written) return undefined;
    const offset = this.sent;
    let skip = this.sent - this.acked;
    const parts: Uint8Array[] = [];
    let size = 0;
    for (const chunk of this.kept) {
      if (skip >= chunk.length) {
        skip -= chunk.length;
        continue;
      }
      const part = chunk.subarray(skip, skip + bytesMax - size);
      skip = 0;
      parts.push(part);
      size += part.length;
      if (size === bytesMax) break;
    }
    this.sent += size;
    return { offset, data: parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts, size) };
  }

  /** The end, once it is due: all bytes are in frames before it. */
  takeFinal(): StreamFinal | undefined {
    if (this.final === undefined || this.finalSent || this.sent < this.written) return undefined;
    this.finalSent = true;
    if (this.finished) this.wake(this);
    queueMicrotask(() => this.flush.release());
    return this.final;
  }

  private keep(data: Uint8Array): void {
    if (data.length >= smallBytes) {
      this.slab = undefined;
      this.kept.push(data);
      return;
    }
    const { slab } = this;
    if (slab !== undefined && slab.used + data.length <= slab.buffer.length) {
      slab.buffer.set(data, slab.used);
      slab.used += data.length;
      this.kept[this.kept.length - 1] = slab.buffer.subarray(slab.from, slab.used);
      return;
    }
    const buffer = new Uint8Array(slabBytes);
    buffer.set(data);
    this.slab = { buffer, used: data.length, from: 0 };
    this.kept.push(buffer.subarray(0, data.length));
  }

  private drop(count: number): void {
    let left = count;
    let whole = 0;
    for (const chunk of this.kept) {
      if (chunk.length > left) break;
      left -= chunk.length;
      whole += 1;
    }
    this.kept.splice(0, whole);
    if (this.kept.length === 0) this.slab = undefined;
    if (left === 0) return;
    this.kept[0] = (this.kept[0] as Uint8Array).subarray(left);
    if (this.kept.length === 1 && this.slab !== undefined) this.slab.from += left;
  }

  private releaseRoom(): void {
    if (this.hasRoom) this.room.release();
  }
}
