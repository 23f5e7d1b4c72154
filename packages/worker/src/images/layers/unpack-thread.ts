/** Thread that unpacks one image and ends: its memory is bounded apart from the worker's, and a worker that unpacks goes on serving guests. */
import { parentPort, workerData } from "node:worker_threads";
import { required } from "../../assert.ts";
import { ImageError } from "../image-error.ts";
import { unpackLayers, type UnpackInput } from "./unpack-layers.ts";

export type FromUnpackThread =
  | { ok: true; result: { entries: number; contentBytes: number } }
  | { ok: false; code: string | undefined; message: string };

const port = required(parentPort, "unpack-thread.ts runs as a worker thread only");
// The thread is ended from outside when nobody wants the image any more.
unpackLayers(workerData as UnpackInput, new AbortController().signal).then(
  (result) => port.postMessage({ ok: true, result } satisfies FromUnpackThread),
  (error: unknown) => {
    const code = error instanceof ImageError ? error.code : undefined;
    const message = error instanceof Error ? (code === undefined ? (error.stack ?? error.message) : error.message) : String(error);
    port.postMessage({ ok: false, code, message } satisfies FromUnpackThread);
  },
);
