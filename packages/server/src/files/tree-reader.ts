/**
 * Reads trees of stored versions: the main thread's side of file-thread.ts. It hands requests over, serves the thread with bytes of objects, and ends a
 * thread that does not answer.
 *
 *   idle ──first request──▶ running ──no pong in time, out of memory, exit──▶ idle (its requests fail as unavailable; the next starts another thread)
 *
 * It owns no state that matters: everything is read from immutable objects.
 */
import { Worker } from "node:worker_threads";
import { Bug } from "../assert.ts";
import type { BlobStore } from "../blobs/port.ts";
import { fileLimits } from "./file-limits.ts";
import type { FileRequest, FileRequests, FromFileThread, ToFileThread, TreeProblem } from "./file-requests.ts";

export interface TreeReader {
  ask<R extends FileRequest>(request: R, input: FileRequests[R]["input"]): Promise<FileRequests[R]["output"] | TreeProblem>;
  close(): Promise<void>;
}

interface Pending {
  settle(value: unknown): void;
  fail(error: Error): void;
  timer: NodeJS.Timeout;
}

export interface TreeReaderOptions {
  blobs: Pick<BlobStore, "get">;
  /** Told when a thread ended that should not have. */
  onThreadLost?: (error: Error) => void;
  /** For tests. */
  limits?: Partial<Record<"requestMs" | "pingEveryMs" | "pingMs" | "requestsMax" | "waitingMax", number>>;
  threadUrl?: URL;
}

const unavailable = (message: string): TreeProblem => ({ problem: "unavailable", message });

export function isTreeProblem(value: unknown): value is TreeProblem {
  return typeof value === "object" && value !== null && "problem" in value && "message" in value;
}

export function openTreeReader(options: TreeReaderOptions): TreeReader {
  return new ThreadedReader(options);
}

class ThreadedReader implements TreeReader {
  private readonly options: TreeReaderOptions;
  private readonly limits: Required<NonNullable<TreeReaderOptions["limits"]>>;
  private thread: Worker | undefined;
  private watch: NodeJS.Timeout | undefined;
  private lastHeard = 0;
  private count = 0;
  private readonly pending = new Map<number, Pending>();
  /** Requests in the thread, and those that wait for a place. */
  private active = 0;
  private readonly waiting: (() => void)[] = [];
  private closed = false;

  constructor(options: TreeReaderOptions) {
    this.options = options;
    this.limits = { ...fileLimits, ...options.limits };
  }

  async ask<R extends FileRequest>(request: R, input: FileRequests[R]["input"]): Promise<FileRequests[R]["output"] | TreeProblem> {
    if (this.active >= this.limits.requestsMax) {
      if (this.waiting.length >= this.limits.waitingMax) return unavailable("too many requests read files of versions right now");
      // Whoever ends hands its place over: it stays taken.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else this.active += 1;
    try {
      return this.closed ? unavailable("the server is stopping") : await this.request(request, input);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.active -= 1;
      else next();
    }
  }

  private async request<R extends FileRequest>(
    request: R,
    input: FileRequests[R]["input"],
  ): Promise<FileRequests[R]["output"] | TreeProblem> {
    const thread = (this.thread ??= this.start());
    this.count += 1;
    const id = this.count;
    const answer = new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(
        () => this.settle(id, (pending) => pending.settle(unavailable("reading took too long"))),
        this.limits.requestMs,
      );
      this.pending.set(id, { settle: resolve, fail: reject, timer });
    });
    thread.ref();
    thread.postMessage({ kind: "ask", id, request, input }, []);
    return (await answer) as FileRequests[R]["output"] | TreeProblem;
  }

  async close(): Promise<void> {
    this.closed = true;
    const { thread } = this;
    this.forget("the server is stopping");
    await thread?.terminate();
  }

  private start(): Worker {
    const url = this.options.threadUrl ?? new URL("./file-thread.ts", import.meta.url);
    const thread = new Worker(url, { name: "helmr-files", resourceLimits: { maxOldGenerationSizeMb: fileLimits.threadHeapMib } });
    thread.on("message", (message: FromFileThread) => this.receive(thread, message));
    thread.on("error", (error) => this.lost(thread, error));
    thread.on("exit", () => this.lost(thread, new ThreadLost("The file thread ended")));
    thread.unref();
    this.lastHeard = performance.now();
    this.watch = setInterval(() => this.look(thread), this.limits.pingEveryMs).unref();
    return thread;
  }

  /** Only while something is asked: an idle thread is left alone. */
  private look(thread: Worker): void {
    if (this.pending.size === 0) {
      this.lastHeard = performance.now();
      return;
    }
    if (performance.now() - this.lastHeard > this.limits.pingMs) {
      this.lost(thread, new ThreadLost(`The file thread did not answer for ${this.limits.pingMs} ms`));
      void thread.terminate();
      return;
    }
    thread.postMessage({ kind: "ping", id: 0 } satisfies ToFileThread, []);
  }

  private receive(thread: Worker, message: FromFileThread): void {
    if (thread !== this.thread) return;
    this.lastHeard = performance.now();
    switch (message.kind) {
      case "answer":
        return this.settle(message.id, (pending) => pending.settle(message.value));
      case "problem":
        return this.settle(message.id, (pending) => pending.settle(message.problem));
      case "fault":
        return this.settle(message.id, (pending) => pending.fail(new Bug(`The file thread failed: ${message.stack ?? message.message}`)));
      case "fetch":
        void this.serve(thread, message);
        return undefined;
      default:
        return undefined;
    }
  }

  private settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    this.pending.delete(id);
    clearTimeout(pending.timer);
    how(pending);
    if (this.pending.size === 0) this.thread?.unref();
  }

  private async serve(thread: Worker, { id, objectKey, range }: Extract<FromFileThread, { kind: "fetch" }>): Promise<void> {
    const result = await this.fetch(objectKey, range);
    const transfer = "bytes" in result ? [result.bytes.buffer as ArrayBuffer] : [];
    thread.postMessage({ kind: "fetched", id, result } satisfies ToFileThread, transfer);
  }

  private async fetch(
    objectKey: string,
    range: { start: number; end: number } | undefined,
  ): Promise<Extract<ToFileThread, { kind: "fetched" }>["result"]> {
    try {
      const found = await this.options.blobs.get(objectKey, range && { start: range.start, endExclusive: range.end });
      if (!found) return { failed: "missing", message: `object ${objectKey} is missing` };
      const parts: Buffer[] = [];
      for await (const part of found.bytes as AsyncIterable<Buffer>) parts.push(part);
      // Memory of its own: it is handed over.
      const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
      }
      return { bytes };
    } catch (error) {
      return {
        failed: "unavailable",
        message: `the blob store does not answer: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  private lost(thread: Worker, error: Error): void {
    if (thread !== this.thread) return;
    if (!this.closed) this.options.onThreadLost?.(error);
    this.forget("the reader of versions had to be started again; repeat the request");
  }

  private forget(why: string): void {
    clearInterval(this.watch);
    this.thread = undefined;
    for (const id of this.pending.keys()) this.settle(id, (pending) => pending.settle(unavailable(why)));
  }
}

class ThreadLost extends Error {
  override name = "ThreadLost";
}
