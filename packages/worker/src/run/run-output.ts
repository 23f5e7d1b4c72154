/**
 * From the guest's three output streams to the spool: secret values are masked before anything is stored, and the guest is
 * told what it may forget once it is on this host's disk. A line may be held back while its end could still become a secret value; then the
 * guest keeps those bytes too.
 */
import { guestStreams } from "@helmr/protocol/guest";
import { type Masker, type MaskingStream } from "@helmr/protocol/shared";
import type { GuestLink } from "../guest/guest-link.ts";
import type { Spool } from "./spool.ts";
import { type LogStreamName, logStreams, type StreamOffsets } from "./spool-records.ts";

/** The guest may send a whole window; it is told at the latest when half of it came. */
const ackBytes = 65_536;

export class RunOutput {
  private readonly spool: Spool;
  private readonly channels: OutputChannel[];
  private link: GuestLink | undefined;
  private acked: StreamOffsets;

  constructor(spool: Spool, masker: Masker) {
    this.spool = spool;
    this.acked = spool.taken;
    this.channels = logStreams.map(
      (name, index) => new OutputChannel(name, { spool, masking: masker.openStream(), from: this.acked[index] as number }),
    );
  }

  /** From here on the guest's streams come in. */
  attach(link: GuestLink): void {
    this.link = link;
    for (const channel of this.channels) link.receiveStream(guestStreams[channel.name], channel, channel.received);
  }

  /** The spool has written: what lies below these offsets is safe. */
  written(taken: StreamOffsets): void {
    for (const [index, channel] of this.channels.entries()) {
      const offset = taken[index] as number;
      const before = this.acked[index] as number;
      const due = offset - before >= ackBytes || offset === channel.received;
      if (offset <= before || !due) continue;
      this.acked[index] = offset;
      this.link?.acknowledge(guestStreams[channel.name], offset);
    }
  }

  /** Bytes of the guest's streams that have come, stdout, stderr and logger. */
  get received(): StreamOffsets {
    return this.channels.map((channel) => channel.received) as StreamOffsets;
  }

  /** Resolves when all three streams have come to these lengths. */
  async complete(lengths: Record<LogStreamName, number>): Promise<void> {
    await Promise.all(this.channels.map((channel) => channel.until(lengths[channel.name])));
  }

  /** Nothing more will come: what is held back goes out. */
  finish(): void {
    for (const channel of this.channels) channel.finish();
  }

  /** An entry of the worker's own, such as why it takes a while. */
  say(message: string): void {
    const entry = { level: "info", message, at: new Date().toISOString() };
    this.spool.appendLog("logger", Buffer.from(`${JSON.stringify(entry)}\n`));
  }
}

class OutputChannel {
  readonly name: LogStreamName;
  /** Bytes of the guest's stream that have come. */
  received: number;
  private readonly spool: Spool;
  private readonly masking: MaskingStream;
  private finished = false;
  private waiting: { length: number; resolve: () => void }[] = [];

  constructor(name: LogStreamName, parts: { spool: Spool; masking: MaskingStream; from: number }) {
    this.name = name;
    this.spool = parts.spool;
    this.masking = parts.masking;
    this.received = parts.from;
  }

  data(data: Uint8Array): void {
    this.received += data.length;
    this.append(this.masking.push(data), this.received - this.masking.held);
    this.notify();
  }

  end(): void {
    this.finish();
    this.notify();
  }

  finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.append(this.masking.end(), this.received);
  }

  until(length: number): Promise<void> {
    if (this.received >= length) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ length, resolve }));
  }

  /** `data` may be a view into a frame: it is copied before this turn of the event loop is over. */
  private append(data: Uint8Array, guestOffset: number): void {
    if (data.length === 0) return;
    this.spool.appendLog(this.name, new Uint8Array(data), guestOffset);
  }

  private notify(): void {
    const ready = this.waiting.filter((one) => one.length <= this.received);
    this.waiting = this.waiting.filter((one) => one.length > this.received);
    for (const one of ready) one.resolve();
  }
}
