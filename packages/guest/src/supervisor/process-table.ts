/**
 * Execs and terminals: processes that the host started beside the program (protocol/guest/processes.ts).
 *
 *   running ── its end, a timeout, the fence ──▶ clearing ──▶ ended ── process.forget ──▶ (gone)
 *
 * An ended one keeps its last message, which is said again after every hello. Each has a control group of its own; what an exec leaves
 * behind is killed with it.
 */
import { type GuestMessage, type ProcessEnded, type ProcessStart, processesMax } from "@helmr/protocol/guest";
import type { Attachment } from "./attachment.ts";
import { Deadline } from "./deadline.ts";
import { type HostLink, RequestError } from "./host-link.ts";
import type { StreamSink } from "./incoming-stream.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import { type ProcessExit, type ProcessGround, type ProcessRemains, TenantProcess } from "./tenant-process.ts";

interface Entry {
  process: TenantProcess;
  deadline: Deadline;
  cause: "timeout" | "killed" | "fenced" | undefined;
  ended: (() => void) | undefined;
}

export interface ProcessTableGround extends ProcessGround {
  link: HostLink;
}

export class ProcessTable {
  private readonly entries = new Map<number, Entry>();
  private readonly ground: ProcessTableGround;

  constructor(ground: ProcessTableGround) {
    this.ground = ground;
  }

  /** For `hello`. */
  list(): { processId: number; status: "running" | "ended" }[] {
    return [...this.entries].map(([processId, entry]) => ({ processId, status: entry.ended === undefined ? "running" : "ended" }));
  }

  async start(request: ProcessStart, attachment: Attachment): Promise<{ pid: number }> {
    if (this.entries.has(request.processId)) throw new RequestError("bad_request", `Process ${request.processId} was started before`);
    if (this.entries.size >= processesMax)
      throw new RequestError("limit", `This machine runs ${processesMax} processes beside its task already`, { retryable: true });
    const { link } = this.ground;
    const stdout = link.openOutgoing(request.streams.stdout);
    const stderr = request.streams.stderr === undefined ? undefined : link.openOutgoing(request.streams.stderr);
    const process = this.spawn(request, attachment, { stdout, stderr });
    this.feed(request, process);
    const entry: Entry = { process, deadline: new Deadline(() => this.end(entry, "timeout")), cause: undefined, ended: undefined };
    this.entries.set(request.processId, entry);
    if (request.timeoutMs !== undefined) entry.deadline.extend(request.timeoutMs);
    const pid = await process.started;
    if (pid !== undefined) {
      void this.conclude(request.processId, entry, { stdout, stderr });
      return { pid };
    }
    this.entries.delete(request.processId);
    entry.deadline.clear();
    for (const stream of [stdout, stderr]) stream?.end();
    const exit = await process.exited;
    throw new RequestError("start_failed", exit.kind === "not_started" ? exit.text : "The process could not be started");
  }

  signal(processId: number, name: string): void {
    const entry = this.running(processId);
    if (!entry.process.signal(name)) throw new RequestError("bad_request", `${name} is no signal`);
    if (name === "SIGKILL") entry.cause ??= "killed";
  }

  resize(processId: number, size: { cols: number; rows: number }): void {
    this.running(processId).process.resize(size.cols, size.rows);
  }

  forget(processId: number): void {
    if (this.entries.get(processId)?.ended !== undefined) this.entries.delete(processId);
  }

  fence(): void {
    for (const entry of this.entries.values()) if (entry.ended === undefined) this.end(entry, "fenced");
  }

  repeat(): void {
    for (const entry of this.entries.values()) entry.ended?.();
  }

  private running(processId: number): Entry {
    const entry = this.entries.get(processId);
    if (entry === undefined) throw new RequestError("not_found", `There is no process ${processId}`);
    if (entry.ended !== undefined) throw new RequestError("not_running", `Process ${processId} has ended`);
    return entry;
  }

  private spawn(request: ProcessStart, attachment: Attachment, outputs: Outputs): TenantProcess {
    try {
      return new TenantProcess(this.ground, {
        group: `exec-${request.processId}`,
        user: request.user ?? attachment.user,
        cwd: request.cwd,
        environment: attachment.environment(request.env),
        command: request.command,
        ...(request.terminal === undefined ? {} : { terminal: request.terminal }),
        network: true,
        stdin: request.streams.stdin !== undefined,
        pipes: false,
        stdout: outputs.stdout,
        ...(outputs.stderr === undefined ? {} : { stderr: outputs.stderr }),
      });
    } catch (cause) {
      outputs.stdout.end();
      outputs.stderr?.end();
      // Arguments and environment together may be too large for the kernel (E2BIG).
      throw new RequestError("start_failed", cause instanceof Error ? cause.message : String(cause), { cause });
    }
  }

  private feed(request: ProcessStart, process: TenantProcess): void {
    const { stdin } = request.streams;
    const source = stdin === undefined ? undefined : this.ground.link.takeIncoming(stdin);
    if (source === undefined) return;
    const target = process.stdin;
    if (target === undefined) return source.discard();
    const sink: StreamSink = {
      write: (data, done) => void target.write(data, () => done()),
      end: () => void target.end(),
    };
    source.attach(sink);
    void process.exited.then(() => source.discard());
  }

  private end(entry: Entry, cause: NonNullable<Entry["cause"]>): void {
    entry.cause ??= cause;
    entry.process.kill();
  }

  private async conclude(processId: number, entry: Entry, outputs: Outputs): Promise<void> {
    const exit = await entry.process.exited;
    entry.deadline.clear();
    const remains = await entry.process.gone;
    const { stdout, stderr } = outputs;
    for (const stream of [stdout, stderr]) stream?.end();
    const message: ProcessEnded & GuestMessage = {
      type: "process.ended",
      processId,
      ...exitStatus(exit),
      reason: entry.cause ?? (wasOutOfMemory(exit, remains) ? "out_of_memory" : "exited"),
      lengths: { stdout: stdout.length, stderr: stderr?.length ?? 0 },
    };
    const tell = () => this.ground.link.send(message);
    entry.ended = () => stdout.onFlushed(() => (stderr === undefined ? tell() : stderr.onFlushed(tell)));
    entry.ended();
  }
}

interface Outputs {
  stdout: OutgoingStream;
  stderr: OutgoingStream | undefined;
}

function exitStatus(exit: ProcessExit): { exitCode: number | null; signal: string | null } {
  return exit.kind === "exited" ? { exitCode: exit.code, signal: exit.signal } : { exitCode: null, signal: null };
}

function wasOutOfMemory(exit: ProcessExit, remains: ProcessRemains): boolean {
  return exit.kind === "exited" && exit.signal === "SIGKILL" && remains.memory.oomKills > 0;
}
