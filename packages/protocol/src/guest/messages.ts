/**
 * Messages between the worker (host) and the supervisor (guest), protocol version 1.
 *
 * The exchange for a run:
 *   1. guest → host  `hello`            as soon as the supervisor listens, and again after every reconnect of the host
 *   2. host  → guest `attach`           first request after a restore: clock, entropy, identity, lease, disks, environment
 *   3. host  → guest `run.start`        secrets and payload travel here and nowhere else
 *   4. guest → host  bytes (stdout, stderr, logger streams), `program.call` (waits, tokens, streams, metadata)
 *   5. guest → host  `run.ended`
 *   6. host  → guest `sync`, then the machine is stopped
 * Parking: host → guest `park.prepare` (program frozen, file systems synced), the host snapshots; after a restore host → guest `attach`
 * with `resumed: true`, then `wait.resolve`.
 *
 * A request carries `id`; its answer is `ok` or `error` with the same id. Everything else is a notification. Fatal: a frame that does not
 * parse, a message that does not validate, a `hello` with another protocol number. Retryable: an `error` answer whose `retryable` is true.
 * What the guest sends is validated with these schemas by the worker; the guest trusts the host.
 */
import * as z from "zod";
import { guestProtocolVersion } from "../shared/versions.ts";

const id = z.number().int().nonnegative();
const ms = z.number().int().nonnegative();
const text = (max: number) => z.string().max(max);

/** Fixed stream ids. Execs and terminals allocate theirs from `firstDynamicStream` (host decides). */
export const guestStreams = { stdout: 1, stderr: 2, logger: 3, buildLog: 4 } as const;
export const firstDynamicStream = 16;

/** Time, randomness and identity: sent after every restore, before any user code runs. */
export const clockAndEntropy = z.object({
  /** Wall clock of the host in microseconds since 1970, taken just before sending. */
  unixUs: z.number().int().positive(),
  /** 64 random bytes, base64. */
  entropy: z.base64(),
});

export const attachRequest = z.object({
  type: z.literal("attach"),
  id,
  resumed: z.boolean(),
  clock: clockAndEntropy,
  hostname: text(63),
  /** Milliseconds of guest-monotonic time until the guest fences itself. */
  leaseMs: ms,
  /** Absent on resume: disks are mounted already. Names are the driver's disk slots. */
  disks: z
    .object({
      scratch: z.enum(["format", "ready"]),
      workspace: z.object({ path: text(4096), state: z.enum(["format", "ready"]), sizeBytes: z.number().int().positive() }).nullable(),
      task: z.boolean(),
    })
    .optional(),
  /** Inherited OCI configuration of the image (sdk §2.2). */
  image: z.object({ env: z.record(text(4096), text(131_072)), workdir: text(4096), user: text(256) }),
  /** Set for every process that runs for a tenant here: registry and CA of the install, for example. */
  environment: z.record(text(4096), text(131_072)),
  /** PEM certificates added to the image's trust store paths, by the operator. */
  extraCa: z.string().max(1_000_000).optional(),
  network: z.object({ enabled: z.boolean() }),
});

export const secretPlacement = z.union([
  z.object({ name: z.string(), env: z.string(), value: z.string() }),
  z.object({ name: z.string(), file: z.string(), mode: z.string().optional(), owner: z.string().optional(), value: z.string() }),
  z.object({ name: z.string(), dir: z.string(), mode: z.string().optional(), owner: z.string().optional(), value: z.string() }),
]);

export const runStartRequest = z.object({
  type: z.literal("run.start"),
  id,
  run: z.object({ id: z.string(), attemptId: z.string(), attemptNumber: z.number(), leaseId: z.string(), sessionId: z.string(), taskId: z.string() }),
  /** Compiled module below /opt/helmr-task and the export that holds the task. */
  module: z.string(),
  exportName: z.string(),
  payload: z.unknown(),
  secrets: z.array(secretPlacement),
  /** Active time that is left; the guest enforces it beside the worker. */
  activeMs: ms,
});

export const runCancelRequest = z.object({ type: z.literal("run.cancel"), id, force: z.boolean(), reason: z.string(), graceMs: ms });
export const leaseExtend = z.object({ type: z.literal("lease.extend"), leaseMs: ms });

/** Answer to a `program.call`. Codes of `error` are ErrorCodes or `refused`. */
export const programAnswer = z.object({
  type: z.literal("program.answer"),
  callId: z.number().int().nonnegative(),
  outcome: z.union([z.object({ ok: z.literal(true), value: z.unknown() }), z.object({ ok: z.literal(false), code: z.string(), message: z.string() })]),
});

