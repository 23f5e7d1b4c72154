/**
 * DNS over TCP: what a guest's connection to port 53 of any address leads to. One question at a time, answered by the guest's resolver.
 * Bounds: questions that wait are at most one window of the channel; a stream that says nothing for `dnsTcpIdleMs` is closed.
 */
import { dnsMessageBytesMax, networkDataBytesMax, networkWindowBytes } from "@helmr/protocol/guest";
import type { FarEnd, GuestConnection } from "./guest-connection.ts";
import { withLength } from "./dns-upstream.ts";
import type { GuestResolver } from "./guest-resolver.ts";
import { networkLimits } from "./limits.ts";

/** The length before a message has 16 bits, and one credit window must hold it. */
const answerBytesMax = 65_000;

export class DnsStream implements FarEnd {
  private readonly guest: GuestConnection;
  private readonly resolver: GuestResolver;
  private readonly onDone: () => void;
  private asked: Buffer = Buffer.alloc(0);
  private unsent: Buffer | null = null;
  private busy = false;
  private guestEnded = false;
  private done = false;
  private timer: NodeJS.Timeout;

  constructor(guest: GuestConnection, resolver: GuestResolver, onDone: () => void) {
    this.guest = guest;
    this.resolver = resolver;
    this.onDone = onDone;
    this.timer = setTimeout(() => this.drop(), networkLimits.dnsTcpIdleMs);
    guest.attach(this);
  }

  start(): void {
    this.guest.opened();
  }

  data(piece: Buffer): void {
    if (this.done) return;
    if (this.asked.length + piece.length > networkWindowBytes) {
      this.drop();
      return;
    }
    this.asked = Buffer.concat([this.asked, piece]);
    this.guest.taken(piece.length);
    this.next();
  }

  end(): void {
    this.guestEnded = true;
    this.next();
  }

  reset(): void {
    this.finish();
  }

  resume(): void {
    if (this.unsent) this.send(this.unsent);
  }

  pause(): void {}
  settle(): void {}

  private next(): void {
    if (this.busy || this.unsent || this.done) return;
    const length = this.asked.length < 2 ? 0 : this.asked.readUInt16BE(0);
    if (length > dnsMessageBytesMax) {
      this.drop();
      return;
    }
    if (this.asked.length < 2 + length) {
      if (this.guestEnded) {
        this.guest.end();
        this.finish();
      }
      return;
    }
    const message = this.asked.subarray(2, 2 + length);
    this.asked = Buffer.from(this.asked.subarray(2 + length));
    this.busy = true;
    void this.answer(message);
  }

  private async answer(message: Buffer): Promise<void> {
    const answer = await this.resolver.answer(message, answerBytesMax);
    this.busy = false;
    if (this.done) return;
    this.timer.refresh();
    if (answer) this.send(withLength(answer));
    else this.drop();
  }

  private send(bytes: Buffer): void {
    this.unsent = bytes;
    if (this.guest.sendable < bytes.length) return;
    for (let at = 0; at < bytes.length; at += networkDataBytesMax) this.guest.send(bytes.subarray(at, at + networkDataBytesMax));
    this.unsent = null;
    this.next();
  }

  private drop(): void {
    this.guest.reset();
    this.finish();
  }

  private finish(): void {
    if (this.done) return;
    this.done = true;
    clearTimeout(this.timer);
    this.asked = Buffer.alloc(0);
    this.unsent = null;
    this.onDone();
  }
}
