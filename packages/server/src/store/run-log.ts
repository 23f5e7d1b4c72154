/**
 * Logs of runs: bytes in chunks, never a row per line (domain/log-records.ts). Written with the report of an attempt, under the lock of its run; the
 * bytes of all chunks of a report travel as one parameter.
 */
import type { NewRunEvent } from "../domain/event.ts";
import type { LogStream } from "../domain/log-records.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { type EventParams, eventInsert, eventParams } from "./run-event.ts";
import type { LockedRun } from "./run.ts";
import { statement } from "./statement.ts";

export interface LogStreamRow {
  stream: LogStream;
  length: number;
  tail: number;
  attempt_id: string | null;
  attempt_start: number;
}

const streams = statement<{ run_id: string }, LogStreamRow>(
  "run_log_streams_get",
  "select stream, length, tail, attempt_id, attempt_start from run_log_streams where run_id = $run_id",
);

interface ReportParams extends EventParams {
  attempt_id: string;
  lease_id: string;
  attempt_number: number;
  report_seq: number;
  log_seq: number;
  record_seq: number;
  metadata: string | null;
  data: Buffer;
  chunk_seqs: number[];
  chunk_streams: string[];
  chunk_offsets: number[];
  chunk_starts: number[];
  chunk_sizes: number[];
  chunk_first_records: number[];
  chunk_record_counts: number[];
  chunk_tails: number[];
  chunk_observed: number[];
  chunk_ages: number[];
  streams: string[];
  stream_lengths: number[];
  stream_tails: number[];
  stream_attempt_starts: number[];
}

const report = statement<ReportParams>(
  "run_report",
  `with appended as (${eventInsert} returning 1),
        chunks as (
          insert into run_log_chunks (run_id, seq, stream, offset_start, offset_end, first_record, record_count, tail_before, lease_id, attempt_id,
                                      attempt_number, observed_seq, data, observed_at)
          select $run_id, c.seq, c.stream, c.start, c.start + c.size, c.first_record, c.record_count, c.tail, $lease_id::uuid, $attempt_id::uuid,
                 $attempt_number, c.observed, substring($data::bytea from c.at + 1 for c.size), now() - c.age * interval '1 millisecond'
            from unnest($chunk_seqs::bigint[], $chunk_streams::text[], $chunk_offsets::int[], $chunk_starts::bigint[], $chunk_sizes::int[],
                        $chunk_first_records::bigint[], $chunk_record_counts::int[], $chunk_tails::int[], $chunk_observed::bigint[], $chunk_ages::bigint[])
              as c (seq, stream, at, start, size, first_record, record_count, tail, observed, age)),
        lengths as (
          insert into run_log_streams as s (run_id, stream, length, tail, attempt_id, attempt_start)
          select $run_id, n.stream, n.length, n.tail, $attempt_id::uuid, n.attempt_start
            from unnest($streams::text[], $stream_lengths::bigint[], $stream_tails::int[], $stream_attempt_starts::bigint[]) as n (stream, length, tail, attempt_start)
          on conflict (run_id, stream) do update
             set length = excluded.length, tail = excluded.tail, attempt_id = excluded.attempt_id, attempt_start = excluded.attempt_start),
        attempt as (update run_attempts set report_seq = $report_seq where id = $attempt_id::uuid)
   update runs
      set log_seq = $log_seq, record_seq = $record_seq, event_seq = event_seq + (select count(*) from appended),
          metadata = coalesce($metadata::jsonb, metadata), updated_at = case when $metadata::jsonb is null then updated_at else now() end
    where id = $run_id`,
);

export interface NewLogChunk {
  stream: LogStream;
  data: Buffer;
  offset: number;
  firstRecord: number;
  recordCount: number;
  tailBefore: number;
  observedSeq: number;
  ageMs: number;
}

export interface ReportWrite {
  attemptId: string;
  attemptNumber: number;
  leaseId: string;
  reportSeq: number;
  recordSeq: number;
  metadata: object | undefined;
  chunks: NewLogChunk[];
  streams: LogStreamRow[];
  events: NewRunEvent[];
}

