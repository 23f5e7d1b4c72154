/**
 * The main thread's side of the chunk thread: started on first use, started again after it died. A job that was running in a thread that
 * died fails with `thread_died`; nothing it wrote counts, because files become true only when their caller renames or commits them.
 */
import { Worker } from "node:worker_threads";
import { assert } from "../assert.ts";
import { OverlayError, type OverlayErrorCode } from "../disks/overlay-format.ts";
import { type ChunkJob, type ChunkJobs, controlCancel, controlUnsent, type FromChunkThread, type ToChunkThread } from "./chunk-jobs.ts";
import type { PackFile } from "./pack-writer.ts";
import { ChunkError, type ChunkErrorCode } from "./sealing.ts";

export class ChunkThreadDied extends Error {
  override name = "ChunkThreadDied";
  readonly code = "thread_died";
}

interface Pending {
  resolve: (output: unknown) => void;
  reject: (error: Error) => void;
  onPack: JobOptions["onPack"];
  control: Int32Array;
  settle: () => void;
}

export interface JobOptions {
  signal?: AbortSignal;
  /** Called for each full pack; the job pauses while `unsentPacksMax` of these have not settled. */
  onPack?: (pack: PackFile) => Promise<void>;
  transfer?: ArrayBuffer[];
}

const heapMib = 256;

export class ChunkWorker {
  private thread: Worker | undefined;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private closed = false;

  async run<J extends ChunkJob>(job: J, input: ChunkJobs[J]["input"], options: JobOptions = {}): Promise<ChunkJobs[J]["output"]> {
    assert(!this.closed, "The chunk worker is closed");
    options.signal?.throwIfAborted();
    const thread = (this.thread ??= this.start());
    const id = this.nextId;
    this.nextId += 1;
    const control = new Int32Array(new SharedArrayBuffer(8));
    const abort = () => Atomics.store(control, controlCancel, 1);
    options.signal?.addEventListener("abort", abort, { once: true });
    const output = new Promise((resolve, reject) => {
      const settle = () => options.signal?.removeEventListener("abort", abort);
      this.pending.set(id, { resolve, reject, onPack: options.onPack, settle, control });
    });
    const message = { kind: "job", id, job, input, control } as ToChunkThread;
    thread.ref();
    thread.postMessage(message, options.transfer ?? []);
    return (await output) as ChunkJobs[J]["output"];
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.thread?.terminate();
  }

  private start(): Worker {
    const thread = new Worker(new URL("./chunk-thread.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: heapMib },
      name: "helmr-chunks",
    });
    thread.on("message", (message: FromChunkThread) => this.receive(message));
    thread.on("error", (error) => this.lost(thread, error));
    thread.on("exit", () => this.lost(thread));
    thread.unref();
    return thread;
  }

  private receive(message: FromChunkThread): void {
    const pending = this.pending.get(message.id);
    if (pending === undefined) return;
    if (message.kind === "pack") {
      const sent = () => Atomics.sub(pending.control, controlUnsent, 1);
      // Failures are the caller's: it keeps the promise it made here.
      pending.onPack?.(message.pack).then(sent, sent);
      return;
    }
    this.pending.delete(message.id);
    if (this.pending.size === 0) this.thread?.unref();
    pending.settle();
    if (message.kind === "done") pending.resolve(message.output);
    else pending.reject(revive(message.error));
  }

  private lost(thread: Worker, cause?: Error): void {
    if (this.thread === thread) this.thread = undefined;
    const pending = [...this.pending.values()];
    this.pending.clear();
    for (const job of pending) {
      job.settle();
      job.reject(new ChunkThreadDied("The chunk thread died while a job was running", { cause }));
    }
  }
}

/** Errors lose their class on the way; the expected ones get it back. */
function revive(error: { name: string; code?: string; message: string; stack?: string }): Error {
  if (error.name === "ChunkError") return new ChunkError(error.code as ChunkErrorCode, error.message);
  if (error.name === "OverlayError") return new OverlayError(error.code as OverlayErrorCode, error.message);
  if (error.name === "AbortError") return new DOMException(error.message, "AbortError");
  return Object.assign(new FailedJob(error.message, { cause: error }), { code: error.code });
}

/** Anything else that failed in the thread: system errors (with their code, such as ENOSPC) and bugs. */
class FailedJob extends Error {
  override name = "FailedJob";
}
