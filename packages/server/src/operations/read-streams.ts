/** Streams and records as they are read (http §5.1). Reading through the API takes nothing away: only a run that reads a record withdraws its continuation. */
import { type StreamDirection, streamId } from "../domain/stream.ts";
import type { EngineContext } from "../engine-context.ts";
import { isRefusal, type Refusal } from "../outcome.ts";
import { sessionLimits } from "../session-limits.ts";
import type { Queryable } from "../store/db.ts";
import { sessionGet, type SessionKey, type SessionRow } from "../store/session.ts";
import { type RecordRow, streamDeclared, streamList, streamRecordFirst, streamRecordList, type StreamRow } from "../store/stream.ts";
import { noStream } from "./append-stream-record.ts";
import { noSession } from "./read-sessions.ts";

export interface ReadStream extends StreamRow {
  id: string;
  session_id: string;
}

export async function listStreams({ db }: EngineContext, environmentId: string, key: SessionKey): Promise<ReadStream[] | Refusal> {
  const session = await sessionGet(db, environmentId, key);
  if (!session) return noSession();
  const rows = await streamList(db, session.id);
  return rows.map((row) => ({
    ...row,
    session_id: session.id,
    id: streamId({ sessionId: session.id, direction: row.direction, name: row.name }),
  }));
}

export interface RecordsQuery {
  environmentId: string;
  key: SessionKey;
  direction: StreamDirection;
  stream: string;
  after: number;
  correlationId: string | undefined;
}

export async function listRecords({ db }: EngineContext, query: RecordsQuery & { limit: number }): Promise<RecordRow[] | Refusal> {
  const session = await findDeclared(db, query);
  if (isRefusal(session)) return session;
  return streamRecordList(db, { ...pageOf(session, query), limit: query.limit, bytesMax: sessionLimits.recordPageBytesMax });
}

/** The first record that fits, or null; never blocks. */
export async function readRecord(on: Queryable, query: RecordsQuery): Promise<RecordRow | null | Refusal> {
  const session = await findDeclared(on, query);
  if (isRefusal(session)) return session;
  return (await streamRecordFirst(on, pageOf(session, query))) ?? null;
}

async function findDeclared(on: Queryable, { environmentId, key, direction, stream }: RecordsQuery): Promise<SessionRow | Refusal> {
  const session = await sessionGet(on, environmentId, key);
  if (!session) return noSession();
  const declared = await streamDeclared(on, { deployment_id: session.active_deployment_id, direction, name: stream });
  return declared ? session : noStream(stream, direction);
}

function pageOf(session: SessionRow, { direction, stream, after, correlationId }: RecordsQuery) {
  return { streamId: streamId({ sessionId: session.id, direction, name: stream }), after, correlationId: correlationId ?? null };
}
