/**
 * The worker's end of the live path (protocol/worker/live.ts): what comes over the channel is given to the lease it is about, and what leases have to say
 * goes out over it. It outlives connections: while there is none, reports wait, and every lease says again what was not answered.
 *
 *   away ──channel open──▶ connected ──channel closed──▶ away     (open reports fail with ChannelAway, live calls end)
 */
import {
  type ChannelMessage,
  type ExecAnswer,
  type ExecReport,
  type LiveUpMessage,
  liveFrame,
  readLiveFrame,
} from "@helmr/protocol/worker";
import { pause } from "../host/pause.ts";
import { LiveStream } from "./live-stream.ts";

export type LiveOpen = Extract<ChannelMessage, { type: "live.open" }>;
export type ExecInput = Extract<ChannelMessage, { type: "exec.input" }>;

/** What can send over the present connection. */
export interface LiveSender {
  text(message: LiveUpMessage): void;
  bytes(frame: Uint8Array): void;
}

/** The workspace of one lease. */
export interface LiveLease {
  input(message: ExecInput): void;
  open(message: LiveOpen, stream: LiveStream): void;
  /** Connected again. */
  resync(): void;
}

export class ChannelAway extends Error {
  override name = "ChannelAway";
  readonly code = "channel_away";
}

interface Waiting {
  resolve: (answer: ExecAnswer) => void;
  reject: (error: Error) => void;
}

/** The channel may be open for no server that answers. */
const answerMs = 30_000;

export class LiveDesk {
  private readonly leases = new Map<string, LiveLease>();
  private readonly calls = new Map<number, LiveStream>();
  private readonly reports = new Map<number, Waiting>();
  private sender: LiveSender | undefined;
  private arrived: (() => void)[] = [];
  private nextReport = 0;

  /** Until the returned function is called. */
  register(leaseId: string, lease: LiveLease): () => void {
    this.leases.set(leaseId, lease);
    return () => {
      if (this.leases.get(leaseId) === lease) this.leases.delete(leaseId);
    };
  }

  connected(sender: LiveSender): void {
    this.sender = sender;
    const arrived = this.arrived;
    this.arrived = [];
    for (const go of arrived) go();
    for (const lease of this.leases.values()) lease.resync();
  }

  disconnected(): void {
    this.sender = undefined;
    for (const { reject } of this.reports.values()) reject(new ChannelAway("The channel was closed before the answer came"));
    this.reports.clear();
    for (const stream of this.calls.values()) stream.cut("the channel was closed");
  }

  receive(message: ChannelMessage): void {
    switch (message.type) {
      case "answer":
        return this.answered(message.id)?.resolve(message.answer);
      case "exec.input":
        return this.leases.get(message.lease_id)?.input(message);
      case "live.open":
        return this.open(message);
      case "live.end":
        return this.calls.get(message.call)?.ended(message.error);
      case "live.credit":
        return this.calls.get(message.call)?.credited(message.bytes);
      case "live.close":
        return this.calls.get(message.call)?.cut("the caller gave up");
      default:
        // Directives and the like are not of the live path.
        return undefined;
    }
  }

  received(frame: Uint8Array): void {
    const read = readLiveFrame(frame);
    if (read) this.calls.get(read.call)?.received(read.data);
  }

  /** Said until it is answered, over however many connections; `undefined` when `signal` was aborted first. */
  async report(report: ExecReport, signal: AbortSignal): Promise<ExecAnswer | undefined> {
    while (!signal.aborted) {
      try {
        return await this.once(report);
      } catch (error) {
        if (!(error instanceof ChannelAway)) throw error;
        await this.present(signal);
      }
    }
    return undefined;
  }

  private once(report: ExecReport): Promise<ExecAnswer> {
    const { sender } = this;
    if (sender === undefined) return Promise.reject(new ChannelAway("There is no channel"));
    this.nextReport += 1;
    const id = this.nextReport;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.answered(id)?.reject(new ChannelAway(`No answer within ${answerMs} ms`)), answerMs);
      this.reports.set(id, {
        resolve: (answer) => (clearTimeout(timer), resolve(answer)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
      sender.text({ type: "report", id, report });
    });
  }

  private async present(signal: AbortSignal): Promise<void> {
    // A connection that has just failed may still be taken for one.
    if (this.sender !== undefined) return pause(100, signal);
    if (signal.aborted) return undefined;
    await new Promise<void>((resolve) => {
      this.arrived.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  private answered(id: number): Waiting | undefined {
    const waiting = this.reports.get(id);
    this.reports.delete(id);
    return waiting;
  }

  private open(message: LiveOpen): void {
    const { call } = message;
    const stream = new LiveStream(call, {
      send: (up) => this.sender?.text(up),
      bytes: (id, data) => this.sender?.bytes(liveFrame(id, data)),
      over: (id) => this.calls.delete(id),
    });
    this.calls.set(call, stream);
    const lease = this.leases.get(message.lease_id);
    if (lease === undefined) stream.refuse("not_found", "The workspace is not mounted here any more");
    else lease.open(message, stream);
  }
}