export const syncRequest = z.object({ type: z.literal("sync"), id, freeze: z.boolean() });
export const thawRequest = z.object({ type: z.literal("thaw"), id });
export const parkPrepareRequest = z.object({ type: z.literal("park.prepare"), id });
export const parkAbortRequest = z.object({ type: z.literal("park.abort"), id });
export const pingRequest = z.object({ type: z.literal("ping"), id });

/** Compile and index a project (sdk §5): the source archive is in the scratch disk's upload area, sent as bytes on `stream`. */
export const buildStartRequest = z.object({
  type: z.literal("build.start"),
  id,
  sourceStream: z.number().int(),
  sourceBytes: z.number().int().nonnegative(),
  /** Install production dependencies when the project has any (sdk §8.1). */
  installDependencies: z.boolean(),
  timeoutMs: ms,
});

export const processStart = z.object({
  type: z.literal("process.start"),
  id,
  /** Chosen by the host, unique in this machine's life. */
  processId: z.number().int().positive(),
  command: z.array(text(131_072)).min(1).max(4096),
  cwd: text(4096),
  env: z.record(z.string(), z.string()),
  user: text(256).optional(),
  terminal: z.object({ cols: z.number().int().min(1).max(500), rows: z.number().int().min(1).max(500) }).optional(),
  streams: z.object({ stdin: z.number().int(), stdout: z.number().int(), stderr: z.number().int().optional() }),
  timeoutMs: ms.optional(),
});
export const processSignal = z.object({ type: z.literal("process.signal"), id, processId: z.number().int(), signal: text(16) });
export const processResize = z.object({ type: z.literal("process.resize"), id, processId: z.number().int(), cols: z.number().int(), rows: z.number().int() });
/** End of a host → guest byte stream (stdin, uploads). */
export const streamEnd = z.object({ type: z.literal("stream.end"), stream: z.number().int(), length: z.number().int().nonnegative() });

/** Live file operations in the workspace (http §12 source=live and the workspace extension). */
export const fileRequest = z.object({
  type: z.literal("file"),
  id,
  operation: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("list"), path: text(4096), limit: z.number().int(), after: text(4096).optional() }),
    z.object({ kind: z.literal("stat"), path: text(4096) }),
    z.object({ kind: z.literal("read"), path: text(4096), start: z.number().int(), end: z.number().int().optional(), stream: z.number().int() }),
    z.object({ kind: z.literal("write"), path: text(4096), mode: z.number().int().optional(), stream: z.number().int() }),
    z.object({ kind: z.literal("mkdir"), path: text(4096), mode: z.number().int().optional() }),
    z.object({ kind: z.literal("move"), from: text(4096), to: text(4096) }),
    z.object({ kind: z.literal("remove"), path: text(4096), recursive: z.boolean() }),
    z.object({ kind: z.literal("upload"), path: text(4096), stream: z.number().int() }),
    z.object({ kind: z.literal("download"), path: text(4096), stream: z.number().int() }),
  ]),
});

/** A TCP connection to a port of the guest's loopback; bytes flow on two streams. */
export const portOpenRequest = z.object({ type: z.literal("port.open"), id, port: z.number().int().min(1).max(65_535), input: z.number().int(), output: z.number().int() });

export const hostMessage = z.discriminatedUnion("type", [
  attachRequest,
  runStartRequest,
  runCancelRequest,
  leaseExtend,
  programAnswer,
  syncRequest,
  thawRequest,
  parkPrepareRequest,
  parkAbortRequest,
  pingRequest,
  buildStartRequest,
  processStart,
  processSignal,
  processResize,
  streamEnd,
  fileRequest,
  portOpenRequest,
  /** The host takes `bytes` more of a guest → host stream. Streams 1..15 need no credit: the worker spools them. */
  z.object({ type: z.literal("stream.credit"), stream: z.number().int(), bytes: z.number().int().positive() }),
]);
export type HostMessage = z.output<typeof hostMessage>;

export const helloMessage = z.object({
  type: z.literal("hello"),
  protocol: z.literal(guestProtocolVersion),
  supervisor: text(64),
  /** Random per boot of the kernel: the same after a restore, different after a reboot. */
  bootId: text(64),
});

export const runEndReason = z.enum([
  "returned", // run() returned
  "threw", // run() threw or rejected, or the program exited with a non-zero code of its own
  "exited", // the program called process.exit(0) before run() returned
  "signalled", // killed by a signal nobody here sent
  "out_of_memory", // killed by the guest kernel
  "disk_full", // the program failed and its disk is full
  "timeout", // active time is used up
  "cancelled", // run.cancel
  "lease_expired", // the guest fenced itself
  "start_failed", // the program could not be started: `message` says why (node missing, module missing, secret placement, ...)
]);

