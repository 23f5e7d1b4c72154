/**
 * QEMU's machine protocol: one JSON object per line. After the greeting only `qmp_capabilities` is allowed; then commands carry an id that
 * comes back with the answer, and events arrive at any time.
 *
 *   greeting → negotiated → closed       (the monitor went away, broke the protocol, or close() was called)
 *
 * A command that is not answered in time fails as `monitor_unresponsive`; the caller then kills the monitor, so no answer is ever mixed up.
 */
import type { Duplex } from "node:stream";
import { vmLimits } from "../limits.ts";
import { VmError } from "../driver.ts";

export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

/** A refusal of the monitor, in its words. */
export class QmpError extends Error {
  override name = "QmpError";
  readonly kind: string;
  constructor(command: string, kind: string, text: string) {
    super(`${command}: ${text}`);
    this.kind = kind;
  }
}

interface Pending {
  command: string;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

interface Reply {
  QMP?: unknown;
  id?: number;
  return?: unknown;
  error?: { class?: string; desc?: string };
  event?: string;
  data?: Record<string, unknown>;
}

const greetingId = 0;

export class Qmp {
  private readonly stream: Duplex;
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Set<(event: QmpEvent) => void>();
  private nextId = 1;
  private partial = "";
  private ended: Error | undefined;
  /** Resolves when nothing more will come. */
  readonly closed: Promise<void>;

  private constructor(stream: Duplex) {
    this.stream = stream;
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => this.receive(text));
    this.closed = new Promise((resolve) => {
      stream.on("error", () => stream.destroy());
      stream.on("close", () => {
        this.fail(new VmError("monitor_died", "The monitor closed its control connection"));
        resolve();
      });
    });
  }

  /** Takes over a fresh connection: waits for the greeting and leaves negotiation. */
  static async open(stream: Duplex, timeoutMs: number = vmLimits.monitorAnswerMs): Promise<Qmp> {
    const qmp = new Qmp(stream);
    await qmp.expect(greetingId, "greeting", timeoutMs);
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  execute(command: string, args?: Record<string, unknown>, timeoutMs: number = vmLimits.monitorAnswerMs): Promise<unknown> {
    const id = this.nextId;
    this.nextId += 1;
    const answer = this.expect(id, command, timeoutMs);
    if (!this.ended) this.stream.write(`${JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id })}\n`);
    return answer;
  }

  /** Returns how to stop listening. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  close(): void {
    this.stream.destroy();
  }

  private expect(id: number, command: string, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.ended);
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new VmError("monitor_unresponsive", `The monitor did not answer ${command} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.pending.set(id, { command, resolve, reject, timer });
    });
  }

  private receive(text: string): void {
    this.partial += text;
    if (this.partial.length > vmLimits.monitorLineBytesMax) {
      this.stream.destroy();
      return;
    }
    for (let end = this.partial.indexOf("\n"); end >= 0; end = this.partial.indexOf("\n")) {
      const line = this.partial.slice(0, end).trim();
      this.partial = this.partial.slice(end + 1);
      if (line !== "") this.receiveLine(line);
    }
  }

  private receiveLine(line: string): void {
    let reply: Reply;
    try {
      reply = JSON.parse(line) as Reply;
    } catch {
      // Not its protocol any more.
      this.stream.destroy();
      return;
    }
    if (reply.event !== undefined) {
      const event = { event: reply.event, data: reply.data ?? {} };
      for (const listener of this.listeners) listener(event);
      return;
    }
    const id = reply.QMP === undefined ? reply.id : greetingId;
    const waiting = id === undefined ? undefined : this.pending.get(id);
    if (id === undefined || !waiting) return;
    this.pending.delete(id);
    clearTimeout(waiting.timer);
    if (reply.error) waiting.reject(new QmpError(waiting.command, reply.error.class ?? "Error", reply.error.desc ?? "no reason given"));
    else waiting.resolve(reply.return);
  }

  private fail(error: Error): void {
    this.ended ??= error;
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.pending.clear();
  }
}
