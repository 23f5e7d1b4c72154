/**
 * What the holder of a run lease reports.
 *
 *   attempt-started   the guest is about to run user code: from here on a lost lease counts against the retry policy
 *   report            ordered items of the attempt (logs, metadata, appended records): contiguous numbers; an identical replay is accepted,
 *                     a gap is refused with `expected`
 *   call              a program call that needs an answer (wait, token, peek); repeated with the same call id it gives the same answer
 *   complete          the end of the attempt with the captured workspace, in one transaction
 *   park, resumed     parking and resuming (engine §4)
 */
import * as z from "zod";
import { fencedLease, newArtifact } from "./leases.ts";

const id = z.uuid();
const count = z.number().int().nonnegative();

export const attemptStartedRequest = fencedLease.extend({ attempt_id: id });
export const attemptStartedResponse = z.object({ state: z.enum(["started", "cancelled"]) });

export const reportItem = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("log"),
    stream: z.enum(["stdout", "stderr", "logger"]),
    /** Of this attempt: the first byte of an attempt is 0 (runLease.report says where a resumed one goes on). */
    offset: count,
    /** base64; logger entries are lines of JSON {level, message, fields?, at}. */
    data: z.base64(),
    /** Not needed: the control plane finds the ends of records itself, because the bytes come from a guest. */
    records: count.optional(),
    /** Milliseconds before the request was sent. */
    age_ms: count,
  }),
  z.object({
    kind: z.literal("metadata"),
    operation: z.discriminatedUnion("op", [
      z.object({ op: z.literal("set"), key: z.string(), value: z.unknown() }),
      z.object({ op: z.literal("patch"), value: z.record(z.string(), z.unknown()) }),
      z.object({ op: z.literal("increment"), key: z.string(), amount: z.number() }),
    ]),
    age_ms: count,
  }),
]);
export type ReportItem = z.output<typeof reportItem>;

export const reportRequest = fencedLease.extend({
  attempt_id: id,
  first: z.number().int().positive(),
  items: z.array(reportItem).min(1).max(1000),
});
export const reportResponse = z.object({ accepted: count });
/** 409 with code `report_gap`. */
export const reportGapResponse = z.object({ error: z.string(), code: z.literal("report_gap"), expected: z.number().int().positive() });

export const programCallRequest = fencedLease.extend({
  attempt_id: id,
  call_id: count,
  call: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("wait"),
      on: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("token"), token_id: z.string().max(64) }),
        z.object({
          kind: z.literal("stream"),
          stream: z.string().max(256),
          after_sequence: count.optional(),
          correlation_id: z.string().max(512).optional(),
        }),
        z.object({ kind: z.literal("timer"), delay_ms: z.number().int().positive() }),
      ]),
      parkable: z.boolean(),
      timeout_seconds: z.number().int().positive().optional(),
      idle_timeout_seconds: z.number().int().positive().optional(),
      metadata: z.record(z.string(), z.unknown()).optional(),
      tags: z.array(z.string()).max(32).optional(),
    }),
    z.object({ kind: z.literal("wait.cancel"), wait_call_id: count }),
    z.object({
      kind: z.literal("stream.peek"),
      stream: z.string().max(256),
      after_sequence: count.optional(),
      correlation_id: z.string().max(512).optional(),
    }),
    z.object({
      kind: z.literal("stream.append"),
      stream: z.string().max(256),
      data: z.unknown(),
      content_type: z.string().max(256).optional(),
    }),
    z.object({
      kind: z.literal("token.create"),
      timeout_ms: z.number().int().positive().optional(),
      tags: z.array(z.string()).max(32).optional(),
      metadata: z.record(z.string(), z.unknown()).optional(),
      idempotency_key: z.string().max(512).optional(),
    }),
  ]),
});
export type ProgramCallRequest = z.output<typeof programCallRequest>;

/** How a wait ended, as the program sees it. */
export const waitOutcome = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("token"), status: z.enum(["completed", "timed_out", "cancelled"]), data: z.unknown().optional() }),
  z.object({ kind: z.literal("stream"), status: z.enum(["completed", "timed_out", "cancelled"]), record: z.unknown().optional() }),
  z.object({ kind: z.literal("timer"), status: z.enum(["completed", "cancelled"]) }),
]);
export type WaitOutcome = z.output<typeof waitOutcome>;

