/**
 * One exec or terminal in a machine of this worker, from its order to the answer to its end.
 *
 *   starting ──▶ running ──process.ended──▶ ending ──its end was taken──▶ over
 *      └─ refused by the guest ─────────────────┘
 *
 * Bytes of output are acknowledged to the guest only when the control plane has them: what this process of the worker holds can be lost. So nothing is
 * spooled here, and a process that writes faster than it is taken waits.
 */
import { type ProcessEnded, processStartResult } from "@helmr/protocol/guest";
import type { ExecAnswer, ExecReport, ProcessOrder } from "@helmr/protocol/worker";
import { GuestRefused } from "../guest/guest-link.ts";
import type { HeldLease } from "../control/held-lease.ts";
import type { GuestLink } from "../guest/guest-link.ts";
import { pause } from "../host/pause.ts";
import { errorText } from "../telemetry.ts";
import type { EarlyStreams } from "./early-streams.ts";
import { InputFeed } from "./input-feed.ts";
import type { ExecInput, LiveDesk } from "./live-desk.ts";

export interface ExecGround {
  desk: LiveDesk;
  held: HeldLease;
  link: GuestLink;
  early: EarlyStreams;
  /** Aborted when nothing more is said: the lease is lost or the machine is gone. */
  silenced: AbortSignal;
  /** The workspace is being unmounted. */
  stopping: () => boolean;
  /** Runs in the machine already. */
  known: (number: number) => boolean;
  onFault: (error: unknown) => void;
}

type Said = ExecReport["report"];
type OutputName = "stdout" | "stderr";

const times = { startMs: 30_000, requestMs: 20_000, closeMs: 2_000, deliveredMs: 1_000 } as const;
const reportBytes = 192 * 1024;
const firstExecStream = 0x1000_0000;

export const execStreams = (number: number) => ({
  stdin: firstExecStream + number * 4,
  stdout: firstExecStream + number * 4 + 1,
  stderr: firstExecStream + number * 4 + 2,
});
/** Streams of live calls come from elsewhere. */
export const isExecStream = (id: number): boolean => id >= firstExecStream && id < 2 * firstExecStream;

export class ExecProcess {
  readonly number: number;
  readonly over: Promise<void>;
  private readonly ground: ExecGround;
  private order: ProcessOrder;
  private readonly outputs: Record<OutputName, OutputPump>;
  private feed: InputFeed | undefined;
  private asking = false;
  private running = false;
  /** Its start was told. */
  private settled = false;
  private ended: ProcessEnded | undefined;
  private signalled = 0;
  private closing = false;
  private size: ProcessOrder["terminal"];
  private delivered = 0;
  private telling: NodeJS.Timeout | undefined;
  private finish: () => void = () => {};

  constructor(ground: ExecGround, order: ProcessOrder) {
    this.ground = ground;
    this.order = order;
    this.number = order.number;
    this.size = order.terminal;
    this.over = new Promise((resolve) => {
      this.finish = resolve;
    });
    const ids = execStreams(order.number);
    const pump = (name: OutputName) =>
      new OutputPump(ground, ids[name], (offset, data) => this.report({ kind: "output", stream: name, offset, data }));
    this.outputs = { stdout: pump("stdout"), stderr: pump("stderr") };
  }

  /** Never rejects. */
  async start(): Promise<void> {
    try {
      const adopted = this.order.started || this.ground.known(this.number);
      if (adopted) await this.takeOver();
      else await this.begin();
    } catch (error) {
      this.ground.onFault(error);
      this.finish();
    }
  }

