/**
 * Ordered items of an attempt: log bytes, metadata (step 6 of the data flow). Items are numbered from 1; an identical replay is accepted, a gap is
 * refused with the number that is expected. Neighbouring items of one stream become one chunk. Locks the run.
 */
import type { ReportItem } from "@helmr/protocol/worker";
import { logEventKind, type NewRunEvent } from "../domain/event.ts";
import { type LogStream, recordEnds } from "../domain/log-records.ts";
import { applyMetadata, type MetadataOperation } from "../domain/metadata.ts";
import { storableJson } from "../domain/storable.ts";
import { engineLimits } from "../limits.ts";
import { invalid, type Refusal } from "../outcome.ts";
import type { Tx } from "../store/db.ts";
import { leaseHeldRun } from "../store/lease.ts";
import { type LogStreamRow, type NewLogChunk, runLogStreams, runReport } from "../store/run-log.ts";
import type { LockedRun } from "../store/run.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { isHeldRun, type RunCall, type Stale, stale } from "../worker-actor.ts";
import type { ReportGap } from "./end-build.ts";

export interface AttemptReport {
  first: number;
  items: ReportItem[];
}

export async function reportAttempt(
  context: EngineContext,
  call: RunCall,
  report: AttemptReport,
): Promise<{ accepted: number } | Stale | ReportGap | Refusal> {
  return context.db.tx(async (tx) => {
    const params = { lease_id: call.leaseId, run_id: call.runId, worker_id: call.worker.workerId, fence: call.fence };
    const [run, streams] = await Promise.all([leaseHeldRun(tx, params), runLogStreams(tx, call.runId)]);
    if (!run || run.lease_attempt_id !== call.attemptId) return stale;
    const last = report.first + report.items.length - 1;
    if (last <= run.report_seq) return { accepted: run.report_seq };
    if (!isHeldRun(run, call)) return stale;
    if (report.first > run.report_seq + 1) return { gap: true, expected: run.report_seq + 1 };
    const fresh = report.items.slice(run.report_seq + 1 - report.first);
    const taken = takeItems(run, { streams, attemptId: call.attemptId, items: fresh, firstSeq: run.report_seq + 1 });
    if ("refused" in taken) return taken;
    await runReport(tx, run, {
      attemptId: call.attemptId,
      attemptNumber: run.attempt_number ?? 1,
      leaseId: call.leaseId,
      reportSeq: last,
      ...taken,
    });
    tx.afterCommit(() => {
      if (taken.chunks.length > 0) context.hints.send(topic.logs(run.id));
      context.hints.send(topic.run(run.id));
    });
    return { accepted: last };
  });
}

interface Taken {
  recordSeq: number;
  metadata: Record<string, unknown> | undefined;
  chunks: NewLogChunk[];
  streams: LogStreamRow[];
  events: NewRunEvent[];
}

interface Items {
  streams: LogStreamRow[];
  attemptId: string;
  items: ReportItem[];
  firstSeq: number;
}

/** Pure: what the items add to the run's logs, metadata and timeline. */
export function takeItems(
  run: Pick<LockedRun, "record_seq" | "metadata">,
  { streams, attemptId, items, firstSeq }: Items,
): Taken | Refusal {
  const present = new Map(streams.map((stream) => [stream.stream, stream]));
  const touched = new Map<LogStream, LogStreamRow>();
  const taken: Taken = { recordSeq: run.record_seq, metadata: undefined, chunks: [], streams: [], events: [] };
  for (const [index, item] of items.entries()) {
    if (item.kind === "metadata") {
      const operation = storableJson(item.operation) as MetadataOperation;
      taken.metadata = applyMetadata(taken.metadata ?? run.metadata, operation);
      taken.events.push({ kind: "run.metadata.updated", attributes: { ...operation } });
      continue;
    }
    const stream = touched.get(item.stream) ?? streamOfAttempt(present.get(item.stream), item.stream, attemptId);
    touched.set(item.stream, stream);
    const expected = stream.length - stream.attempt_start;
    if (item.offset !== expected)
      return invalid(`item ${firstSeq + index}: offset ${item.offset} of ${item.stream} does not continue the stream at ${expected}`);
    appendBytes(taken, stream, { data: Buffer.from(item.data, "base64"), observedSeq: firstSeq + index, ageMs: item.age_ms });
  }
  taken.streams = [...touched.values()];
  return taken;
}

/** A new attempt begins at the end of what earlier ones wrote. */
function streamOfAttempt(row: LogStreamRow | undefined, stream: LogStream, attemptId: string): LogStreamRow {
  const known = row ?? { stream, length: 0, tail: 0, attempt_id: attemptId, attempt_start: 0 };
  return known.attempt_id === attemptId ? { ...known } : { ...known, attempt_id: attemptId, attempt_start: known.length };
}

function appendBytes(taken: Taken, stream: LogStreamRow, item: { data: Buffer; observedSeq: number; ageMs: number }): void {
  for (let at = 0; at < item.data.length;) {
    const last = taken.chunks.at(-1);
    const joins = last?.stream === stream.stream && last.data.length < engineLimits.logChunkBytesMax;
    const room = engineLimits.logChunkBytesMax - (joins ? last.data.length : 0);
    const part = item.data.subarray(at, at + room);
    const { ends, tailAfter } = recordEnds(stream.stream, part, stream.tail);
    if (joins) {
      last.data = Buffer.concat([last.data, part]);
      last.recordCount += ends.length;
    } else {
      taken.chunks.push({
        stream: stream.stream,
        data: part,
        offset: stream.length,
        firstRecord: taken.recordSeq + 1,
        recordCount: ends.length,
        tailBefore: stream.tail,
        observedSeq: item.observedSeq,
        ageMs: item.ageMs,
      });
      taken.events.push({ kind: logEventKind[stream.stream], attributes: { bytes: part.length, observed_seq: item.observedSeq } });
    }
    taken.recordSeq += ends.length;
    stream.length += part.length;
    stream.tail = tailAfter;
    at += part.length;
  }
}

/** Unfinished last lines become records when their attempt is over. */
export async function closeLogTails(tx: Tx, run: LockedRun & { attempt_id: string; lease_id: string }, reportSeq: number): Promise<number> {
  const open = (await runLogStreams(tx, run.id)).filter((stream) => stream.tail > 0);
  if (open.length === 0) return 0;
  const chunks = open.map((stream, index): NewLogChunk => ({
    stream: stream.stream,
    data: Buffer.alloc(0),
    offset: stream.length,
    firstRecord: run.record_seq + 1 + index,
    recordCount: 1,
    tailBefore: stream.tail,
    observedSeq: reportSeq,
    ageMs: 0,
  }));
  return runReport(tx, run, {
    attemptId: run.attempt_id,
    attemptNumber: run.attempt_number ?? 1,
    leaseId: run.lease_id,
    reportSeq,
    recordSeq: run.record_seq + chunks.length,
    metadata: undefined,
    chunks,
    streams: open.map((stream) => ({ ...stream, tail: 0 })),
    events: [],
  });
}
