/** Logs of a run as they are read (http §7.5): the last bytes of each stream, chunks after a cursor, records after a record id. */
import { limits } from "@helmr/protocol/shared";
import { chunkRecords, type LogRecord, type LogStream } from "../domain/log-records.ts";
import type { EngineContext } from "../engine-context.ts";
import {
  type LogChunkRow,
  runLogBytesAfter,
  runLogBytesFrom,
  runLogLastByteChunk,
  runLogRecordChunks,
  runLogSpan,
  runLogStreams,
} from "../store/run-log.ts";
import { runExists } from "../store/run.ts";
import type { Page } from "./read-runs.ts";

export type { LogChunkRow };

export interface LogSnapshot {
  stdout: Buffer;
  stderr: Buffer;
  stdoutBytes: number;
  stderrBytes: number;
  truncated: boolean;
  /** Sequence of the last chunk that was looked at: a follower that begins there loses nothing. */
  cursor: number;
}

export async function readLogSnapshot({ db }: EngineContext, runId: string): Promise<LogSnapshot> {
  // The cursor first: bytes that arrive meanwhile are then sent twice to a follower, never lost.
  const cursor = await runLogLastByteChunk(db, runId);
  const streams = await runLogStreams(db, runId);
  const read = async (stream: LogStream) => {
    const length = streams.find((row) => row.stream === stream)?.length ?? 0;
    const from = Math.max(0, length - limits.logSnapshotBytes);
    const rows = length === 0 ? [] : await runLogBytesFrom(db, runId, stream, from);
    return { length, from, bytes: Buffer.concat(rows.map((row) => row.data.subarray(Math.max(0, from - row.offset_start)))) };
  };
  const [stdout, stderr] = await Promise.all([read("stdout"), read("stderr")]);
  return {
    stdout: stdout.bytes,
    stderr: stderr.bytes,
    stdoutBytes: stdout.length,
    stderrBytes: stderr.length,
    truncated: stdout.from > 0 || stderr.from > 0,
    cursor,
  };
}

export const readLogChunks = ({ db }: EngineContext, runId: string, after: number, limit: number): Promise<LogChunkRow[]> =>
  runLogBytesAfter(db, runId, after, limit);

/** True once nothing can be added any more: the run has finished. */
export async function logsAreOver({ db }: EngineContext, environmentId: string, runId: string): Promise<boolean> {
  return (await runExists(db, environmentId, runId))?.finished ?? true;
}

export async function readLogRecords(context: EngineContext, runId: string, after: number, limit: number): Promise<Page<LogRecord>> {
  const chunks = await runLogRecordChunks(context.db, runId, after, after + limit + 1);
  const records: LogRecord[] = [];
  for (const chunk of chunks) {
    const tail = await tailBefore(context, runId, chunk);
    for (const record of chunkRecords(asChunk(chunk), tail)) {
      if (record.id > after) records.push(record);
    }
    if (records.length > limit) break;
  }
  return { rows: records.slice(0, limit), more: records.length > limit };
}

function asChunk(row: LogChunkRow) {
  return {
    stream: row.stream,
    firstRecord: row.first_record,
    recordCount: row.record_count,
    tailBefore: row.tail_before,
    data: row.data,
    observedAt: row.observed_at,
  };
}

/** The unfinished bytes before a chunk stand in earlier chunks of its stream. */
async function tailBefore({ db }: EngineContext, runId: string, chunk: LogChunkRow): Promise<Uint8Array> {
  if (chunk.tail_before === 0) return new Uint8Array();
  const from = chunk.offset_start - chunk.tail_before;
  const rows = await runLogSpan(db, runId, { stream: chunk.stream, from, to: chunk.offset_start });
  return Buffer.concat(
    rows.map((row) => row.data.subarray(Math.max(0, from - row.offset_start), Math.max(0, chunk.offset_start - row.offset_start))),
  );
}
