/**
 * Following the logs of a run to their end. The server closes the stream when the run is terminal and everything was sent; a stream also
 * closes for other reasons, so the run is asked after each end. Once it is terminal a last connection drains what came in between.
 */
import type { LogChunk, LogRecord, LogSnapshot } from "@helmr/protocol/api";
import { DeadlineExceeded, withDeadline } from "../clock.ts";
import { isOneOf, terminalRunStatuses } from "../http/terminal-states.ts";
import { type FollowItem, eventsOf, followEvents, isTransient } from "./event-stream.ts";
import type { RunAddress } from "./run-end.ts";

const drainMs = 5_000;

export type LogForm = { event: "run_log"; query: object } | { event: "run_log_record"; query: { format: "records" } };

export const byteLogs: LogForm = { event: "run_log", query: {} };
export const recordLogs: LogForm = { event: "run_log_record", query: { format: "records" } };

export function chunkBytes(chunk: LogChunk): Buffer {
  return Buffer.from(chunk.content_base64, "base64");
}

export function snapshotBytes(snapshot: LogSnapshot): { stdout: Buffer; stderr: Buffer } {
  return { stdout: Buffer.from(snapshot.stdout_base64, "base64"), stderr: Buffer.from(snapshot.stderr_base64, "base64") };
}

/** Gives every entry behind the cursor to `take`, in order and once. */
export async function followRunLogs(
  address: RunAddress,
  logs: { form: LogForm; cursor: string; take(entry: LogChunk & LogRecord): Promise<void> },
): Promise<void> {
  const { api, runId, signal } = address;
  let cursor = logs.cursor;
  const connect = (at: string, until: AbortSignal) =>
    api.events("runs.logs", { params: { id: runId }, query: { ...logs.form.query, follow: 1, cursor: at }, signal: until });
  const take = async (item: FollowItem) => {
    if (item.kind !== "event" || item.event !== logs.form.event) return;
    const entry = item.data as LogChunk & LogRecord;
    // A server that starts at the cursor instead of behind it must not print a line twice.
    if (isBehind(entry.id, cursor)) await logs.take(entry);
    cursor = entry.id;
  };
  for await (const item of followEvents({ cursor, signal, connect })) {
    if (item.kind === "event") await take(item);
    else if (await hasEnded(address)) break;
  }
  try {
    await withDeadline({ ms: drainMs, signal }, async (until) => {
      for await (const item of eventsOf(await connect(cursor, until))) await take(item);
    });
  } catch (error) {
    if (!(error instanceof DeadlineExceeded) && !isTransient(error)) throw error;
  }
}

function isBehind(id: string, cursor: string): boolean {
  return !/^\d+$/.test(id) || !/^\d+$/.test(cursor) || BigInt(id) > BigInt(cursor);
}

async function hasEnded({ api, runId, signal }: RunAddress): Promise<boolean> {
  try {
    const run = await api.call("runs.get", { params: { id: runId }, signal });
    return isOneOf(terminalRunStatuses, run.status);
  } catch (error) {
    if (!isTransient(error) || signal.aborted) throw error;
    return false;
  }
}
