/** Unpacks an image in a thread (unpack-thread.ts), and ends the thread when it is aborted or dies. */
import { rm } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { ImageError, type ImageErrorCode } from "../image-error.ts";
import type { FromUnpackThread } from "./unpack-thread.ts";
import type { Unpacked, UnpackInput } from "./unpack-layers.ts";

/** About 500 bytes for each file and directory of an image. */
const heapMib = 768;

export class UnpackFailed extends Error {
  override name = "UnpackFailed";
}

export async function unpackImage(input: UnpackInput, signal: AbortSignal): Promise<Unpacked> {
  signal.throwIfAborted();
  const thread = new Worker(new URL("./unpack-thread.ts", import.meta.url), {
    workerData: input,
    resourceLimits: { maxOldGenerationSizeMb: heapMib },
    name: "helmr-unpack",
  });
  const abort = () => void thread.terminate();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const answer = await new Promise<FromUnpackThread>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === "ERR_WORKER_OUT_OF_MEMORY"
            ? new ImageError("image_too_large", "The image has more files and directories than there is memory to unpack it")
            : new UnpackFailed(`Unpacking died: ${cause.message}`, { cause }),
        ),
      );
      thread.once("exit", () => reject(signal.aborted ? (signal.reason as Error) : new UnpackFailed("Unpacking ended without a result")));
    });
    if (answer.ok) return answer.result;
    throw answer.code === undefined ? new UnpackFailed(answer.message) : new ImageError(answer.code as ImageErrorCode, answer.message);
  } catch (error) {
    await rm(input.target, { force: true });
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    await thread.terminate();
  }
}
