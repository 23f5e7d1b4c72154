/**
 * Execs, terminals and build steps: processes beside the program.
 *
 *   1. host → guest `process.start`    streams are chosen by the host (byte-streams.ts)
 *   2. guest → host `ok {pid}`, or `error` with `start_failed`
 *   3. bytes on stdin (host → guest; `stream.end` closes it), stdout, stderr (guest → host; a terminal has no stderr)
 *   4. host → guest `process.signal`, `process.resize`
 *   5. guest → host `stream.end` for the outputs, then `process.ended`; said again after every `hello` until
 *   6. host → guest `process.forget`
 *
 * At most `processesMax` at a time; one that has ended counts until it is forgotten. When the process ends everything it left behind is killed: what should outlive an exec belongs to another exec.
 */
import * as z from "zod";
import { streamId } from "./byte-streams.ts";
import { milliseconds, requestId, text } from "./handshake.ts";

/** Chosen by the host, unique in this machine's life. */
const processId = z.number().int().positive();
const cells = z.number().int().min(1).max(500);

export const processStart = z.object({
  type: z.literal("process.start"),
  id: requestId,
  processId,
  command: z.array(text(131_072)).min(1).max(4096),
  /** Absolute in the task root; it must exist. */
  cwd: text(4096),
  /** Added to the image's environment and the defaults of sdk §8.2. */
  env: z.record(z.string(), z.string()),
  /** Default: the image's user. */
  user: text(256).optional(),
  terminal: z.object({ cols: cells, rows: cells }).optional(),
  streams: z.object({ stdin: streamId.optional(), stdout: streamId, stderr: streamId.optional() }),
  timeoutMs: milliseconds.optional(),
});
export type ProcessStart = z.output<typeof processStart>;
export const processStartResult = z.object({ pid: z.number().int() });

/** `SIGTERM` and the like, to every process of the exec's group; `SIGKILL` reaches all it started. */
export const processSignal = z.object({
  type: z.literal("process.signal"),
  id: requestId,
  processId,
  signal: z.string().regex(/^SIG[A-Z0-9]{2,8}$/),
});
export const processResize = z.object({
  type: z.literal("process.resize"),
  id: requestId,
  processId,
  cols: cells,
  rows: cells,
});
export const processForget = z.object({ type: z.literal("process.forget"), processId });

export const processEnded = z.object({
  type: z.literal("process.ended"),
  processId,
  exitCode: z.number().int().nullable(),
  signal: text(16).nullable(),
  /** Why, when it was not the process itself. */
  reason: z.enum(["exited", "timeout", "out_of_memory", "killed", "fenced"]),
  lengths: z.object({ stdout: z.number().int(), stderr: z.number().int() }),
});
export type ProcessEnded = z.output<typeof processEnded>;