export const runEnded = z.object({
  type: z.literal("run.ended"),
  reason: runEndReason,
  exitCode: z.number().int().nullable(),
  signal: text(16).nullable(),
  /** http §7.4 failure kinds that only the guest can tell. */
  failureKind: z.enum(["task_failed", "task_not_found", "missing_config", "task_parse_failed", "duplicate_task_id", "worker_failed"]).optional(),
  message: text(65_536).optional(),
  output: z.object({ json: z.string().max(300_000) }).optional(),
  /** Guest-monotonic time the program ran, waits excluded. */
  activeMs: ms,
  /** Lengths of streams 1..3, so that the host knows when it has everything. */
  streams: z.object({ stdout: z.number().int(), stderr: z.number().int(), logger: z.number().int() }),
});

/**
 * What the program asks of the control plane. `callId` is unique in an attempt; a repeat with the same id is answered once.
 * `wait.open` is answered at once with `{ waitId }` or `{ resolved }`; an open wait is resolved by a later `program.answer` with the same id.
 */
export const programCall = z.object({
  type: z.literal("program.call"),
  callId: z.number().int().nonnegative(),
  call: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("wait"),
      on: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("token"), tokenId: text(64) }),
        z.object({ kind: z.literal("stream"), stream: text(256), afterSequence: z.number().int().nonnegative().optional(), correlationId: text(512).optional() }),
        z.object({ kind: z.literal("timer"), dueUnixMs: z.number().int().optional(), delayMs: z.number().int().optional() }),
      ]),
      /** false: once() and on(), which read live and never park. */
      parkable: z.boolean(),
      timeoutSeconds: z.number().int().positive().optional(),
      idleTimeoutSeconds: z.number().int().positive().optional(),
      metadata: z.record(z.string(), z.unknown()).optional(),
      tags: z.array(text(128)).max(32).optional(),
    }),
    z.object({ kind: z.literal("stream.peek"), stream: text(256), afterSequence: z.number().int().nonnegative().optional(), correlationId: text(512).optional() }),
    z.object({ kind: z.literal("stream.append"), stream: text(256), json: z.string().max(300_000), contentType: text(256).optional() }),
    z.object({
      kind: z.literal("token.create"),
      timeoutMs: z.number().int().positive().optional(),
      tags: z.array(text(128)).max(32).optional(),
      metadata: z.record(z.string(), z.unknown()).optional(),
      idempotencyKey: text(512).optional(),
    }),
    z.object({
      kind: z.literal("metadata"),
      operation: z.discriminatedUnion("op", [
        z.object({ op: z.literal("set"), key: text(1024), json: z.string().max(300_000) }),
        z.object({ op: z.literal("patch"), json: z.string().max(300_000) }),
        z.object({ op: z.literal("increment"), key: text(1024), amount: z.number() }),
      ]),
    }),
    /** The program gave up a wait (its promise lost a race): the condition is cancelled. */
    z.object({ kind: z.literal("wait.cancel"), waitCallId: z.number().int() }),
  ]),
});

export const processStarted = z.object({ type: z.literal("process.started"), processId: z.number().int(), pid: z.number().int() });
export const processEnded = z.object({
  type: z.literal("process.ended"),
  processId: z.number().int(),
  exitCode: z.number().int().nullable(),
  signal: text(16).nullable(),
  startError: text(4096).optional(),
  lengths: z.object({ stdout: z.number().int(), stderr: z.number().int() }),
});

export const guestMessage = z.discriminatedUnion("type", [
  helloMessage,
  z.object({ type: z.literal("ok"), id, result: z.unknown().optional() }),
  z.object({ type: z.literal("error"), id, code: text(64), message: text(65_536), retryable: z.boolean().optional() }),
  runEnded,
  programCall,
  processStarted,
  processEnded,
  streamEnd,
  z.object({ type: z.literal("stream.credit"), stream: z.number().int(), bytes: z.number().int().positive() }),
  /** The lease ended before it was extended: the program is stopped, the machine waits to be killed. */
  z.object({ type: z.literal("fenced") }),
  z.object({ type: z.literal("usage"), memoryPeakBytes: z.number(), cpuUs: z.number(), workspaceUsedBytes: z.number(), scratchUsedBytes: z.number() }),
]);
export type GuestMessage = z.output<typeof guestMessage>;
