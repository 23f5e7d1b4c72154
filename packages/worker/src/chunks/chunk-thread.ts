/**
 * The thread that hashes, compresses, seals, opens and verifies, so that the main thread stays free for logs, leases and guests. Jobs run
 * side by side in turns of `turnMs`: a small capture does not wait behind a large one. It does no network I/O and keeps nothing but the
 * chunk index and open loads.
 */
import { parentPort } from "node:worker_threads";
import { assert, required } from "../assert.ts";
import { differMemory, patchMemory } from "../checkpoints/memory-difference.ts";
import { openBlockSource } from "../disks/block-source.ts";
import { ChunkIndex } from "./chunk-index.ts";
import {
  type ChunkJob,
  type ChunkJobs,
  controlCancel,
  controlUnsent,
  type FromChunkThread,
  type ToChunkThread,
  unsentPacksMax,
} from "./chunk-jobs.ts";
import { BlockLoading, verifyBlocks } from "./load-blocks.ts";
import { patchBase } from "./patch-base.ts";
import { sealManifest } from "./sealing.ts";
import { storeBlocks } from "./store-blocks.ts";

const turnMs = 8;
const waitMs = 10;

const port = required(parentPort, "chunk-thread.ts runs as a worker thread only");
const index = new ChunkIndex();
const loads = new Map<number, BlockLoading>();
let loadCount = 0;

class Cancelled extends Error {
  override name = "AbortError";
}

interface Turn {
  id: number;
  control: Int32Array;
  checkpoint: () => Promise<void> | undefined;
}

type Runner<J extends ChunkJob> = (input: ChunkJobs[J]["input"], turn: Turn) => Promise<ChunkJobs[J]["output"]> | ChunkJobs[J]["output"];

const runners: { [J in ChunkJob]: Runner<J> } = {
  store: async (input, turn) => {
    const source = openBlockSource(input.source);
    try {
      const stored = await storeBlocks({
        ...input,
        source,
        index,
        checkpoint: turn.checkpoint,
        onPack: (pack) => {
          Atomics.add(turn.control, controlUnsent, 1);
          send({ kind: "pack", id: turn.id, pack });
        },
      });
      return { ...stored, sealedManifest: sealManifest(input.keys, input.artifactId, stored.manifest) };
    } finally {
      source.close();
    }
  },
  learn: (input) => index.learn(input.orgId, input.manifest),
  loadOpen: (input) => {
    loadCount += 1;
    loads.set(loadCount, new BlockLoading(input.path, input.manifest, input.keys));
    return loadCount;
  },
  loadRange: (input) => loading(input.handle).write(input.range, input.bytes),
  loadZero: (input) => loading(input.handle).zero(input.indexes),
  loadClose: (input) => {
    loading(input.handle).close();
    loads.delete(input.handle);
  },
  verify: (input, turn) => verifyBlocks(input, turn.checkpoint),
  patch: (input, turn) => patchBase(input, turn.checkpoint),
  differ: (input, turn) => differMemory(input, turn.checkpoint),
  patchMemory: (input, turn) => patchMemory(input, turn.checkpoint),
};

function loading(handle: number): BlockLoading {
  return required(loads.get(handle), `No load has the handle ${handle}`);
}

function send(message: FromChunkThread): void {
  port.postMessage(message);
}

function turns(control: Int32Array): () => Promise<void> | undefined {
  let ends = performance.now() + turnMs;
  const nextTurn = async () => {
    do await new Promise((resolve) => (unsent(control) ? setTimeout(resolve, waitMs) : setImmediate(resolve)));
    while (unsent(control) && !cancelled(control));
    ends = performance.now() + turnMs;
  };
  return () => {
    if (cancelled(control)) throw new Cancelled("The job was cancelled");
    if (performance.now() < ends && !unsent(control)) return undefined;
    return nextTurn();
  };
}

function cancelled(control: Int32Array): boolean {
  return Atomics.load(control, controlCancel) !== 0;
}

function unsent(control: Int32Array): boolean {
  return Atomics.load(control, controlUnsent) >= unsentPacksMax;
}

async function run(message: ToChunkThread): Promise<void> {
  const { id } = message;
  try {
    const runner = runners[message.job] as Runner<ChunkJob>;
    const output = await runner(message.input, { id, control: message.control, checkpoint: turns(message.control) });
    send({ kind: "done", id, output });
  } catch (error) {
    assert(error instanceof Error, "Only errors are thrown");
    const { name, message: text, stack } = error;
    const code = (error as { code?: unknown }).code;
    send({ kind: "failed", id, error: { name, message: text, stack, ...(typeof code === "string" ? { code } : {}) } });
  }
}

port.on("message", (message: ToChunkThread) => {
  void run(message);
});
