/**
 * Streams of sessions and their records (domain/stream.ts). Ids of streams are computed; the row is made with the first use. Who appends holds the row of
 * the stream: sequences have no gaps. Locks: after the run.
 */
import type { StreamDirection } from "../domain/stream.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface StreamRow {
  name: string;
  direction: StreamDirection;
  sequence: number;
  created_at: string;
}

/** Everything the session's deployment declares, in a fixed order. */
const list = statement<{ session_id: string }, StreamRow>(
  "stream_list",
  `select d.direction, d.name, coalesce(t.sequence, 0) as sequence, coalesce(t.created_at, s.created_at) as created_at
     from sessions s
     join deployment_streams d on d.deployment_id = s.active_deployment_id
     left join session_streams t on t.session_id = s.id and t.direction = d.direction and t.name = d.name
    where s.id = $session_id
    order by d.direction, d.name collate "C"`,
);

interface Declared {
  deployment_id: string;
  direction: StreamDirection;
  name: string;
}

const declared = statement<Declared, { declared: boolean }>(
  "stream_declared",
  `select exists (select from deployment_streams where deployment_id = $deployment_id and direction = $direction and name = $name) as declared`,
);

interface NewStream {
  id: string;
  session_id: string;
  direction: StreamDirection;
  name: string;
}

/** As old as its session: a stream is there as soon as it is declared. */
const ensure = statement<NewStream>(
  "stream_ensure",
  `insert into session_streams (id, environment_id, session_id, direction, name, created_at)
   select $id, s.environment_id, s.id, $direction, $name, s.created_at from sessions s where s.id = $session_id
   on conflict (session_id, direction, name) do nothing`,
);

const lock = statement<{ id: string }, { sequence: number }>(
  "stream_lock",
  "select sequence from session_streams where id = $id for no key update",
);

export interface RecordRow {
  id: string;
  stream_id: string;
  sequence: number;
  data: unknown;
  content_type: string;
  correlation_id: string | null;
  created_at: string;
}

const columns = "r.id, r.stream_id, r.sequence, r.data, r.content_type, r.correlation_id, r.created_at";

const byKey = statement<{ stream_id: string; key_hash: Buffer }, RecordRow & { idempotency_fingerprint: Buffer; continued: boolean }>(
  "stream_record_by_key",
  `select ${columns}, r.idempotency_fingerprint, exists (select from continuations c where c.record_id = r.id) as continued
     from stream_records r where r.stream_id = $stream_id and r.idempotency_key_hash = $key_hash`,
);

export interface NewRecord {
  id: string;
  stream_id: string;
  sequence: number;
  data: string;
  content_type: string;
  correlation_id: string | null;
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
}

/** The stream is locked. The time is that of the append, so that it grows with the sequence. */
const insert = statement<NewRecord & { data_bytes: number }, { created_at: string }>(
  "stream_record_insert",
  `with record as (
          insert into stream_records (id, stream_id, sequence, data, data_bytes, content_type, correlation_id, idempotency_key_hash, idempotency_fingerprint, created_at)
          values ($id, $stream_id, $sequence, $data::json, $data_bytes, $content_type, $correlation_id, $idempotency_key_hash, $idempotency_fingerprint, clock_timestamp())
          returning created_at)
   update session_streams t set sequence = $sequence from record where t.id = $stream_id
   returning record.created_at`,
);

interface Page {
  stream_id: string;
  after: number;
  row_limit: number;
  bytes_max: number;
}

/** A page ends where its data would become too much, but never before its first record. */
const bounded = (rows: string) =>
  `select ${columns}
     from (select p.*, sum(p.data_bytes) over (order by p.sequence) as total, row_number() over (order by p.sequence) as place from (${rows}) p) r
    where r.total <= $bytes_max or r.place = 1
    order by r.sequence`;

const records = statement<Page, RecordRow>(
  "stream_record_list",
  bounded("select * from stream_records where stream_id = $stream_id and sequence > $after order by sequence limit $row_limit"),
);

const recordsOfCorrelation = statement<Page & { correlation_id: string }, RecordRow>(
  "stream_record_list_of_correlation",
  bounded(
    "select * from stream_records where stream_id = $stream_id and correlation_id = $correlation_id and sequence > $after order by sequence limit $row_limit",
  ),
);

const record = statement<{ id: string }, RecordRow>("stream_record_get", `select ${columns} from stream_records r where r.id = $id`);

export const streamList = (on: Queryable, sessionId: string) => on.all(list, { session_id: sessionId });
export const streamDeclared = async (on: Queryable, stream: Declared) => (await on.one(declared, stream))?.declared === true;
export const streamEnsure = (tx: Tx, stream: NewStream) => tx.run(ensure, stream);
export const streamLock = (tx: Tx, id: string) => tx.one(lock, { id });
export const streamRecordByKey = (on: Queryable, streamId: string, keyHash: Buffer) =>
  on.one(byKey, { stream_id: streamId, key_hash: keyHash });
export const streamRecordInsert = (tx: Tx, row: NewRecord) => tx.one(insert, { ...row, data_bytes: Buffer.byteLength(row.data) });
export const streamRecordGet = (on: Queryable, id: string) => on.one(record, { id });

export interface RecordPage {
  streamId: string;
  after: number;
  correlationId: string | null;
  limit: number;
  bytesMax: number;
}

export function streamRecordList(on: Queryable, page: RecordPage): Promise<RecordRow[]> {
  const params = { stream_id: page.streamId, after: page.after, row_limit: page.limit, bytes_max: page.bytesMax };
  return page.correlationId === null
    ? on.all(records, params)
    : on.all(recordsOfCorrelation, { ...params, correlation_id: page.correlationId });
}

/** The first record that fits, however large it is. */
export const streamRecordFirst = async (on: Queryable, filter: Pick<RecordPage, "streamId" | "after" | "correlationId">) =>
  (await streamRecordList(on, { ...filter, limit: 1, bytesMax: 0 }))[0];
