/**
 * Everything that goes to the host, in this order: control messages, then stream bytes, one frame per stream in turn. One write is under
 * way at a time and carries at most one bytes frame, so a control message waits behind at most `frameDataBytes` whatever a task writes.
 *
 * Without a connection control messages are dropped (state is told again after the next hello) and streams stand still.
 */
import { bytesFrameHeader, encodeMessage, type GuestMessage } from "@helmr/protocol/guest";
import { guestLimits } from "./limits.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { Waiters } from "./waiters.ts";

/** One write; `done` is called once, also when the connection failed meanwhile. */
export type WireWriter = (parts: Uint8Array[], done: () => void) => void;

export class Outbox {
  private control: Uint8Array[] = [];
  private controlBytes = 0;
  /** Streams that have something to send, in turn. */
  private readonly ready = new Set<OutgoingStream>();
  private writer: WireWriter | undefined;
  private writing = false;
  /** Messages that wait for `release`; undefined while nothing is held. */
  private held: Uint8Array[] | undefined;
  private readonly space = new Waiters();
  private readonly idle = new Waiters();

  send(message: GuestMessage): void {
    if (this.writer === undefined) return;
    const frame = encodeMessage(message);
    this.controlBytes += frame.length;
    (this.held ?? this.control).push(frame);
    this.pump();
  }

  /** From here on nothing is sent that was not queued before, and no stream bytes: the machine is about to be cut. */
  hold(): void {
    this.held ??= [];
  }

  release(): void {
    const { held } = this;
    this.held = undefined;
    if (held !== undefined) this.control.push(...held);
    this.pump();
  }

  /** A stream says that it has bytes or an end to send. */
  wake(stream: OutgoingStream): void {
    this.ready.add(stream);
    this.pump();
  }

  get hasSpace(): boolean {
    return this.controlBytes < guestLimits.controlQueueBytes;
  }

  onSpace(callback: () => void): void {
    if (this.hasSpace) callback();
    else this.space.add(callback);
  }

  /** Once nothing is queued and nothing is being written. */
  onIdle(callback: () => void): void {
    if (!this.writing && this.control.length === 0 && this.ready.size === 0) callback();
    else this.idle.add(callback);
  }

  /** `greeting` goes before everything else. */
  connect(writer: WireWriter, greeting: GuestMessage): void {
    this.writer = writer;
    this.writing = false;
    // Also from a machine that is parked: whoever takes it over must hear that it is.
    const frame = encodeMessage(greeting);
    this.controlBytes += frame.length;
    this.control.push(frame);
    this.pump();
  }

  disconnect(writer: WireWriter): void {
    if (this.writer !== writer) return;
    this.writer = undefined;
    this.writing = false;
    this.control = [];
    if (this.held !== undefined) this.held = [];
    this.controlBytes = 0;
    this.space.release();
  }

  private pump(): void {
    const { writer } = this;
    if (this.writing || writer === undefined) return;
    const parts = this.control.length > 0 ? this.takeControl() : this.held === undefined ? this.takeBytes() : undefined;
    if (parts === undefined) {
      this.idle.release();
      return;
    }
    this.writing = true;
    writer(parts, () => {
      if (this.writer !== writer) return;
      this.writing = false;
      if (this.hasSpace) this.space.release();
      this.pump();
    });
  }

  private takeControl(): Uint8Array[] {
    const frames = this.control;
    this.control = [];
    this.controlBytes = (this.held ?? []).reduce((sum, frame) => sum + frame.length, 0);
    return frames;
  }

  private takeBytes(): Uint8Array[] | undefined {
    for (const stream of this.ready) {
      this.ready.delete(stream);
      const next = stream.take(guestLimits.frameDataBytes);
      if (next !== undefined) {
        this.ready.add(stream);
        return [bytesFrameHeader(stream.id, next.offset, next.data.length), next.data];
      }
      const final = stream.takeFinal();
      if (final !== undefined) return [encodeMessage({ type: "stream.end", stream: stream.id, ...final })];
    }
    return undefined;
  }
}