  private async begin(): Promise<void> {
    const { link } = this.ground;
    const { command, cwd, env, terminal, timeout_ms: timeoutMs } = this.order;
    const { stdin, stdout, stderr } = execStreams(this.number);
    this.outputs.stdout.listen(0);
    if (terminal === undefined) this.outputs.stderr.listen(0);
    const streams = { stdin, stdout, ...(terminal === undefined ? { stderr } : {}) };
    let pid: string;
    try {
      const result = await link.request(
        {
          type: "process.start",
          processId: this.number,
          command,
          cwd,
          env,
          ...(terminal === undefined ? {} : { terminal }),
          streams,
          ...(timeoutMs === undefined ? {} : { timeoutMs }),
        },
        times.startMs,
      );
      pid = String(processStartResult.parse(result).pid);
    } catch (error) {
      const message = error instanceof GuestRefused ? error.message : `The machine did not start it: ${errorText(error)}`;
      await this.report({ kind: "start_failed", message: message.slice(0, 4096) });
      return this.finish();
    }
    this.running = true;
    this.openInput(0);
    // Not waited for: the control plane takes reports of one exec in their order.
    void this.report({ kind: "started", process_id: pid });
    this.settled = true;
    this.look();
    // It may have been quicker than its own start.
    if (this.ended !== undefined) void this.conclude(this.ended);
  }

  /** An earlier process of this worker started it. */
  private async takeOver(): Promise<void> {
    this.outputs.stdout.listen(undefined);
    if (this.order.terminal === undefined) this.outputs.stderr.listen(undefined);
    this.running = true;
    if (!this.order.started) await this.report({ kind: "started", process_id: "" });
    const answer = await this.report({ kind: "input", from: null });
    this.openInput(answer?.state === "ok" ? (answer.offset ?? 0) : 0);
    this.settled = true;
    this.look();
    if (this.ended !== undefined) void this.conclude(this.ended);
  }

  direct(order: ProcessOrder): void {
    this.order = order;
    this.look();
  }

  input(message: ExecInput): void {
    if (this.feed === undefined) return;
    const data = Buffer.from(message.data, "base64");
    if (!this.feed.push(message.offset, data)) void this.askInput();
    this.closeInput();
  }

  /** The channel is back: what was pushed meanwhile is lost. */
  resync(): void {
    void this.askInput();
  }

  processEnded(ended: ProcessEnded): void {
    if (this.ended !== undefined) return;
    this.ended = ended;
    if (this.settled) void this.conclude(ended);
  }

  /** TERM, and KILL after a moment. */
  async terminate(): Promise<void> {
    if (!this.running || this.ended !== undefined || this.closing) return;
    this.closing = true;
    this.send("SIGHUP");
    this.send("SIGTERM");
    // Who was stopped hears neither.
    this.send("SIGCONT");
    await Promise.race([pause(times.closeMs, this.ground.silenced), this.over]);
    if (this.ended === undefined) this.send("SIGKILL");
  }

  private look(): void {
    const { order } = this;
    if (!this.running || this.ended !== undefined) return;
    if (order.signal !== undefined && order.signal.seq > this.signalled) {
      this.signalled = order.signal.seq;
      this.send(order.signal.name);
    }
    const { terminal } = order;
    if (terminal !== undefined && (terminal.cols !== this.size?.cols || terminal.rows !== this.size.rows)) {
      this.size = terminal;
      this.ask({ type: "process.resize", processId: this.number, cols: terminal.cols, rows: terminal.rows });
    }
    if (order.closing) void this.terminate();
    if (this.feed !== undefined && order.input.length > this.feed.have) void this.askInput();
    this.closeInput();
  }

  private send(signal: string): void {
    this.ask({ type: "process.signal", processId: this.number, signal });
  }

  /** A process that has ended meanwhile needs no signal and has no size. */
  private ask(request: Parameters<GuestLink["request"]>[0]): void {
    this.ground.link.request(request, times.requestMs).catch(() => undefined);
  }

  private openInput(from: number): void {
    const feed = new InputFeed(from);
    this.feed = feed;
    this.delivered = from;
    const onTaken = (offset: number) => this.tellDelivered(offset);
    void this.ground.link.sendStream(execStreams(this.number).stdin, feed, { from, onTaken }).catch(() => undefined);
    if (this.order.input.length > from) void this.askInput();
    this.closeInput();
  }

  private closeInput(): void {
    const { closed, length } = this.order.input;
    if (closed && this.feed !== undefined && this.feed.have >= length) this.feed.end();
  }

