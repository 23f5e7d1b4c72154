/** Runs, their events and logs (http §7). */
import { isTerminalRunEvent, type LogChunk, type LogRecord, runEndpoints } from "@helmr/protocol/api";
import type { JsonObject } from "@helmr/protocol/shared";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type EngineContext, topic } from "../../engine-context.ts";
import { cancelRun } from "../../operations/cancel-run.ts";
import { type LogChunkRow, logsAreOver, readLogChunks, readLogRecords, readLogSnapshot } from "../../operations/read-run-logs.ts";
import { countRuns, findRun, listRuns, readRun, readRunEvents } from "../../operations/read-runs.ts";
import { invalid, isRefusal, type Refusal } from "../../outcome.ts";
import type { Routes } from "../route.ts";
import { follow, followCursor, type SseFrame, wantsEvents } from "../sse.ts";
import { runEventView, runOperationView, runView } from "./run-view.ts";

const followPage = 500;

export interface Following {
  context: EngineContext;
  request: FastifyRequest;
  reply: FastifyReply;
  onFault: (error: unknown) => void;
}

export function addRunRoutes(routes: Routes, context: EngineContext, onFault: (error: unknown) => void): void {
  routes.add(runEndpoints.list, async ({ scope, query }) => {
    const filter = { environmentId: scope.environmentId, status: query.status, sessionId: query.session_id, limit: query.limit };
    return { body: { runs: (await listRuns(context, filter)).map((row) => runView(row)) } };
  });

  routes.add(runEndpoints.counts, async ({ scope }) => ({ body: await countRuns(context, scope.environmentId) }));

  routes.add(runEndpoints.get, async ({ scope, params }) => {
    const read = await readRun(context, scope.environmentId, params.id);
    return isRefusal(read) ? read : { body: runView(read.run, { blocked: read.blocked }) };
  });

  routes.add(runEndpoints.cancel, async ({ scope, params, body }) => {
    const result = await cancelRun(context, { environmentId: scope.environmentId, runId: params.id, body });
    return isRefusal(result) ? result : { body: { run: runView(result.run), operation: runOperationView(result.operation) } };
  });

  routes.add(runEndpoints.events, async ({ scope, params, query, request, reply }) => {
    const run = await findRun(context, scope.environmentId, params.id);
    if (isRefusal(run)) return run;
    if (wantsEvents(request)) return followEvents({ context, request, reply, onFault }, run, query.cursor);
    const cursor = query.cursor ?? 0;
    const { rows, more } = await readRunEvents(context, run.id, cursor, query.limit);
    const last = rows.at(-1);
    return { body: { events: rows.map((row) => runEventView(run, row)), cursor, ...(more && last ? { next_cursor: last.seq } : {}) } };
  });

  routes.add(runEndpoints.logs, async ({ scope, params, query, request, reply }) => {
    const run = await findRun(context, scope.environmentId, params.id);
    if (isRefusal(run)) return run;
    if (wantsEvents(request)) {
      const following = { context, request, reply, onFault };
      const subject = { runId: run.id, environmentId: scope.environmentId, cursor: query.cursor };
      return query.format === "records" ? followRecords(following, subject) : followChunks(following, subject);
    }
    if (query.format === undefined) return { body: await snapshotView(context, run.id) };
    const cursor = query.cursor ?? 0;
    const { rows, more } = await readLogRecords(context, run.id, cursor, query.limit);
    const last = rows.at(-1);
    return { body: { records: rows.map(recordView), cursor, ...(more && last ? { next_cursor: last.id } : {}) } };
  });
}

const badCursor = (): Refusal => invalid("Last-Event-ID must be a non-negative integer");

