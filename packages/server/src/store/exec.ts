/** Execs and terminals, and their byte streams. A row of a stream is locked by whoever writes to it; an exec after its mount. */
import type { ProcessKind, ProcessState, StreamName } from "../domain/exec.ts";
import type { MountState } from "../domain/workspace.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

const ended = "('exited', 'terminated', 'lost', 'failed', 'closed')";

export interface ExecRow {
  id: string;
  environment_id: string;
  workspace_id: string;
  kind: ProcessKind;
  mount_id: string | null;
  command: string[];
  cwd: string;
  env: Record<string, string>;
  detached: boolean;
  cols: number | null;
  rows: number | null;
  state: ProcessState;
  process_id: string | null;
  exit_code: number | null;
  signal: string | null;
  error: unknown;
  stdin_closed_at: string | null;
  lengths: Partial<Record<StreamName, number>>;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  updated_at: string;
}

const columns = `x.id, x.environment_id, x.workspace_id, x.kind, x.mount_id, x.command, x.cwd, x.env, x.detached, x.cols, x.rows, x.state, x.process_id, x.exit_code,
       x.signal, x.error, x.stdin_closed_at, x.created_at, x.started_at, x.ended_at, x.updated_at,
       (select json_object_agg(s.name, s.length) from byte_streams s where s.exec_id = x.id) as lengths`;

interface InsertParams {
  id: string;
  environment_id: string;
  workspace_id: string;
  kind: ProcessKind;
  command: string[];
  cwd: string;
  env: string;
  detached: boolean;
  cols: number | null;
  rows: number | null;
  state: ProcessState;
  timeout_seconds: number | null;
  idempotency_key_hash: Buffer | null;
  idempotency_fingerprint: Buffer | null;
  streams: StreamName[];
}

/** Waits for a mount; its streams are there from the first moment, so that input may come before it runs. */
const insert = statement<InsertParams>(
  "exec_insert",
  `with made as (
     insert into workspace_execs (id, environment_id, workspace_id, kind, command, cwd, env, detached, cols, rows, state, timeout_seconds,
                                  idempotency_key_hash, idempotency_fingerprint)
     values ($id, $environment_id, $workspace_id, $kind, $command::text[], $cwd, $env::jsonb, $detached, $cols, $rows, $state, $timeout_seconds,
             $idempotency_key_hash, $idempotency_fingerprint))
   insert into byte_streams (exec_id, name) select $id, unnest($streams::text[])`,
);

const get = statement<{ environment_id: string; workspace_id: string; id: string; kind: ProcessKind }, ExecRow>(
  "exec_get",
  `select ${columns} from workspace_execs x
    where x.environment_id = $environment_id and x.workspace_id = $workspace_id and x.id = $id and x.kind = $kind`,
);
const list = statement<{ workspace_id: string; kind: ProcessKind; state: string | null; row_limit: number }, ExecRow>(
  "exec_list",
  `select ${columns} from workspace_execs x where x.workspace_id = $workspace_id and x.kind = $kind and ($state::text is null or x.state = $state)
    order by x.created_at desc, x.id desc limit $row_limit`,
);
const byKey = statement<{ workspace_id: string; kind: ProcessKind; key_hash: Buffer }, { id: string; idempotency_fingerprint: Buffer }>(
  "exec_of_key",
  "select id, idempotency_fingerprint from workspace_execs where workspace_id = $workspace_id and kind = $kind and idempotency_key_hash = $key_hash",
);

export interface LockedExec {
  id: string;
  kind: ProcessKind;
  state: ProcessState;
  stdin_closed_at: string | null;
  workspace_id: string;
  worker_id: string | null;
}
const lock = statement<{ environment_id: string; workspace_id: string; id: string; kind: ProcessKind }, LockedExec>(
  "exec_lock",
  `select x.id, x.kind, x.state, x.stdin_closed_at, x.workspace_id, (select m.worker_id from workspace_mounts m where m.id = x.mount_id) as worker_id
     from workspace_execs x
    where x.environment_id = $environment_id and x.workspace_id = $workspace_id and x.id = $id and x.kind = $kind for no key update of x`,
);

