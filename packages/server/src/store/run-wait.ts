/**
 * Waits of runs (domain/wait.ts). Opened and resolved under the lock of their run, together with the timeline. `wake_at` is when somebody must look at an
 * open one: its own time, or at once when its token was decided. Locks: after the run, and after the token of a completion.
 */
import type { NewRunEvent } from "../domain/event.ts";
import type { TokenState } from "../domain/token.ts";
import { runTransitions } from "../domain/run.ts";
import { inStates } from "../domain/transitions.ts";
import { conditionTransitions, suspensionTransitions, type WaitCondition, type WaitKind, type WaitSuspension } from "../domain/wait.ts";
import { sessionLimits } from "../session-limits.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { type EventParams, type EventSubject, eventInsert, eventParams } from "./run-event.ts";
import { statement } from "./statement.ts";

/** A wait with what it looks at, or was resolved by. */
export interface WaitRow {
  id: string;
  environment_id: string;
  run_id: string;
  attempt_id: string;
  call_id: number;
  /** null: given up before it arrived. */
  kind: WaitKind | null;
  condition: WaitCondition;
  suspension: WaitSuspension;
  parkable: boolean;
  token_id: string | null;
  stream_id: string | null;
  after_sequence: number | null;
  correlation_id: string | null;
  /** By the database's clock. */
  due: boolean;
  timed_out: boolean;
  /** What is left of the time it stays live. */
  live_ms: number | null;
  token_state: TokenState | null;
  token_past_timeout: boolean;
  token_data: unknown;
  record_id: string | null;
}

const columns = `w.id, w.environment_id, w.run_id, w.attempt_id, w.call_id, w.kind, w.condition, w.suspension, w.parkable, w.token_id, w.stream_id,
       coalesce(w.after_sequence, 0) as after_sequence, w.correlation_id, coalesce(w.due_at <= now(), false) as due,
       coalesce(w.timeout_at <= now(), false) as timed_out,
       greatest(0, (extract(epoch from (w.park_after - now())) * 1000))::bigint as live_ms,
       t.state as token_state, coalesce(t.timeout_at <= now(), false) as token_past_timeout, t.data as token_data, w.record_id`;
const source = "from run_waits w left join tokens t on t.id = w.token_id";

const get = statement<{ id: string }, WaitRow>("wait_get", `select ${columns} ${source} where w.id = $id`);
const byCall = statement<{ attempt_id: string; call_id: number }, WaitRow>(
  "wait_get_by_call",
  `select ${columns} ${source} where w.attempt_id = $attempt_id and w.call_id = $call_id`,
);

const runOf = statement<{ id: string }, { run_id: string; environment_id: string }>(
  "wait_run",
  "select run_id, environment_id from run_waits where id = $id and condition = 'open'",
);

const openCount = statement<{ run_id: string }, { count: number }>(
  "wait_open_count",
  "select count(*) as count from run_waits where run_id = $run_id and condition = 'open'",
);

interface OpenParams extends EventParams {
  wait_id: string;
  environment_id: string;
  attempt_id: string;
  call_id: number;
  kind: WaitKind;
  condition: WaitCondition;
  parkable: boolean;
  token_id: string | null;
  stream_id: string | null;
  after_sequence: number | null;
  correlation_id: string | null;
  delay_ms: number | null;
  timeout_seconds: number | null;
  live_ms: number | null;
  params: string;
  metadata: string;
  tags: string[];
  record_id: string | null;
  resolved_by: string | null;
}

/** One that is satisfied at once is stored too: its id is in the timeline, and a repeat of the call finds it. */
const open = statement<OpenParams>(
  "wait_open",
  `with appended as (${eventInsert} returning 1),
        opened as (
          insert into run_waits (id, environment_id, run_id, attempt_id, call_id, kind, condition, suspension, parkable, token_id, stream_id, after_sequence,
                                 correlation_id, due_at, timeout_at, timeout_seconds, params, metadata, tags, record_id, resolved_by, resolved_at, park_after, wake_at)
          select $wait_id, $environment_id, $run_id, $attempt_id, $call_id, $kind, $condition, 'live', $parkable, $token_id::uuid, $stream_id::uuid, $after_sequence,
                 $correlation_id, x.due_at, x.timeout_at, $timeout_seconds, $params::jsonb, $metadata::jsonb, $tags::text[], $record_id::uuid, $resolved_by::jsonb,
                 case when $condition <> 'open' then now() end, now() + $live_ms * interval '1 millisecond',
                 case when $condition = 'open' then least(x.due_at, x.timeout_at) end
            from (select now() + $delay_ms * interval '1 millisecond' as due_at, now() + $timeout_seconds::int * interval '1 second' as timeout_at) x)
   update runs set event_seq = event_seq + (select count(*) from appended), updated_at = now() where id = $run_id`,
);

