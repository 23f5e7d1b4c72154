/** What can be observed of a worker: typed events, one sentence each. Ids and numbers, never payloads or secrets. */
import { hostname } from "node:os";
import type { TimelinePoint } from "./run/run-timeline.ts";

export interface WorkerEvents {
  "worker.started": { epoch: number; adopted: number; accelerator: string };
  "worker.draining": { reason: string };
  "worker.stopped": { reason: string };
  "worker.refused": { message: string };
  /** A call to the control plane is repeated without an answer. */
  "control.unanswered": { path: string; attempts: number; reason: string };
  "lease.claimed": { leaseId: string; kind: string };
  "lease.lost": { leaseId: string; reason: string };
  "lease.finished": { leaseId: string; state: string; ms: number };
  /** Milliseconds since the lease was received. */
  "run.timeline": { leaseId: string; runId: string } & Partial<Record<TimelinePoint, number>>;
  "mount.capture": { leaseId: string; ms: number; pauseMs: number; newBytes: number };
  "run.capture": { leaseId: string; ms: number; newBytes: number; sizeBytes: number };
  /** One try to park: what the control plane said, how long the machine stood still for the cut, and what it cost. */
  "run.park": { leaseId: string; answer: string; pausedMs: number; ms: number; newBytes: number; differingBytes: number };
  /** A parked run goes on: from this host's own copy or from the store, and how long it took since the lease was received. */
  "run.resumed": { leaseId: string; from: "host" | "store"; ms: number };
  "template.ready": { image: string; vcpus: number; memoryMib: number; ms: number };
  /** What this host hands on to its guests; names no host. */
  "guest.setting": { note: string };
  /** Something failed that nobody waits for. */
  "background.failed": { what: string; message: string };
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 };
const levelOf: Partial<Record<keyof WorkerEvents, LogLevel>> = {
  "run.timeline": "debug",
  "mount.capture": "debug",
  "run.capture": "debug",
  "run.park": "debug",
  "run.resumed": "debug",
  "lease.claimed": "debug",
  "lease.lost": "warn",
  "worker.refused": "error",
  "background.failed": "warn",
  "control.unanswered": "warn",
};

export type Telemetry = <K extends keyof WorkerEvents>(event: K, attributes: WorkerEvents[K]) => void;

/** One line of JSON per event. */
export function lineTelemetry(least: LogLevel, write: (line: string) => void): Telemetry {
  const host = hostname();
  return (event, attributes) => {
    const level = levelOf[event] ?? "info";
    if (rank[level] < rank[least]) return;
    write(`${JSON.stringify({ at: new Date().toISOString(), level, event, host, ...attributes })}\n`);
  };
}

export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