export interface ExecTarget {
  state: ProcessState;
  stdin_closed_at: string | null;
  worker_id: string | null;
  lease_id: string | null;
}
/** Where input goes; nothing is locked but the stream, which its writer locks next. */
const target = statement<{ environment_id: string; workspace_id: string; id: string; kind: ProcessKind }, ExecTarget>(
  "exec_target",
  `select x.state, x.stdin_closed_at, m.worker_id, m.lease_id from workspace_execs x left join workspace_mounts m on m.id = x.mount_id
    where x.environment_id = $environment_id and x.workspace_id = $workspace_id and x.id = $id and x.kind = $kind`,
);

/** Every exec that waits is bound to the mount, each with a number of its own there. The workspace is locked. */
const bind = statement<{ workspace_id: string; mount_id: string }, { id: string }>(
  "exec_bind",
  `with last as (select coalesce(max(number), 0) as number from workspace_execs where mount_id = $mount_id),
        waiting as (select id, row_number() over (order by created_at, id) as n from workspace_execs
                     where workspace_id = $workspace_id and mount_id is null and state not in ${ended})
   update workspace_execs x set mount_id = $mount_id, number = last.number + waiting.n, updated_at = now(),
          state = case when x.kind = 'exec' then 'queued' else x.state end
     from waiting, last where x.id = waiting.id returning x.id`,
);

/** A lease's mount is not live any more, or it is ended now: what ran in it is over. */
const endOfMount = statement<{ mount_id: string; state: "lost" | "terminated"; message: string }, { id: string }>(
  "exec_end_of_mount",
  `update workspace_execs set state = case when $state::text = 'terminated' and kind = 'pty' then 'closed' else $state::text end,
          error = jsonb_build_object('message', $message::text), ended_at = now(), updated_at = now()
    where mount_id = $mount_id and state not in ${ended} returning id`,
);

/** What is left of mounts that ended. Index workspace_execs_live of each workspace would not do: looked for by mount. */
const orphans = statement<{ row_limit: number }, { mount_id: string }>(
  "exec_orphans",
  `select x.mount_id from workspace_mounts m join workspace_execs x on x.mount_id = m.id and x.state not in ${ended}
    where m.state in ('unmounted', 'lost', 'failed') and m.updated_at > now() - interval '1 day' limit $row_limit`,
);
const waiting = statement<{ row_limit: number }, { workspace_id: string; environment_id: string }>(
  "exec_waiting",
  `select workspace_id, environment_id from workspace_execs
    where mount_id is null and state not in ${ended} order by created_at limit $row_limit`,
);
const anyWaiting = statement<{ workspace_id: string }, { id: string }>(
  "exec_any_waiting",
  `select id from workspace_execs where workspace_id = $workspace_id and mount_id is null and state not in ${ended} limit 1`,
);
const anyLive = statement<{ workspace_id: string }, { id: string }>(
  "exec_any_live",
  `select id from workspace_execs where workspace_id = $workspace_id and state not in ${ended} limit 1`,
);

export interface OrderRow {
  id: string;
  lease_id: string;
  kind: ProcessKind;
  number: number;
  command: string[];
  cwd: string;
  env: Record<string, string>;
  timeout_seconds: number | null;
  cols: number | null;
  rows: number | null;
  state: ProcessState;
  started: boolean;
  input_length: number;
  stdin_closed: boolean;
  kill_signal: string | null;
  kill_seq: number;
}
/** What should run in the mounts of these leases. */
const orders = statement<{ lease_ids: string[] }, OrderRow>(
  "exec_orders",
  `select x.id, l.id as lease_id, x.kind, x.number, x.command, x.cwd, x.env, x.timeout_seconds, x.cols, x.rows, x.state, x.started_at is not null as started,
          coalesce(i.length, 0) as input_length, x.stdin_closed_at is not null as stdin_closed, x.kill_signal, x.kill_seq
     from unnest($lease_ids::uuid[]) as wanted (id)
     join leases l on l.id = wanted.id and l.state = 'held'
     left join runs r on r.id = l.run_id
     join workspace_mounts m on m.lease_id = l.id and (m.id = l.mount_id or m.workspace_id = r.workspace_id) and m.state in ('mounted', 'unmounting')
     join workspace_execs x on x.mount_id = m.id and x.state not in ${ended}
     left join byte_streams i on i.exec_id = x.id and i.name = case when x.kind = 'pty' then 'input' else 'stdin' end
    order by x.number`,
);