/** The program gave the wait up before it was opened. */
const openGivenUp = statement<{ id: string; environment_id: string; run_id: string; attempt_id: string; call_id: number }>(
  "wait_open_given_up",
  `insert into run_waits (id, environment_id, run_id, attempt_id, call_id, condition, suspension, parkable, params, resolved_by, resolved_at)
   values ($id, $environment_id, $run_id, $attempt_id, $call_id, 'cancelled', 'live', false, '{}', '{"kind": "given_up"}', now())`,
);

interface ResolveParams extends EventParams {
  wait_id: string;
  condition: WaitCondition;
  record_id: string | null;
  resolved_by: string;
}

const resolve = statement<ResolveParams>(
  "wait_resolve",
  `with appended as (${eventInsert} returning 1),
        resolved as (update run_waits
                        set condition = $condition, record_id = $record_id::uuid, resolved_by = $resolved_by::jsonb, resolved_at = now(), wake_at = null
                      where id = $wait_id and condition ${inStates(conditionTransitions.satisfy.from)})
   update runs set event_seq = event_seq + (select count(*) from appended), updated_at = now() where id = $run_id`,
);

/** The row itself: a token that is decided meanwhile waits for it before it says "look". */
const lock = statement<{ id: string }>("wait_lock", "select from run_waits where id = $id for no key update");

/** Open waits of a run that a new record satisfies. Index run_waits_stream_open. */
const fitting = statement<{ run_id: string; stream_id: string; sequence: number; correlation_id: string | null }, WaitRow>(
  "wait_fitting",
  `select ${columns} ${source}
    where w.stream_id = $stream_id and w.condition = 'open' and w.run_id = $run_id and coalesce(w.after_sequence, 0) < $sequence
      and (w.correlation_id is null or w.correlation_id = $correlation_id)
    order by w.call_id`,
);

const due = statement<{ row_limit: number }, { id: string }>(
  "wait_due",
  "select id from run_waits where condition = 'open' and wake_at <= now() order by wake_at limit $row_limit",
);
const nextWake = statement<Record<never, never>, { due_ms: number }>(
  "wait_next_wake",
  `select (extract(epoch from (wake_at - now())) * 1000)::float8 as due_ms from run_waits
    where condition = 'open' and wake_at is not null order by wake_at limit 1`,
);

/** A parked run that goes on: its wait keeps the outcome, its checkpoint brings it back. */
const resume = statement<{ run_id: string }>(
  "wait_resume_run",
  `update runs set state = '${runTransitions.resume.to}', queued_at = now(), updated_at = now()
    where id = $run_id and state ${inStates(runTransitions.resume.from)}`,
);

/** The wait's part of the cut that parks its run; the run's own columns are the operation's. Zero rows: it was decided, or is not live. */
const park = statement<{ id: string }>(
  "wait_park",
  `update run_waits set suspension = '${suspensionTransitions.parked.to}', parked_at = now()
    where id = $id and condition = 'open' and suspension ${inStates(suspensionTransitions.parked.from)}`,
);

export interface OutcomeRow extends WaitRow {
  lease_id: string;
}

/** Of waits that a holder still misses the outcome of. */
const asked = statement<{ lease_ids: string[]; call_ids: number[] }, OutcomeRow>(
  "wait_outcomes_asked",
  `select l.id as lease_id, ${columns}
     from unnest($lease_ids::uuid[], $call_ids::bigint[]) as x (lease_id, call_id)
     join leases l on l.id = x.lease_id and l.state = 'held'
     join run_waits w on w.attempt_id = l.attempt_id and w.call_id = x.call_id and w.condition <> 'open' and w.kind is not null
     left join tokens t on t.id = w.token_id`,
);

