/**
 * Following a run (sdk §10): `events.subscribe` and the loop of `runs.wait`.
 *
 * Both reconnect one second after a lost connection, from the last cursor. A frame whose id is readable is passed for good, also when its
 * data are not, so that it is not met again.
 */
import type { EventPage, Run } from "@helmr/protocol/api";
import { TimeoutError } from "../errors.ts";
import type { RequestOptions } from "./request-options.ts";
import type { RunEvent, RunEventRecord, RunSnapshot, RunWaitOptions } from "./run-shapes.ts";
import { eventRecords, isTerminalRecord, runEvent, runSnapshot } from "./run-views.ts";
import { isFatal, pause, reconnectMs, sseFrames } from "./sse-follow.ts";
import { type ApiRequest, MalformedAnswerError, type Transport } from "./transport.ts";

export interface RunSource {
  transport: Transport;
  runId: string;
  options: RequestOptions;
}

type Frame = { kind: "record"; cursor: number; record: RunEventRecord } | { kind: "malformed"; cursor: number | undefined };

/** One connection. Comments and events of other names are nobody's business. */
async function* connection(source: RunSource, cursor: number): AsyncGenerator<Frame, void, undefined> {
  const request = eventsRequest(source, [
    ["follow", 1],
    ["cursor", cursor],
  ]);
  for await (const event of sseFrames(source.transport, request)) {
    if (event.event !== "run_event" && event.event !== "message") continue;
    const at = event.id !== undefined && /^\d{1,16}$/.test(event.id) ? Number(event.id) : undefined;
    const record = event.kind === "event" && at !== undefined ? eventRecord(event.data) : undefined;
    if (record === undefined || at === undefined) yield { kind: "malformed", cursor: at };
    else yield { kind: "record", cursor: at, record };
  }
}

function eventRecord(data: string): RunEventRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, message, at } = value as Record<string, unknown>;
  return typeof kind === "string" && typeof message === "string" && typeof at === "string" ? (value as RunEventRecord) : undefined;
}

function eventsRequest({ runId, options }: RunSource, query: NonNullable<ApiRequest["query"]>): ApiRequest {
  return { method: "GET", path: `/runs/${encodeURIComponent(runId)}/events`, query, options };
}

export async function retrieveRun({ transport, runId, options }: RunSource): Promise<RunSnapshot> {
  return runSnapshot(await transport.json<Run>({ method: "GET", path: `/runs/${encodeURIComponent(runId)}`, options }));
}

/** Pages until there is no next cursor. */
export async function* listRunEvents(
  source: RunSource,
  from: { cursor?: number | undefined; pageSize?: number | undefined },
): AsyncGenerator<RunEventRecord, void, undefined> {
  for (let cursor = from.cursor; ;) {
    const page = await source.transport.json<EventPage>(
      eventsRequest(source, [
        ["cursor", cursor],
        ["limit", from.pageSize],
      ]),
    );
    yield* eventRecords(page);
    if (page.next_cursor === undefined || page.next_cursor === cursor) return;
    cursor = page.next_cursor;
  }
}

export async function* subscribeRunEvents(
  source: RunSource,
  from: { cursor?: number | undefined },
): AsyncGenerator<RunEvent, void, undefined> {
  const { signal } = source.options;
  let cursor = from.cursor ?? 0;
  for (;;) {
    try {
      for await (const frame of connection(source, cursor)) {
        if (frame.cursor === undefined) throw new MalformedAnswerError(`Run ${source.runId} has an event frame without a readable id`);
        cursor = frame.cursor;
        if (frame.kind === "malformed") continue;
        const event = runEvent(frame.record, source.runId);
        if (event !== undefined) yield event;
        if (isTerminalRecord(frame.record)) return;
      }
      if ((await retrieveRun(source)).isTerminal) {
        for await (const record of listRunEvents(source, { cursor })) {
          const event = runEvent(record, source.runId);
          if (event !== undefined) yield event;
        }
        return;
      }
    } catch (error) {
      if (isFatal(error, signal)) throw error;
    }
    await pause(reconnectMs, signal);
  }
}

const rereadMsFirst = 100;
const rereadMsMax = 1_000;

/** Snapshot, then events, then snapshots again until one is terminal: an event may be seen before the row it announces. */
async function followToEnd(source: RunSource): Promise<RunSnapshot> {
  const { signal } = source.options;
  let cursor = 0;
  for (let terminal = false, rereadMs = rereadMsFirst; ;) {
    try {
      const snapshot = await retrieveRun(source);
      if (snapshot.isTerminal) return snapshot;
      if (!terminal) {
        for await (const frame of connection(source, cursor)) {
          cursor = frame.cursor ?? cursor;
          terminal = frame.kind === "record" && isTerminalRecord(frame.record);
          if (terminal) break;
        }
        if (terminal) continue;
      }
    } catch (error) {
      if (isFatal(error, signal)) throw error;
      await pause(reconnectMs, signal);
      continue;
    }
    await pause(terminal ? rereadMs : reconnectMs, signal);
    if (terminal) rereadMs = Math.min(rereadMs * 2, rereadMsMax);
  }
}

export async function waitForRun(source: RunSource, { timeoutMs, signal }: RunWaitOptions): Promise<RunSnapshot> {
  if (timeoutMs === undefined) return await followToEnd(source);
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
  try {
    return await followToEnd({ ...source, options: { ...source.options, signal: either } });
  } catch (error) {
    if (timeout.signal.aborted && signal?.aborted !== true)
      throw new TimeoutError(`Run ${source.runId} did not end within ${timeoutMs} ms`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
