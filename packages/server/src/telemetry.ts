/**
 * What can be observed of the server's processes: one typed map, one sentence each (house §5). Ids and numbers, never payloads or secrets. Nothing else
 * writes log lines.
 */
import pino from "pino";
import type { Config } from "./config.ts";

export interface TelemetryEvents {
  /** The process takes requests, or its loops run. */
  started: { process: string; address?: string; ms: number };
  /** The process was told to stop and has let go of everything. */
  stopped: { process: string; reason: string };
  /** A request failed by our own fault; the caller got a short answer. */
  request_failed: { method: string; url: string; id: string; error: unknown };
  /** A stream of events or a channel was broken off by our own fault; the other side reconnects. */
  stream_failed: { error: unknown };
  /** An idle connection to PostgreSQL ended; the pool opens another one. */
  database_connection_lost: { error: unknown };
  /** A mail was sent, failed or was dropped. */
  mail: { kind: "sent" | "failed" | "dropped"; subject: string };
  /** There is no mail server: the mail itself is the log entry, login links included. */
  mail_logged: { to: string; subject: string; text: string };
  /** The thread that reads files of versions ended, or had to be ended; the next request starts another one. */
  file_thread_lost: { error: unknown };
  /** A reconciler changed something. */
  reconciled: { loop: string; scanned: number; changed: number; skipped: number; ms: number };
  /** A pass of a reconciler failed; it is tried again after its period. */
  reconcile_failed: { loop: string; error: unknown };
  /** This process leads a loop, or has stopped leading it. */
  leadership: { loop: string; leads: boolean };
}

export interface Telemetry {
  emit<K extends keyof TelemetryEvents>(event: K, details: TelemetryEvents[K]): void;
}

const level: Readonly<Record<keyof TelemetryEvents, "debug" | "info" | "warn" | "error">> = {
  started: "info",
  stopped: "info",
  request_failed: "error",
  stream_failed: "error",
  database_connection_lost: "warn",
  mail: "info",
  mail_logged: "info",
  file_thread_lost: "warn",
  reconciled: "debug",
  reconcile_failed: "error",
  leadership: "debug",
};

/** What a log may hold of an error. Never its other members: errors of the database carry rows, statements and whole connections. */
export function errorFacts(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: errorFacts(error.cause) }),
  };
}

export function openTelemetry(config: Pick<Config, "logLevel">): Telemetry {
  const logger = pino(
    { level: config.logLevel, base: undefined, serializers: { error: errorFacts }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
  return {
    emit(event, details) {
      logger[level[event]]({ event, ...details });
    },
  };
}

/** For tests: what is emitted is handed on, or dropped. */
export function telemetryTo(listener: (event: keyof TelemetryEvents, details: unknown) => void = () => undefined): Telemetry {
  return { emit: (event, details) => listener(event, details) };
}