export interface HeldExec {
  id: string;
  kind: ProcessKind;
  state: ProcessState;
  environment_id: string;
  workspace_id: string;
  mount_id: string;
  mount_state: MountState;
  stop_reason: string | null;
}
/** Of the holder of its mount's lease, in time. */
const held = statement<{ exec_id: string; lease_id: string; worker_id: string; fence: number }, HeldExec>(
  "exec_held",
  `select x.id, x.kind, x.state, x.environment_id, x.workspace_id, x.mount_id, m.state as mount_state, m.stop_reason
     from workspace_execs x
     join workspace_mounts m on m.id = x.mount_id and m.lease_id = $lease_id
     join leases l on l.id = m.lease_id
    where x.id = $exec_id and l.worker_id = $worker_id and l.fence = $fence and l.state = 'held' and l.deadline > now()
      for no key update of x`,
);

const start = statement<{ id: string; process_id: string; state: ProcessState }>(
  "exec_start",
  "update workspace_execs set state = $state, process_id = $process_id, started_at = now(), updated_at = now() where id = $id and started_at is null and ended_at is null",
);
interface EndParams {
  id: string;
  state: ProcessState;
  exit_code: number | null;
  signal: string | null;
  error: string | null;
}
const end = statement<EndParams>(
  "exec_end",
  `with streams as (update byte_streams set closed_at = coalesce(closed_at, now()) where exec_id = $id)
   update workspace_execs set state = $state, exit_code = $exit_code, signal = $signal, error = $error::jsonb, ended_at = now(), updated_at = now()
    where id = $id and state not in ${ended}`,
);
const closeStdin = statement<{ id: string }>(
  "exec_close_stdin",
  "update workspace_execs set stdin_closed_at = coalesce(stdin_closed_at, now()), updated_at = now() where id = $id",
);
const signal = statement<{ id: string; name: string }>(
  "exec_signal",
  `update workspace_execs set kill_signal = $name, kill_seq = kill_seq + 1, updated_at = now() where id = $id and state not in ${ended}`,
);
const resize = statement<{ id: string; cols: number; rows: number }>(
  "exec_resize",
  "update workspace_execs set cols = $cols, rows = $rows, updated_at = now() where id = $id",
);
const setState = statement<{ id: string; state: ProcessState }>(
  "exec_set_state",
  `update workspace_execs set state = $state::text, updated_at = now(), ended_at = case when $state::text in ${ended} then now() end where id = $id and state not in ${ended}`,
);

export interface StreamRow {
  length: number;
  earliest: number;
  delivered: number;
  closed: boolean;
}
const streamLock = statement<{ exec_id: string; name: StreamName }, StreamRow>(
  "byte_stream_lock",
  "select length, earliest, delivered, closed_at is not null as closed from byte_streams where exec_id = $exec_id and name = $name for no key update",
);
const stream = statement<{ exec_id: string; name: StreamName }, StreamRow>(
  "byte_stream_get",
  "select length, earliest, delivered, closed_at is not null as closed from byte_streams where exec_id = $exec_id and name = $name",
);

export interface ChunkRow {
  id: string;
  name: StreamName;
  offset_start: number;
  offset_end: number;
  data: Buffer;
  observed_at: string;
  created_at: string;
}
const append = statement<
  { exec_id: string; name: StreamName; ids: string[]; starts: number[]; ends: number[]; datas: Buffer[]; length: number },
  ChunkRow
