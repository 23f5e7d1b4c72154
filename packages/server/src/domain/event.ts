/** What every kind of run event is filed under (http §7.4): category, severity, source and whether its attributes may be shown. */
import type { RunEventKind } from "@helmr/protocol/api";

export interface EventClass {
  category: string;
  severity: "debug" | "info" | "warn" | "error";
  source: "control_plane" | "worker";
  redaction: "none" | "sensitive";
}

const ofControlPlane = (category: string, severity: EventClass["severity"] = "info"): EventClass => ({
  category,
  severity,
  source: "control_plane",
  redaction: "none",
});
const ofWorker = (category: string, severity: EventClass["severity"] = "info"): EventClass => ({
  category,
  severity,
  source: "worker",
  redaction: "none",
});
const logged: EventClass = { category: "log", severity: "info", source: "worker", redaction: "sensitive" };

export const runEventClass: Readonly<Record<RunEventKind, EventClass>> = {
  "run.created": ofControlPlane("run"),
  "run_wait.created": ofWorker("wait"),
  "run_wait.completed": ofControlPlane("wait"),
  "run_wait.timed_out": ofControlPlane("wait", "warn"),
  "run.metadata.updated": ofWorker("run"),
  "log.stdout": logged,
  "log.stderr": logged,
  log: logged,
  "run.execution_lost": ofControlPlane("run", "warn"),
  "run.retry_scheduled": ofControlPlane("run", "warn"),
  "run.cancel_requested": ofControlPlane("run"),
  "run.completed": ofWorker("run"),
  "run.failed": ofControlPlane("run", "error"),
  "run.cancelled": ofControlPlane("run"),
  "run.expired": ofControlPlane("run", "warn"),
  "run.dead_lettered": ofControlPlane("run", "error"),
};

export const logEventKind = { stdout: "log.stdout", stderr: "log.stderr", logger: "log" } as const satisfies Record<string, RunEventKind>;

/** An event that an operation appends; the store gives it its sequence. */
export interface NewRunEvent {
  kind: RunEventKind;
  attributes: Record<string, unknown>;
}