export const programCallResponse = z.discriminatedUnion("state", [
  /** The answer is here: a record, a token, a wait that was resolved at once. */
  z.object({ state: z.literal("answered"), value: z.unknown() }),
  /** A wait is open; `live_ms` is how long it stays live before the holder should park (absent: never park). */
  z.object({ state: z.literal("waiting"), wait_id: id, live_ms: count.optional() }),
  /** Refused for the program: an error it gets. */
  z.object({ state: z.literal("refused"), code: z.string(), message: z.string() }),
]);
export type ProgramCallResponse = z.output<typeof programCallResponse>;

/** What became of the workspace of an attempt. */
export const workspaceResult = z.discriminatedUnion("status", [
  z.object({ status: z.literal("unchanged") }),
  z.object({ status: z.literal("captured"), version_id: id, artifact: newArtifact, size_bytes: count, entry_count: count }),
  z.object({ status: z.literal("capture_failed"), message: z.string().max(4096) }),
]);
export type WorkspaceResult = z.output<typeof workspaceResult>;

export const attemptEnd = z.discriminatedUnion("status", [
  z.object({ status: z.literal("succeeded"), exit_code: z.literal(0), output: z.object({ value: z.unknown() }).optional() }),
  z.object({
    status: z.literal("failed"),
    exit_code: z.number().int().nullable(),
    failure_kind: z.enum([
      "task_failed",
      "max_duration",
      "task_not_found",
      "duplicate_task_id",
      "missing_config",
      "task_parse_failed",
      "worker_failed",
    ]),
    /** Machine-readable cause inside the kind: out_of_memory, disk_full, guest_died, monitor_died, secret_placement, node_missing, ... */
    reason: z.string().max(64),
    message: z.string().max(65_536),
    signal: z.string().max(16).optional(),
  }),
  z.object({ status: z.literal("cancelled"), forced: z.boolean() }),
]);
export type AttemptEnd = z.output<typeof attemptEnd>;

export const completeRequest = fencedLease.extend({
  attempt_id: id,
  end: attemptEnd,
  active_ms: count,
  /** Last item number of the attempt's report: completion is refused with `report_gap` until all of it has arrived. */
  report_through: count,
  workspace: workspaceResult,
});
export type CompleteRequest = z.output<typeof completeRequest>;
export const completeResponse = z.object({ state: z.enum(["finished", "retrying"]) });

/**
 * A machine that was cut at its wait. Everything is stored by now; this call makes it true, with the workspace's version and the end of lease and mount. A
 * repeat under the same checkpoint id gives the same answer.
 */
export const parkRequest = fencedLease.extend({
  attempt_id: id,
  wait_id: id,
  checkpoint_id: id,
  active_ms: count,
  report_through: count,
  /** For people and for the worker that restores it. */
  compatibility: z.record(z.string(), z.unknown()),
  /** Workers that offer these words (leases.ts, workerRestores) may restore it. */
  requires: z.string().min(1).max(512),
  /** What only the worker that restores it must know; kept as it is. */
  resume_state: z.record(z.string(), z.unknown()),
  /** Memory of the template that `memory` is a difference against. */
  template: newArtifact,
  memory: newArtifact,
  device: newArtifact,
  scratch: newArtifact,
  workspace: workspaceResult,
  key_id: z.string(),
  stored_bytes: count,
  pause_ms: count,
});
/**
 * `resolved`: the condition came true meanwhile, the run stays live and the outcome is here. `refused`: the run cannot be parked now (it is being
 * cancelled, it waits for several things at once, its workspace was advanced); it stays live.
 */
export const parkResponse = z.discriminatedUnion("state", [
  z.object({ state: z.literal("parked") }),
  z.object({ state: z.literal("resolved"), outcome: waitOutcome }),
  z.object({ state: z.literal("refused"), reason: z.string() }),
]);

/** The machine is restored and its program still stands still: from here on the checkpoint is used up, and a lost lease counts as one of user code. */
export const resumedRequest = fencedLease.extend({ attempt_id: id, checkpoint_id: id });
export const restoreFailedRequest = fencedLease.extend({
  attempt_id: id,
  checkpoint_id: id,
  reason: z.enum(["missing", "corrupt", "incompatible", "restore_failed"]),
  message: z.string().max(4096),
});
export const restoreFailedResponse = z.object({ state: z.enum(["requeued", "restarting", "failed"]) });