>(
  "byte_chunk_append",
  `with grown as (update byte_streams set length = $length where exec_id = $exec_id and name = $name)
   insert into byte_chunks (id, exec_id, name, offset_start, offset_end, data, observed_at)
   select c.id, $exec_id, $name, c.offset_start, c.offset_end, c.data, now()
     from unnest($ids::uuid[], $starts::bigint[], $ends::bigint[], $datas::bytea[]) as c (id, offset_start, offset_end, data)
   returning id, name, offset_start, offset_end, data, observed_at, created_at`,
);
/** The chunk that holds the cursor is part of the answer; index byte_chunks (exec_id, name, offset_start). */
const chunks = statement<{ exec_id: string; name: StreamName; from: number; row_limit: number }, ChunkRow>(
  "byte_chunk_list",
  `select id, name, offset_start, offset_end, data, observed_at, created_at from byte_chunks
    where exec_id = $exec_id and name = $name
      and offset_start >= coalesce((select max(c.offset_start) from byte_chunks c where c.exec_id = $exec_id and c.name = $name and c.offset_start <= $from), 0)
      and offset_end > $from
    order by offset_start limit $row_limit`,
);
/** A stream and its chunks from a cursor on in one look, for followers; without chunks one row has only the stream. */
const page = statement<{ exec_id: string; name: StreamName; from: number; row_limit: number }, StreamRow & (ChunkRow | { id: null })>(
  "byte_stream_page",
  `select s.length, s.earliest, s.delivered, s.closed_at is not null as closed, c.id, c.name, c.offset_start, c.offset_end, c.data, c.observed_at, c.created_at
     from byte_streams s
     left join lateral (
       select * from byte_chunks b
        where b.exec_id = s.exec_id and b.name = s.name and s.length > $from
          and b.offset_start >= coalesce((select max(o.offset_start) from byte_chunks o where o.exec_id = $exec_id and o.name = $name and o.offset_start <= $from), 0)
          and b.offset_end > $from
        order by b.offset_start limit $row_limit) c on true
    where s.exec_id = $exec_id and s.name = $name
    order by c.offset_start`,
);
/** Whole chunks below what is kept. */
const trim = statement<{ exec_id: string; name: StreamName; below: number }>(
  "byte_chunk_trim",
  `with gone as (delete from byte_chunks where exec_id = $exec_id and name = $name and offset_start < $below and offset_end <= $below returning offset_end)
   update byte_streams set earliest = greatest(earliest, coalesce((select max(offset_end) from gone), earliest)) where exec_id = $exec_id and name = $name`,
);
const setDelivered = statement<{ exec_id: string; name: StreamName; delivered: number }>(
  "byte_stream_set_delivered",
  "update byte_streams set delivered = least(length, greatest(delivered, $delivered)) where exec_id = $exec_id and name = $name",
);
const prune = statement<{ older_ms: number; row_limit: number }>(
  "exec_prune",
  `delete from workspace_execs where id in (select id from workspace_execs where ended_at < now() - $older_ms * interval '1 millisecond' order by ended_at limit $row_limit)`,
);

export interface ExecAddress {
  environmentId: string;
  workspaceId: string;
  id: string;
  kind: ProcessKind;
}
const addressed = ({ environmentId, workspaceId, id, kind }: ExecAddress) => ({
  environment_id: environmentId,
  workspace_id: workspaceId,
  id,
  kind,
});

export const execInsert = (tx: Tx, row: Omit<InsertParams, "env"> & { env: Record<string, string> }) =>
  tx.run(insert, { ...row, env: json(row.env) });
export const execGet = (on: Queryable, address: ExecAddress) => on.one(get, addressed(address));
export const execLock = (tx: Tx, address: ExecAddress) => tx.one(lock, addressed(address));
export const execTarget = (tx: Tx, address: ExecAddress) => tx.one(target, addressed(address));
export const execList = (on: Queryable, filter: { workspaceId: string; kind: ProcessKind; state: string | undefined; limit: number }) =>
  on.all(list, { workspace_id: filter.workspaceId, kind: filter.kind, state: filter.state ?? null, row_limit: filter.limit });