async function followEvents(following: Following, run: { id: string; traceId: string }, queryCursor: number | undefined) {
  const { context, request, reply, onFault } = following;
  const cursor = followCursor(request, queryCursor);
  if (cursor === "invalid") return badCursor();
  let after = cursor;
  return follow({
    request,
    reply,
    hints: context.hints,
    topics: [topic.run(run.id)],
    onFault,
    async next() {
      const { rows, more } = await readRunEvents(context, run.id, after, followPage);
      after = rows.at(-1)?.seq ?? after;
      const frames = rows.map((row): SseFrame => ({ id: String(row.seq), event: "run_event", data: runEventView(run, row) }));
      const ended = rows.some((row) => isTerminalRunEvent(row.kind)) || (rows.length === 0 && (await endedBefore(context, run.id, after)));
      return { frames, done: ended && !more, more };
    },
  });
}

/** A follower that begins behind the terminal event has nothing to wait for. */
async function endedBefore(context: EngineContext, runId: string, after: number): Promise<boolean> {
  if (after === 0) return false;
  const { rows } = await readRunEvents(context, runId, Math.max(0, after - 1), 1);
  const [last] = rows;
  return last !== undefined && isTerminalRunEvent(last.kind);
}

interface LogSubject {
  runId: string;
  environmentId: string;
  cursor: number | undefined;
}

function followChunks({ context, request, reply, onFault }: Following, { runId, environmentId, cursor }: LogSubject) {
  const start = followCursor(request, cursor);
  if (start === "invalid") return badCursor();
  let after = start;
  return follow({
    request,
    reply,
    hints: context.hints,
    topics: [topic.logs(runId)],
    onFault,
    async next() {
      // Asked first: what comes between the two questions is found by the next look.
      const over = await logsAreOver(context, environmentId, runId);
      const rows = await readLogChunks(context, runId, after, chunkPage);
      after = rows.at(-1)?.seq ?? after;
      const more = rows.length === chunkPage;
      return {
        frames: rows.map((row) => ({ id: String(row.seq), event: "run_log", data: chunkView(runId, row) })),
        done: over && !more,
        more,
      };
    },
  });
}

/** Chunks are at most 64 KiB: a page is a few MiB of memory. */
const chunkPage = 50;

function followRecords({ context, request, reply, onFault }: Following, { runId, environmentId, cursor }: LogSubject) {
  const start = followCursor(request, cursor);
  if (start === "invalid") return badCursor();
  let after = start;
  return follow({
    request,
    reply,
    hints: context.hints,
    topics: [topic.logs(runId)],
    onFault,
    async next() {
      const over = await logsAreOver(context, environmentId, runId);
      const { rows, more } = await readLogRecords(context, runId, after, followPage);
      after = rows.at(-1)?.id ?? after;
      return {
        frames: rows.map((row) => ({ id: String(row.id), event: "run_log_record", data: recordView(row) })),
        done: over && !more,
        more,
      };
    },
  });
}

function chunkView(runId: string, row: LogChunkRow): LogChunk {
  return {
    id: String(row.seq),
    run_id: runId,
    run_lease_id: row.lease_id,
    attempt_number: row.attempt_number,
    stream: row.stream as "stdout" | "stderr",
    content_base64: row.data.toString("base64"),
    bytes: row.data.length,
    observed_seq: row.observed_seq,
    at: row.observed_at,
  };
}

type StoredRecord = Awaited<ReturnType<typeof readLogRecords>>["rows"][number];

function recordView({ id, at, stream, level, message, fields }: StoredRecord): LogRecord {
  return {
    id: String(id),
    at,
    stream,
    ...(level === undefined ? {} : { level }),
    message,
    ...(fields === undefined ? {} : { fields: fields as JsonObject }),
  };
}

async function snapshotView(context: EngineContext, runId: string) {
  const snapshot = await readLogSnapshot(context, runId);
  return {
    stdout_base64: snapshot.stdout.toString("base64"),
    stderr_base64: snapshot.stderr.toString("base64"),
    cursor: String(snapshot.cursor),
    stdout_bytes: snapshot.stdoutBytes,
    stderr_bytes: snapshot.stderrBytes,
    truncated: snapshot.truncated,
  };
}