interface Pushed {
  lease_ids: string[];
  within_ms: number;
  bytes_max: number;
}

/**
 * Of waits that were resolved a moment ago behind the holder's back: the latest calls of each attempt. An outcome that is too large for a push is left to
 * the next renewal. The count is a constant and sizes are looked up row by row: a plan that is kept would take an unknown count for a tenth of the table.
 */
const recent = statement<Pushed, OutcomeRow>(
  "wait_outcomes_recent",
  `select l.id as lease_id, ${columns}
     from unnest($lease_ids::uuid[]) as x (lease_id)
     join leases l on l.id = x.lease_id and l.state = 'held'
     cross join lateral (select * from run_waits w where w.attempt_id = l.attempt_id order by w.call_id desc limit ${sessionLimits.pushedOutcomesMax}) w
     left join lateral (select * from tokens t where t.id = w.token_id limit 1) t on true
    where w.condition <> 'open' and w.kind is not null and w.resolved_at > now() - $within_ms * interval '1 millisecond'
      and w.resolved_by ->> 'kind' <> 'at_once'
      and coalesce(octet_length(t.data::text), (select r.data_bytes from stream_records r where r.id = w.record_id), 0) <= $bytes_max`,
);

export const waitGet = (on: Queryable, id: string) => on.one(get, { id });
export const waitByCall = (on: Queryable, attemptId: string, callId: number) => on.one(byCall, { attempt_id: attemptId, call_id: callId });
/** Of an open wait. */
export const waitRun = (on: Queryable, id: string) => on.one(runOf, { id });
export const waitOpenCount = async (on: Queryable, runId: string) => (await on.one(openCount, { run_id: runId }))?.count ?? 0;

export type NewWait = Omit<OpenParams, keyof EventParams | "params" | "metadata" | "resolved_by"> & {
  params: object;
  metadata: object;
  resolved_by: object | null;
};

/** The run is locked. */
export const waitOpen = (tx: Tx, run: EventSubject, wait: NewWait, events: NewRunEvent[]) =>
  tx.run(open, {
    ...eventParams(run, events),
    ...wait,
    params: json(wait.params),
    metadata: json(wait.metadata),
    resolved_by: wait.resolved_by && json(wait.resolved_by),
  });

export const waitOpenGivenUp = (tx: Tx, row: { id: string; environment_id: string; run_id: string; attempt_id: string; call_id: number }) =>
  tx.run(openGivenUp, row);

export interface Resolution {
  waitId: string;
  condition: Exclude<WaitCondition, "open">;
  recordId: string | null;
  resolvedBy: object;
}

/** The run is locked. */
export const waitResolve = (tx: Tx, run: EventSubject, { waitId, condition, recordId, resolvedBy }: Resolution, events: NewRunEvent[]) =>
  tx.run(resolve, { ...eventParams(run, events), wait_id: waitId, condition, record_id: recordId, resolved_by: json(resolvedBy) });

/** Two statements that travel together: what is read is as it is under the lock. */
export async function waitLock(tx: Tx, id: string): Promise<WaitRow | undefined> {
  const [, row] = await Promise.all([tx.run(lock, { id }), tx.one(get, { id })]);
  return row;
}

export const waitFitting = (tx: Tx, record: { run_id: string; stream_id: string; sequence: number; correlation_id: string | null }) =>
  tx.all(fitting, record);
export const waitDue = (on: Queryable, limit: number) => on.all(due, { row_limit: limit });
export const waitNextWakeMs = async (on: Queryable) => (await on.one(nextWake, {}))?.due_ms;
export const waitResumeRun = (tx: Tx, runId: string) => tx.run(resume, { run_id: runId });
export const waitPark = (tx: Tx, id: string) => tx.run(park, { id });

export const waitOutcomesAsked = (on: Queryable, calls: readonly { leaseId: string; callId: number }[]) =>
  on.all(asked, { lease_ids: calls.map((call) => call.leaseId), call_ids: calls.map((call) => call.callId) });
export const waitOutcomesRecent = (on: Queryable, pushed: Pushed) => on.all(recent, pushed);
