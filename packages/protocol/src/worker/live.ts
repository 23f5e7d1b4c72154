/**
 * What travels on the worker's channel beside directives: reports of execs and terminals, their input, live files and connections to ports.
 * Text frames are JSON, binary frames are `call:u32be` and bytes of that live call.
 *
 *   execs    worker → control plane  `report`, answered by `answer` with the same id, in order per exec; one that was not answered before the
 *                                    channel broke is said again: started, ended and every byte of output are accepted once
 *            control plane → worker  `exec.input`: bytes of stdin or of a terminal with their offset. A repeat is dropped, a gap asked for
 *                                    (`report` of kind `input`)
 *   live     control plane → worker  `live.open`; bytes in both directions, each within the credit of its receiver (`liveWindowBytes` at the
 *                                    start, more with `live.credit`), each half ended by `live.end`; `live.close` gives up at once
 *            worker → control plane  `live.opened` with the facts or the result, or `live.failed`
 *
 * A broken channel ends every live call. Nothing here is the truth: execs and their bytes are in the store, live calls are over with their request.
 */
import * as z from "zod";
import { type fileOperation, portOpenRequest } from "../guest/files.ts";
import { processStart } from "../guest/processes.ts";

const id = z.uuid();
const count = z.number().int().nonnegative();

export const liveWindowBytes = 262_144;
/** One binary frame without its header. */
export const liveFrameBytesMax = 65_536;
export const liveHeaderBytes = 4;

/** A process that should run in the mount of a lease; said until it has ended. Every part of it is safe to repeat. */
export const processOrder = z.object({
  type: z.literal("process"),
  lease_id: id,
  exec_id: id,
  /** Of the process in its machine's life: the ids of its streams follow from it. */
  number: z.number().int().min(1).max(1_000_000),
  command: processStart.shape.command,
  cwd: z.string(),
  env: processStart.shape.env,
  timeout_ms: count.optional(),
  /** A terminal of this size. */
  terminal: z.object({ cols: z.number().int(), rows: z.number().int() }).optional(),
  /** It was reported as started: it is never started again. */
  started: z.boolean(),
  input: z.object({ length: count, closed: z.boolean() }),
  /** The last signal that was asked for; `seq` tells a repeat from another one. */
  signal: z.object({ seq: z.number().int().positive(), name: z.string() }).optional(),
  /** TERM, and KILL after a moment. */
  closing: z.boolean(),
});
export type ProcessOrder = z.output<typeof processOrder>;

export const execReport = z.object({
  lease_id: id,
  fence: count,
  exec_id: id,
  report: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("started"), process_id: z.string().max(64) }),
    z.object({ kind: z.literal("start_failed"), message: z.string().max(4096) }),
    z.object({ kind: z.literal("output"), stream: z.enum(["stdout", "stderr"]), offset: count, data: z.base64() }),
    /** Input from this offset on is wanted; null: from where the process was known to have taken it. */
    z.object({ kind: z.literal("input"), from: count.nullable() }),
    z.object({ kind: z.literal("delivered"), offset: count }),
    z.object({
      kind: z.literal("ended"),
      exit_code: z.number().int().nullable(),
      signal: z.string().max(16).nullable(),
      reason: z.enum(["exited", "timeout", "out_of_memory", "killed", "fenced", "stopped"]),
      stdout: count,
      stderr: count,
    }),
  ]),
});
export type ExecReport = z.output<typeof execReport>;

export const execAnswer = z.discriminatedUnion("state", [
  /** `offset`: how far the stream has come; of `input`, where the bytes that follow begin. */
  z.object({ state: z.literal("ok"), offset: count.optional() }),
  z.object({ state: z.literal("gap"), expected: count }),
  /** The exec has ended, or the lease is not held any more: nothing more is said about it. */
  z.object({ state: z.literal("stale") }),
]);
export type ExecAnswer = z.output<typeof execAnswer>;

const call = z.number().int().min(1).max(0xffff_ffff);

/** A file operation without the stream it goes by: the worker chooses that. */
type WithoutStream<T> = T extends { stream: number } ? Omit<T, "stream"> : T;
export type LiveFileOperation = WithoutStream<z.output<typeof fileOperation>>;

export const liveRequest = z.discriminatedUnion("kind", [
  /** Checked by the guest's own schema once it has its stream. */
  z.object({ kind: z.literal("file"), operation: z.custom<LiveFileOperation>((value) => typeof value === "object" && value !== null) }),
  z.object({ kind: z.literal("port"), port: portOpenRequest.shape.port }),
  /** The tree as it is now becomes this version; answered with `liveCaptureResult` once that is committed (mounts.ts). */
  z.object({ kind: z.literal("capture"), version_id: id, message: z.string().max(1_000).nullable() }),
]);
export type LiveRequest = z.output<typeof liveRequest>;

export const liveCaptureResult = z.discriminatedUnion("state", [
  /** `pause_ms`: how long writers stood still; `stored_bytes`: what was uploaded. */
  z.object({ state: z.literal("captured"), version_id: id, pause_ms: z.number().nonnegative(), stored_bytes: count }),
  /** Nothing was written since the head. */
  z.object({ state: z.literal("unchanged") }),
]);
export type LiveCaptureResult = z.output<typeof liveCaptureResult>;

const liveEnd = z.object({ type: z.literal("live.end"), call, error: z.string().max(4096).optional() });
const liveCredit = z.object({ type: z.literal("live.credit"), call, bytes: z.number().int().positive() });
const liveClose = z.object({ type: z.literal("live.close"), call });

/** Control plane → worker. */
export const liveDownMessages = [
  z.object({ type: z.literal("answer"), id: count, answer: execAnswer }),
  z.object({ type: z.literal("exec.input"), lease_id: id, exec_id: id, offset: count, data: z.base64(), closed: z.boolean() }),
  z.object({ type: z.literal("live.open"), call, lease_id: id, request: liveRequest }),
  liveEnd,
  liveCredit,
  liveClose,
] as const;

/** Worker → control plane. */
export const liveUpMessage = z.discriminatedUnion("type", [
  z.object({ type: z.literal("report"), id: count, report: execReport }),
  z.object({ type: z.literal("live.opened"), call, result: z.unknown().optional() }),
  z.object({ type: z.literal("live.failed"), call, code: z.string().max(64), message: z.string().max(4096) }),
  liveEnd,
  liveCredit,
  liveClose,
]);
export type LiveUpMessage = z.output<typeof liveUpMessage>;

export function liveFrame(call: number, data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(liveHeaderBytes + data.length);
  new DataView(frame.buffer).setUint32(0, call);
  frame.set(data, liveHeaderBytes);
  return frame;
}

export function readLiveFrame(frame: Uint8Array): { call: number; data: Uint8Array } | undefined {
  if (frame.length <= liveHeaderBytes) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return { call: view.getUint32(0), data: frame.subarray(liveHeaderBytes) };
}
