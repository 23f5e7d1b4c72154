/**
 * How host and guest meet.
 *
 *   1. guest → host  `hello`   when the supervisor listens for the first time, and after every reconnect of the host. A machine that was
 *                              restored from a snapshot says nothing of its own accord: the host speaks first.
 *      host  → guest `rehearse` (any number of times, before `attach` only) goes through the motions of a start and forgets them. Under
 *                              emulation the first pass through any code is several times slower than the second: a machine that waits
 *                              for its run rehearses meanwhile.
 *   2. host  → guest `attach`  first request after a start or a restore: clock, entropy, identity, lease, disks, environment. Everything
 *                              but `ping`, `usage` and `rehearse` is refused before it (`not_attached`).
 *   3. host  → guest `lease.extend` whenever the lease was renewed. Past its end the guest stops everything, sends `fenced`, and refuses
 *                              what comes after; only killing the machine is left.
 *
 * Request ids: a host process that takes over a machine continues with greater ids than its predecessor (it starts at the clock's
 * milliseconds × 1000), so that a late answer to the predecessor matches nothing.
 */
import * as z from "zod";
import { guestProtocolVersion } from "../shared/versions.ts";

export const requestId = z.number().int().nonnegative();
export const milliseconds = z.number().int().nonnegative();
export const text = (max: number) => z.string().max(max);

const environment = z.record(text(4096), text(131_072));

/** Time and randomness: sent after every restore, before any user code runs. */
export const clockAndEntropy = z.object({
  /** Wall clock of the host in microseconds since 1970, taken just before sending. */
  unixUs: z.number().int().positive(),
  /** 64 random bytes, base64. */
  entropy: z.base64(),
});

export const attachRequest = z.object({
  type: z.literal("attach"),
  id: requestId,
  resumed: z.boolean(),
  clock: clockAndEntropy,
  hostname: text(63),
  /** Milliseconds of guest-monotonic time until the guest fences itself. */
  leaseMs: milliseconds,
  /**
   * Absent on resume: they are mounted already. Disks hold ext4 when they come (the host formats), in the driver's slots of these names.
   */
  disks: z
    .object({
      /** Upper layer of the task's root: the slot's disk, or memory. */
      scratch: z.enum(["disk", "memory"]),
      /**
       * Mounted at `path` of the task root; in a build guest this is the result tree at /opt/helmr-task. At `/` it is the root itself (a step of
       * an image build): scratch is not used, and the task disk is seen by the supervisor only.
       */
      workspace: z.object({ path: text(4096) }).nullable(),
      /** The deployment's tree, read-only at /opt/helmr-task. */
      task: z.boolean(),
      /** Disks of the slots extra0, extra1, … at these paths; of the user of the image. */
      caches: z.array(text(4096)).max(4).optional(),
    })
    .optional(),
  /** Inherited OCI configuration of the image (sdk §2.2). */
  image: z.object({ env: environment, workdir: text(4096), user: text(256) }),
  /** Defaults of every process that runs for a tenant here (registry of the install, for example); the image's own values win. */
  environment,
  /** PEM certificates added to the image's trust store by the operator. */
  extraCa: z.string().max(1_000_000).optional(),
  network: z.object({ enabled: z.boolean() }),
});
export type AttachRequest = z.output<typeof attachRequest>;

/** `result` of the `ok` that answers `attach`. */
export const attachResult = z.object({
  /** Guest-monotonic milliseconds: the whole request, and the tool's part of it. */
  totalMs: z.number(),
  toolMs: z.number(),
});

export const leaseExtend = z.object({ type: z.literal("lease.extend"), leaseMs: milliseconds });
export const pingRequest = z.object({ type: z.literal("ping"), id: requestId });
export const rehearseRequest = z.object({ type: z.literal("rehearse"), id: requestId });
export const usageRequest = z.object({ type: z.literal("usage"), id: requestId });

const bytes = z.number().int().nonnegative();
/** What the tenant's processes used; `result` of `usage`, and part of `run.ended`. Absent numbers were not to be had. */
export const usage = z.object({
  memoryBytes: bytes.optional(),
  memoryPeakBytes: bytes.optional(),
  cpuUs: bytes.optional(),
  workspaceUsedBytes: bytes.optional(),
  workspaceSizeBytes: bytes.optional(),
  scratchUsedBytes: bytes.optional(),
  scratchSizeBytes: bytes.optional(),
});
export type Usage = z.output<typeof usage>;

export const helloMessage = z.object({
  type: z.literal("hello"),
  protocol: z.literal(guestProtocolVersion),
  supervisor: text(64),
  /** Random per boot of the kernel: the same after a restore, different after a reboot. */
  bootId: text(64),
  /** What goes on here, for a host process that takes over. */
  state: z.object({
    attached: z.boolean(),
    fenced: z.boolean(),
    /** Between `park.prepare` and `park.abort` or the next `attach`. */
    parked: z.boolean(),
    run: z.object({ attemptId: text(64), status: z.enum(["running", "ended"]) }).nullable(),
    building: z.boolean(),
    processes: z.array(z.object({ processId: z.number().int(), status: z.enum(["running", "ended"]) })).max(1024),
  }),
});
export type HelloMessage = z.output<typeof helloMessage>;

export const fencedMessage = z.object({ type: z.literal("fenced") });

export const okMessage = z.object({
  type: z.literal("ok"),
  id: requestId,
  result: z.unknown().optional(),
});
export const guestErrorCode = z.enum([
  "bad_request", // the host broke the protocol's rules
  "not_attached",
  "fenced",
  "busy", // one at a time: a run, a build, an attach
  "attach_failed",
  "not_found",
  "not_running",
  "parked",
  "start_failed",
  "sync_failed",
  "bad_path", // leaves the workspace, or has NUL
  "not_regular",
  "not_directory",
  "exists",
  "no_space",
  "permission_denied",
  "port_refused",
  "limit", // a named bound of the supervisor
  "internal",
]);
export type GuestErrorCode = z.output<typeof guestErrorCode>;
export const errorMessage = z.object({
  type: z.literal("error"),
  id: requestId,
  code: guestErrorCode,
  message: text(65_536),
  retryable: z.boolean().optional(),
});
