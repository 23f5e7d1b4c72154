/**
 * The exchange for a run, after `attach`:
 *
 *   1. host  → guest `run.start`     secrets and payload travel here and nowhere else. It may be sent right behind `attach`, without
 *                                    waiting for the answer; the guest takes requests in order.
 *   2. guest → host  `ok`            secrets are placed and the program is being started
 *   3. guest → host  `run.started`   the module is loaded, `run()` is about to be called
 *   4. guest → host  bytes on streams 1..3, `program.call` (program-calls.ts)
 *   5. host  → guest `run.cancel`    zero or more times; a later one with `force` does not wait for the grace to end
 *   6. guest → host  `stream.end` for streams 1..3, then `run.ended`; it is said again after every `hello`
 *
 * A program that cannot be started is not an `error` answer but a `run.ended` with `start_failed`. The guest enforces `activeMs` and the
 * lease beside the worker. Active time excludes the time while at least one `wait` call of the program is open.
 */
import * as z from "zod";
import { milliseconds, requestId, text, usage } from "./handshake.ts";

export const secretPlacement = z.union([
  z.object({ name: text(128), env: text(1024), value: text(1_000_000) }),
  z.object({
    name: text(128),
    file: text(4096),
    mode: text(8).optional(),
    owner: text(256).optional(),
    value: text(1_000_000),
  }),
  z.object({
    name: text(128),
    dir: text(4096),
    mode: text(8).optional(),
    owner: text(256).optional(),
    value: text(1_000_000),
  }),
]);
export type SecretPlacement = z.output<typeof secretPlacement>;

export const runStartRequest = z.object({
  type: z.literal("run.start"),
  id: requestId,
  run: z.object({
    id: text(64),
    attemptId: text(64),
    attemptNumber: z.number().int().positive(),
    leaseId: text(64),
    sessionId: text(64),
    taskId: text(128),
  }),
  /** Compiled module below /opt/helmr-task and the export that holds the task. */
  module: text(4096),
  exportName: text(1024),
  payload: z.unknown(),
  secrets: z.array(secretPlacement).max(256),
  /** Active time that is left. */
  activeMs: milliseconds,
});
export type RunStartRequest = z.output<typeof runStartRequest>;

export const runCancelRequest = z.object({
  type: z.literal("run.cancel"),
  id: requestId,
  force: z.boolean(),
  reason: text(4096),
  /** How long the task may go on after its signal was aborted; unused with force. */
  graceMs: milliseconds,
});

export const runStarted = z.object({
  type: z.literal("run.started"),
  attemptId: text(64),
  nodeVersion: text(64),
  /** Guest-monotonic milliseconds since `run.start` arrived: process made, its Node booted, module loaded. */
  spawnedMs: z.number(),
  bootedMs: z.number(),
  loadedMs: z.number(),
});

export const runEndReason = z.enum([
  "returned", // run() returned
  "threw", // run() threw or rejected, or the program exited with a non-zero code of its own
  "exited", // the program called process.exit(0) before run() returned
  "stalled", // nothing was left that could make run() return: the program's event loop was empty
  "signalled", // killed by a signal nobody here sent
  "out_of_memory", // killed by the guest kernel, or the heap limit of the program
  "disk_full", // the program failed and its disk is full
  "timeout", // active time is used up
  "cancelled", // run.cancel
  "lease_expired", // the guest fenced itself
  "start_failed", // the program could not be started: `message` says why
]);
export type RunEndReason = z.output<typeof runEndReason>;

/** What failed, finer than `reason`; the worker passes it on. */
export const runFailureDetail = z.enum([
  "secret_placement",
  "node_missing",
  "node_too_old",
  "module_missing",
  "dependency_missing",
  "module_failed", // the module threw while it was loaded
  "payload_invalid",
  "output_invalid",
  "program_protocol", // the program broke the rules of its pipe
]);

export const runEnded = z.object({
  type: z.literal("run.ended"),
  attemptId: text(64),
  reason: runEndReason,
  exitCode: z.number().int().nullable(),
  signal: text(16).nullable(),
  /** http §7.4 failure kinds that only the guest can tell; absent: `task_failed`, or what the reason says. */
  failureKind: z
    .enum(["task_failed", "task_not_found", "missing_config", "task_parse_failed", "duplicate_task_id", "worker_failed"])
    .optional(),
  detail: runFailureDetail.optional(),
  message: text(65_536).optional(),
  /** Only with `returned`; absent when run() returned undefined. */
  output: z.object({ json: z.string().max(300_000) }).optional(),
  /** Guest-monotonic time the program ran, waits excluded. */
  activeMs: milliseconds,
  /** Lengths of streams 1..3, so that the host knows when it has everything. */
  streams: z.object({
    stdout: z.number().int(),
    stderr: z.number().int(),
    logger: z.number().int(),
  }),
  usage,
});
export type RunEnded = z.output<typeof runEnded>;
