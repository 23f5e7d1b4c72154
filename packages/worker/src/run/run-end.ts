/** How an attempt ended, for the control plane: what the guest said, or what became of it. Pure: the table of reasons in one place. */
import type { RunEnded, RunEndReason } from "@helmr/protocol/guest";
import { jsonProblem, limits } from "@helmr/protocol/shared";
import type { AttemptEnd } from "@helmr/protocol/worker";
import { assertNever } from "../assert.ts";

type Failed = Extract<AttemptEnd, { status: "failed" }>;

/** What the host saw instead of a `run.ended`. */
export type HostVerdict =
  | { kind: "cancelled"; forced: boolean }
  | { kind: "timeout"; limitMs: number }
  | { kind: "guest_died"; message: string }
  | { kind: "monitor_died"; message: string }
  | { kind: "guest_silent"; message: string }
  | { kind: "guest_violation"; message: string }
  | { kind: "guest_fenced" }
  | { kind: "machine_failed"; code: string; message: string }
  | { kind: "spool_failed"; message: string };

const messageCharactersMax = 60_000;

interface Row {
  failureKind: Failed["failure_kind"];
  sentence: string;
}

/** `returned` and `cancelled` are no failures. */
const failures: Record<Exclude<RunEndReason, "returned" | "cancelled">, Row> = {
  threw: { failureKind: "task_failed", sentence: "The task threw an error" },
  exited: { failureKind: "task_failed", sentence: "The task called process.exit(0) before run() returned" },
  stalled: { failureKind: "task_failed", sentence: "The task stopped: nothing was left that could make run() return" },
  signalled: { failureKind: "task_failed", sentence: "The task was ended by a signal" },
  out_of_memory: { failureKind: "task_failed", sentence: "The task ran out of memory" },
  disk_full: { failureKind: "task_failed", sentence: "The task failed and a disk of it is full" },
  timeout: { failureKind: "max_duration", sentence: "The task used up its maximum duration" },
  lease_expired: { failureKind: "worker_failed", sentence: "The guest stopped the task because its lease was not extended in time" },
  start_failed: { failureKind: "worker_failed", sentence: "The task could not be started" },
};

export function endOfRun(ended: RunEnded, cancel: { forced: boolean } | undefined): AttemptEnd {
  if (ended.reason === "cancelled") return { status: "cancelled", forced: cancel?.forced ?? false };
  if (ended.reason === "returned") return outputOf(ended);
  const { failureKind, sentence } = failures[ended.reason];
  return {
    status: "failed",
    exit_code: ended.exitCode,
    failure_kind: ended.failureKind ?? failureKind,
    reason: ended.detail ?? ended.reason,
    message: (ended.message ?? sentence).slice(0, messageCharactersMax),
    ...(ended.signal === null ? {} : { signal: ended.signal }),
  };
}

function outputOf(ended: RunEnded): AttemptEnd {
  if (ended.output === undefined) return { status: "succeeded", exit_code: 0 };
  const invalid = (message: string): AttemptEnd => ({
    status: "failed",
    exit_code: 1,
    failure_kind: "task_failed",
    reason: "output_invalid",
    message,
  });
  const bytes = Buffer.byteLength(ended.output.json);
  if (bytes > limits.jsonValueBytesMax)
    return invalid(
      `The task returned ${bytes} bytes of JSON; the limit is ${limits.jsonValueBytesMax}. Write large results to the workspace`,
    );
  let value: unknown;
  try {
    value = JSON.parse(ended.output.json);
  } catch {
    return invalid("What the task returned is no JSON");
  }
  const problem = jsonProblem(value);
  if (problem !== undefined) return invalid(`What the task returned cannot be stored: it ${problem}`);
  return { status: "succeeded", exit_code: 0, output: { value } };
}

export function endByHost(verdict: HostVerdict): AttemptEnd {
  const failed = (failure_kind: Failed["failure_kind"], message: string, reason: string = verdict.kind): AttemptEnd => ({
    status: "failed",
    exit_code: null,
    failure_kind,
    reason,
    message: message.slice(0, messageCharactersMax),
  });
  switch (verdict.kind) {
    case "cancelled":
      return { status: "cancelled", forced: verdict.forced };
    case "timeout":
      return failed("max_duration", `The task used up its maximum duration and was stopped with its machine after ${verdict.limitMs} ms`);
    case "guest_died":
      return failed("worker_failed", `The guest ended while the task was running: ${verdict.message}`);
    case "monitor_died":
      return failed("worker_failed", `The virtual machine monitor ended while the task was running: ${verdict.message}`);
    case "guest_silent":
      return failed("worker_failed", verdict.message);
    case "guest_violation":
      return failed("worker_failed", `The guest broke its protocol and was stopped: ${verdict.message}`);
    case "guest_fenced":
      return failed("worker_failed", "The guest stopped the task because its lease was not extended in time");
    case "machine_failed":
      return failed("worker_failed", verdict.message, verdict.code);
    case "spool_failed":
      return failed("worker_failed", `The worker could not keep the task's output: ${verdict.message}`);
    default:
      return assertNever(verdict);
  }
}