  private async askInput(): Promise<void> {
    if (this.feed === undefined || this.asking || this.ended !== undefined) return;
    this.asking = true;
    await this.report({ kind: "input", from: this.feed.have });
    this.asking = false;
  }

  /** Where another process of this worker would go on; not with every keystroke. */
  private tellDelivered(offset: number): void {
    this.delivered = offset;
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      if (this.ended === undefined) void this.report({ kind: "delivered", offset: this.delivered });
    }, times.deliveredMs).unref();
  }

  private async conclude(ended: ProcessEnded): Promise<void> {
    clearTimeout(this.telling);
    this.feed?.end();
    const { lengths } = ended;
    await Promise.race([
      Promise.all([this.outputs.stdout.until(lengths.stdout), this.outputs.stderr.until(lengths.stderr)]),
      pause(times.startMs, this.ground.silenced),
    ]);
    const ours = this.ground.stopping() && ended.reason !== "timeout" && (ended.signal !== null || this.closing);
    await this.report({
      kind: "ended",
      exit_code: ended.exitCode,
      signal: ended.signal,
      reason: ours ? "stopped" : ended.reason,
      stdout: lengths.stdout,
      stderr: lengths.stderr,
    });
    this.ground.link.notify({ type: "process.forget", processId: this.number });
    this.outputs.stdout.drop();
    this.outputs.stderr.drop();
    this.finish();
  }

  private async report(report: Said): Promise<ExecAnswer | undefined> {
    const { desk, held, silenced } = this.ground;
    return desk.report({ ...held.fenced, exec_id: this.order.exec_id, report }, silenced);
  }
}

/** One output: what came meanwhile goes with the next report; at most the guest's window is held. */
class OutputPump {
  private readonly ground: ExecGround;
  private readonly id: number;
  private readonly report: (offset: number, data: string) => Promise<ExecAnswer | undefined>;
  private waiting: Buffer[] = [];
  /** Behind what was received, and behind what the control plane has. */
  private received = 0;
  private taken = 0;
  private pumping = false;
  private targets: { length: number; resolve: () => void }[] = [];

  constructor(ground: ExecGround, id: number, report: OutputPump["report"]) {
    this.ground = ground;
    this.id = id;
    this.report = report;
  }

  /** `from` undefined: an earlier process has listened; the guest says again what that one did not acknowledge. */
  listen(from: number | undefined): void {
    const { link, early } = this.ground;
    const sink = {
      begins: (offset: number) => {
        this.received = offset;
        this.taken = offset;
      },
      data: (data: Uint8Array) => this.take(data),
      end: () => undefined,
    };
    if (from === undefined) early.claim(this.id, sink);
    else link.receiveStream(this.id, sink, from);
  }

  drop(): void {
    this.ground.link.dropStream(this.id);
  }

  /** Resolves when the control plane has so much. */
  until(length: number): Promise<void> {
    if (this.taken >= length || this.received < length) return Promise.resolve();
    return new Promise((resolve) => {
      this.targets.push({ length, resolve });
    });
  }

  private take(data: Uint8Array): void {
    this.waiting.push(Buffer.from(data));
    this.received += data.length;
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.waiting.length > 0) {
        const data = this.next();
        const answer = await this.report(this.taken, data.toString("base64"));
        if (answer === undefined || answer.state === "gap") return;
        // An exec that is over takes no more: the guest need not wait for it.
        this.taken += data.length;
        this.ground.link.acknowledge(this.id, this.taken);
        this.settle();
      }
    } finally {
      this.pumping = false;
    }
  }

  private next(): Buffer {
    const parts: Buffer[] = [];
    let bytes = 0;
    while (this.waiting.length > 0 && bytes < reportBytes) {
      const part = this.waiting.shift() as Buffer;
      parts.push(part);
      bytes += part.length;
    }
    return Buffer.concat(parts);
  }

  private settle(): void {
    for (const target of this.targets) if (this.taken >= target.length) target.resolve();
    this.targets = this.targets.filter((target) => this.taken < target.length);
  }
}