export function runReport(tx: Tx, run: LockedRun, write: ReportWrite): Promise<number> {
  let at = 0;
  const offsets = write.chunks.map((chunk) => {
    const start = at;
    at += chunk.data.length;
    return start;
  });
  return tx.run(report, {
    ...eventParams(run, write.events),
    attempt_id: write.attemptId,
    lease_id: write.leaseId,
    attempt_number: write.attemptNumber,
    report_seq: write.reportSeq,
    log_seq: run.log_seq + write.chunks.length,
    record_seq: write.recordSeq,
    metadata: write.metadata === undefined ? null : json(write.metadata),
    data: write.chunks.length === 1 ? (write.chunks[0]?.data as Buffer) : Buffer.concat(write.chunks.map((chunk) => chunk.data)),
    chunk_seqs: write.chunks.map((_, index) => run.log_seq + 1 + index),
    chunk_streams: write.chunks.map((chunk) => chunk.stream),
    chunk_offsets: offsets,
    chunk_starts: write.chunks.map((chunk) => chunk.offset),
    chunk_sizes: write.chunks.map((chunk) => chunk.data.length),
    chunk_first_records: write.chunks.map((chunk) => chunk.firstRecord),
    chunk_record_counts: write.chunks.map((chunk) => chunk.recordCount),
    chunk_tails: write.chunks.map((chunk) => chunk.tailBefore),
    chunk_observed: write.chunks.map((chunk) => chunk.observedSeq),
    chunk_ages: write.chunks.map((chunk) => chunk.ageMs),
    streams: write.streams.map((stream) => stream.stream),
    stream_lengths: write.streams.map((stream) => stream.length),
    stream_tails: write.streams.map((stream) => stream.tail),
    stream_attempt_starts: write.streams.map((stream) => stream.attempt_start),
  });
}

export interface LogChunkRow {
  seq: number;
  stream: LogStream;
  offset_start: number;
  offset_end: number;
  first_record: number;
  record_count: number;
  tail_before: number;
  lease_id: string;
  attempt_number: number;
  observed_seq: number;
  data: Buffer;
  observed_at: string;
}

const chunkColumns =
  "seq, stream, offset_start, offset_end, first_record, record_count, tail_before, lease_id, attempt_number, observed_seq, data, observed_at";

const bytesAfter = statement<{ run_id: string; after: number; row_limit: number }, LogChunkRow>(
  "run_log_bytes_after",
  `select ${chunkColumns} from run_log_chunks
    where run_id = $run_id and seq > $after and stream in ('stdout', 'stderr') and offset_end > offset_start order by seq limit $row_limit`,
);

/** The last bytes of one stream, newest chunk first. */
const bytesFrom = statement<{ run_id: string; stream: string; from_offset: number }, { offset_start: number; data: Buffer }>(
  "run_log_bytes_from",
  `select offset_start, data from run_log_chunks
    where run_id = $run_id and stream = $stream and offset_end > $from_offset and offset_end > offset_start order by offset_start`,
);

const lastByteChunk = statement<{ run_id: string }, { seq: number }>(
  "run_log_last_byte_chunk",
  "select seq from run_log_chunks where run_id = $run_id and stream in ('stdout', 'stderr') and offset_end > offset_start order by seq desc limit 1",
);

/** Chunks in which records after a record id end. */
const recordChunks = statement<{ run_id: string; after: number; through: number }, LogChunkRow>(
  "run_log_record_chunks",
  `select ${chunkColumns} from run_log_chunks
    where run_id = $run_id and record_count > 0 and first_record <= $through
      and first_record >= coalesce((select max(first_record) from run_log_chunks where run_id = $run_id and record_count > 0 and first_record <= $after + 1), 0)
    order by first_record limit 500`,
);

const spanOf = statement<
  { run_id: string; stream: string; from_offset: number; to_offset: number },
  { offset_start: number; data: Buffer }
>(
  "run_log_span",
  `select offset_start, data from run_log_chunks
    where run_id = $run_id and stream = $stream and offset_end > $from_offset and offset_start < $to_offset and offset_end > offset_start order by offset_start`,
);

export const runLogStreams = (on: Queryable, runId: string) => on.all(streams, { run_id: runId });
export const runLogBytesAfter = (on: Queryable, runId: string, after: number, limit: number) =>
  on.all(bytesAfter, { run_id: runId, after, row_limit: limit });
export const runLogBytesFrom = (on: Queryable, runId: string, stream: LogStream, from: number) =>
  on.all(bytesFrom, { run_id: runId, stream, from_offset: from });
export const runLogLastByteChunk = async (on: Queryable, runId: string) => (await on.one(lastByteChunk, { run_id: runId }))?.seq ?? 0;
export const runLogRecordChunks = (on: Queryable, runId: string, after: number, through: number) =>
  on.all(recordChunks, { run_id: runId, after, through });
/** Bytes [from, to) of a stream as the chunks that hold them. */
export const runLogSpan = (on: Queryable, runId: string, span: { stream: LogStream; from: number; to: number }) =>
  on.all(spanOf, { run_id: runId, stream: span.stream, from_offset: span.from, to_offset: span.to });
