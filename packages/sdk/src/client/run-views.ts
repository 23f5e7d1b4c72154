/** From the wire's runs, events and logs to results (sdk §9.3). */
import type { EventPage, LogRecordPage, LogSnapshot as WireLogSnapshot, Run } from "@helmr/protocol/api";
import { base64Bytes } from "./base64.ts";
import { optional } from "./body-members.ts";
import type { LogSnapshot, RunEvent, RunEventRecord, RunLogRecordPage, RunSnapshot, RunStatus } from "./run-shapes.ts";
import { MalformedAnswerError } from "./transport.ts";

const statuses: readonly RunStatus[] = ["queued", "running", "waiting", "succeeded", "failed", "cancelled", "expired"];

export function runSnapshot(wire: Run): RunSnapshot {
  const { status } = wire;
  if (!statuses.includes(status))
    throw new MalformedAnswerError(`Run ${wire.id} has the unknown status ${JSON.stringify(status)}; update @helmr/sdk`);
  return {
    id: wire.id,
    taskId: wire.task_id,
    status,
    metadata: wire.metadata ?? {},
    exitCode: wire.exit_code ?? null,
    createdAt: wire.created_at ?? null,
    updatedAt: wire.updated_at ?? null,
    attemptNumber: wire.attempt_number ?? null,
    ...optional("version", wire.version ?? wire.deployment_version),
    ...optional("deploymentVersion", wire.deployment_version ?? wire.version),
    ...optional("apiVersion", wire.api_version),
    ...optional("sdkVersion", wire.sdk_version),
    ...optional("cliVersion", wire.cli_version),
    ...optional("output", wire.output),
    isQueued: status === "queued",
    isRunning: status === "running",
    isWaiting: status === "waiting",
    isTerminal: status === "succeeded" || status === "failed" || status === "cancelled" || status === "expired",
    isSuccess: status === "succeeded",
    isFailed: status === "failed",
    isCancelled: status === "cancelled",
  };
}

export function logSnapshot(wire: WireLogSnapshot): LogSnapshot {
  const text = new TextDecoder();
  return {
    stdout: text.decode(base64Bytes(wire.stdout_base64)),
    stderr: text.decode(base64Bytes(wire.stderr_base64)),
    cursor: wire.cursor,
    truncated: wire.truncated,
  };
}

export function logRecordPage(wire: LogRecordPage): RunLogRecordPage {
  return {
    records: wire.records.map((record) => ({
      id: record.id,
      at: record.at,
      stream: record.stream,
      ...optional("level", record.level),
      message: record.message,
      ...optional("fields", record.fields),
    })),
    nextCursor: wire.next_cursor ?? null,
  };
}

const terminalKinds = ["run.completed", "run.failed", "run.cancelled", "run.expired", "run.dead_lettered"];

export function isTerminalRecord(record: RunEventRecord): boolean {
  return terminalKinds.includes(record.message) || terminalKinds.includes(record.kind);
}

export function eventRecords(page: EventPage): readonly RunEventRecord[] {
  return page.events;
}

/** By the record's message; `undefined` for what is not mapped. */
export function runEvent(record: RunEventRecord, runId: string): RunEvent | undefined {
  const attributes = attributesOf(record);
  const base = { run_id: record.run_id ?? runId, at: record.at };
  switch (record.message) {
    case "log.stdout":
    case "log.stderr": {
      const stream = record.message === "log.stdout" ? "stdout" : "stderr";
      return {
        type: "log",
        run_id: base.run_id,
        stream,
        bytes: numberOf(attributes["bytes"]),
        observed_seq: numberOf(attributes["observed_seq"]),
        at: base.at,
      };
    }
    case "run_wait.created":
    case "run_wait.completed":
    case "run_wait.timed_out":
      return waitEvent(record.message, attributes, base);
    case "run.completed":
      return { type: "task_result", ...base, exit_code: numberOf(attributes["exit_code"]) };
    case "run.failed":
      return { type: "run_failed", ...base, failure_kind: String(attributes["failure_kind"]), ...optional("detail", attributes["detail"]) };
    case "run.dead_lettered":
      return { type: "run_failed", ...base, failure_kind: "dead_lettered", detail: attributes };
    case "run.cancelled":
      return { type: "run_cancelled", ...base, ...optional("reason", textOf(attributes["reason"])) };
    case "run.expired":
      return {
        type: "run_expired",
        ...base,
        ...optional("ttl", textOf(attributes["ttl"])),
        ...optional("message", textOf(attributes["message"])),
      };
    default:
      return undefined;
  }
}

const waitKinds = ["token", "stream", "timer"] as const;

function waitEvent(message: string, attributes: Record<string, unknown>, base: { run_id: string; at: string }): RunEvent | undefined {
  const kind = waitKinds.find((known) => known === attributes["kind"]);
  if (kind === undefined) return undefined;
  const wait = { ...base, wait_id: String(attributes["run_wait_id"]), kind };
  if (message === "run_wait.timed_out") return { type: `${kind}_wait_timed_out`, ...wait };
  if (message === "run_wait.completed") return { type: `${kind}_wait_completed`, ...wait, payload: attributes["payload"] ?? null };
  const { params, metadata, tags, timeout } = attributes;
  return {
    type: `${kind}_wait`,
    ...wait,
    params: params ?? {},
    metadata: metadata ?? {},
    tags: Array.isArray(tags) ? (tags as string[]) : [],
    ...optional("timeout", typeof timeout === "number" ? timeout : undefined),
  };
}

function attributesOf(record: RunEventRecord): Record<string, unknown> {
  const { attributes } = record;
  return typeof attributes === "object" && attributes !== null ? (attributes as Record<string, unknown>) : {};
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
