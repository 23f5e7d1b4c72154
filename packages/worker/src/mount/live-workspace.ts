/**
 * What runs and is looked at in the machine of one lease, a mount's or a run's: execs, terminals, live files, ports. The lease gives it its directives and
 * ends it; it does not choose when the machine goes.
 *
 *   open ──stop──▶ stopping (processes are ended and say so) ──▶ closed
 *      └────────────────── silence ──────────────────────────▶ closed   (the lease is lost or the machine is gone: nothing more is said)
 */
import type { HelloMessage } from "@helmr/protocol/guest";
import type { Directive, ProcessOrder } from "@helmr/protocol/worker";
import type { HeldLease } from "../control/held-lease.ts";
import type { StoredDisk } from "../disks/layered-disk.ts";
import type { GuestLink } from "../guest/guest-link.ts";
import { pause } from "../host/pause.ts";
import { EarlyStreams } from "./early-streams.ts";
import { type ExecGround, ExecProcess, isExecStream } from "./exec-process.ts";
import { serveLiveCall } from "./live-calls.ts";
import type { ExecInput, LiveDesk, LiveLease, LiveOpen } from "./live-desk.ts";
import { type CaptureGround, CaptureRefused, type CaptureRequest, LiveCapture } from "./live-capture.ts";
import type { LiveStream } from "./live-stream.ts";
import { errorText } from "../telemetry.ts";

export interface LiveWorkspaceOptions {
  desk: LiveDesk;
  held: HeldLease;
  link: GuestLink;
  onFault: (error: unknown) => void;
}

const endMs = 10_000;
/** Streams of live calls: above those of execs, at a place that an earlier process of this worker has not been. */
const firstCallStream = 0x4000_0000;

export class LiveWorkspace implements LiveLease {
  private readonly options: LiveWorkspaceOptions;
  private readonly execs = new Map<string, ExecProcess>();
  private readonly running = new Set<ExecProcess>();
  private readonly early: EarlyStreams;
  private readonly silence = new AbortController();
  private readonly unregister: () => void;
  private known = new Set<number>();
  private endedEarly = new Map<number, Parameters<ExecProcess["processEnded"]>[0]>();
  private stopping = false;
  private nextStream = firstCallStream + (Date.now() % 0x4000_0000);
  /** Something may have been written since the last version: a process was started, or a file changed. */
  written = false;
  private calls = 0;
  private capturesOpen = 0;
  private captures: LiveCapture | undefined;

  constructor(options: LiveWorkspaceOptions) {
    this.options = options;
    const { desk, held, link } = options;
    this.early = new EarlyStreams(link);
    link.on("process.ended", (ended) => {
      const exec = [...this.execs.values()].find((one) => one.number === ended.processId);
      if (exec) exec.processEnded(ended);
      else this.endedEarly.set(ended.processId, ended);
    });
    this.unregister = desk.register(held.id, this);
    held.lost.addEventListener("abort", () => this.silenceNow(), { once: true });
    void link.closed.then(() => this.silenceNow());
  }

  /** Processes that run now; a machine with some is not to be frozen for long. */
  get active(): number {
    return this.running.size;
  }

  /** Before a machine that was taken over says what it has; `hello` is what it said then. */
  expectAdopted(hello: Promise<HelloMessage>): void {
    this.written = true;
    this.early.keep(isExecStream);
    void hello.then(
      ({ state }) => {
        this.known = new Set(state.processes.map((process) => process.processId));
      },
      () => undefined,
    );
  }

  /** Versions can be made of it. `alwaysWrites`: something else in the machine may write at any time, such as a program. */
  makesVersions(ground: Omit<CaptureGround, "takeWritten" | "putWrittenBack">, { alwaysWrites }: { alwaysWrites: () => boolean }): void {
    this.captures = new LiveCapture({
      ...ground,
      takeWritten: ({ programEnded }) => {
        const program = !programEnded && alwaysWrites();
        const written = this.written || program;
        this.written = this.running.size > 0 || this.calls > 0 || program;
        return written;
      },
      putWrittenBack: () => {
        this.written = true;
      },
    });
  }

  /** The tree as it is now, of a program that has ended; `keep` makes this version of it, and rejects when it was not made. */
  async captureAs(versionId: string, keep: (tree: StoredDisk) => Promise<void>): Promise<void> {
    if (this.captures === undefined) throw new CaptureRefused("ending", "The machine is not ready yet");
    this.capturesOpen += 1;
    try {
      await this.captures.tree(versionId, keep);
    } finally {
      this.capturesOpen -= 1;
    }
  }

  /** A machine of which a version is being made is not to be frozen. */
  get capturing(): boolean {
    return this.capturesOpen > 0;
  }

  direct(directive: Directive): void {
    if (directive.type !== "process" || this.silence.signal.aborted) return;
    const known = this.execs.get(directive.exec_id);
    if (known) known.direct(directive);
    else if (!this.stopping) this.begin(directive);
  }

  input(message: ExecInput): void {
    this.execs.get(message.exec_id)?.input(message);
  }

  open(message: LiveOpen, stream: LiveStream): void {
    const { link } = this.options;
    const { request } = message;
    if (this.stopping) return stream.refuse("not_found", "The workspace is being unmounted");
    if (request.kind === "capture") return void this.capture(request, stream);
    if (request.kind === "port" || !["list", "stat", "read", "download"].includes(request.operation.kind)) this.written = true;
    this.calls += 1;
    void serveLiveCall({ link, streamId: () => this.streamId() }, request, stream).finally(() => {
      this.calls -= 1;
    });
  }

  resync(): void {
    for (const exec of this.execs.values()) exec.resync();
  }

  /** Ends what runs and waits until the control plane knows it; bounded. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.unregister();
    await this.captures?.stop();
    const execs = [...this.running];
    for (const exec of execs) void exec.terminate();
    if (execs.length > 0) await Promise.race([Promise.all(execs.map((exec) => exec.over)), pause(endMs, this.silence.signal)]);
    this.silenceNow();
  }

  private begin(order: ProcessOrder): void {
    const { desk, held, link, onFault } = this.options;
    const ground: ExecGround = {
      desk,
      held,
      link,
      early: this.early,
      silenced: this.silence.signal,
      stopping: () => this.stopping,
      known: (number) => this.known.has(number),
      onFault,
    };
    const exec = new ExecProcess(ground, order);
    this.execs.set(order.exec_id, exec);
    this.running.add(exec);
    this.written = true;
    const ended = this.endedEarly.get(order.number);
    if (ended) exec.processEnded(ended);
    void exec.start();
    void exec.over.then(() => {
      this.running.delete(exec);
      // A directive that was on its way must not start it again.
      setTimeout(() => this.execs.get(order.exec_id) === exec && this.execs.delete(order.exec_id), forgetMs).unref();
    });
  }

  private async capture(request: CaptureRequest, stream: LiveStream): Promise<void> {
    if (this.captures === undefined) return stream.refuse("ending", "The machine is not ready yet");
    this.capturesOpen += 1;
    try {
      stream.open(await this.captures.capture(request));
      stream.end();
    } catch (error) {
      if (!(error instanceof CaptureRefused)) this.options.onFault(error);
      stream.refuse(error instanceof CaptureRefused ? error.code : "failed", errorText(error).slice(0, 1_000));
    } finally {
      this.capturesOpen -= 1;
    }
  }

  private streamId(): number {
    this.nextStream = this.nextStream >= 0xffff_ff00 ? firstCallStream : this.nextStream + 1;
    return this.nextStream;
  }

  private silenceNow(): void {
    this.unregister();
    this.silence.abort();
  }
}

const forgetMs = 60_000;