export const execOfKey = (tx: Tx, workspaceId: string, kind: ProcessKind, keyHash: Buffer) =>
  tx.one(byKey, { workspace_id: workspaceId, kind, key_hash: keyHash });
export const execBind = (tx: Tx, workspaceId: string, mountId: string) => tx.all(bind, { workspace_id: workspaceId, mount_id: mountId });
export const execEndOfMount = (on: Queryable, mountId: string, ending: { state: "lost" | "terminated"; message: string }) =>
  on.all(endOfMount, { mount_id: mountId, ...ending });
export const execOrphans = (on: Queryable, limit: number) => on.all(orphans, { row_limit: limit });
export const execWaiting = (on: Queryable, limit: number) => on.all(waiting, { row_limit: limit });
export const execAnyWaiting = async (tx: Tx, workspaceId: string) =>
  (await tx.one(anyWaiting, { workspace_id: workspaceId })) !== undefined;
export const execAnyLive = async (tx: Tx, workspaceId: string) => (await tx.one(anyLive, { workspace_id: workspaceId })) !== undefined;
export const execOrders = (on: Queryable, leaseIds: string[]) => on.all(orders, { lease_ids: leaseIds });
export const execHeld = (tx: Tx, params: { exec_id: string; lease_id: string; worker_id: string; fence: number }) => tx.one(held, params);
export const execStart = (tx: Tx, id: string, processId: string, state: ProcessState) =>
  tx.run(start, { id, process_id: processId, state });
export const execEnd = (
  tx: Tx,
  id: string,
  ending: { state: ProcessState; exitCode: number | null; signal: string | null; error: object | null },
) =>
  tx.run(end, {
    id,
    state: ending.state,
    exit_code: ending.exitCode,
    signal: ending.signal,
    error: ending.error === null ? null : json(ending.error),
  });
export const execCloseStdin = (tx: Tx, id: string) => tx.run(closeStdin, { id });
export const execSignal = (tx: Tx, id: string, name: string) => tx.run(signal, { id, name });
export const execResize = (tx: Tx, id: string, size: { cols: number; rows: number }) => tx.run(resize, { id, ...size });
export const execSetState = (tx: Tx, id: string, state: ProcessState) => tx.run(setState, { id, state });
export const byteStreamLock = (tx: Tx, execId: string, name: StreamName) => tx.one(streamLock, { exec_id: execId, name });
export const byteStreamGet = (on: Queryable, execId: string, name: StreamName) => on.one(stream, { exec_id: execId, name });

export interface Appended {
  execId: string;
  name: StreamName;
  length: number;
  chunks: { id: string; start: number; data: Buffer }[];
}
export const byteChunkAppend = (tx: Tx, { execId, name, length, chunks: parts }: Appended) =>
  tx.all(append, {
    exec_id: execId,
    name,
    length,
    ids: parts.map((part) => part.id),
    starts: parts.map((part) => part.start),
    ends: parts.map((part) => part.start + part.data.length),
    datas: parts.map((part) => part.data),
  });
export async function byteStreamPage(
  on: Queryable,
  execId: string,
  name: StreamName,
  { from, limit }: { from: number; limit: number },
): Promise<{ stream: StreamRow; chunks: ChunkRow[] } | undefined> {
  const rows = await on.all(page, { exec_id: execId, name, from, row_limit: limit });
  const [stream] = rows;
  return stream && { stream, chunks: rows.filter((row): row is StreamRow & ChunkRow => row.id !== null) };
}
export const byteChunkList = (on: Queryable, execId: string, name: StreamName, page: { from: number; limit: number }) =>
  on.all(chunks, { exec_id: execId, name, from: page.from, row_limit: page.limit });
export const byteChunkTrim = (tx: Tx, execId: string, name: StreamName, below: number) => tx.run(trim, { exec_id: execId, name, below });
export const byteStreamSetDelivered = (on: Queryable, execId: string, name: StreamName, delivered: number) =>
  on.run(setDelivered, { exec_id: execId, name, delivered });
export const execPrune = (on: Queryable, olderMs: number, limit: number) => on.run(prune, { older_ms: olderMs, row_limit: limit });
