/** Requests of unread input records for one more run (domain/continuation.ts). Started under the lock of the session, read under that of a live run. */
import { continuationTransitions } from "../domain/continuation.ts";
import type { SessionState } from "../domain/session.ts";
import { inStates } from "../domain/transitions.ts";
import { engineLimits } from "../limits.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

const insert = statement<{ record_id: string; session_id: string; stream_id: string; sequence: number }>(
  "continuation_insert",
  `insert into continuations (record_id, session_id, stream_id, sequence, state) values ($record_id, $session_id, $stream_id, $sequence, 'pending')`,
);

export interface OldestContinuation {
  record_id: string;
  stream_id: string;
  sequence: number;
  session_state: SessionState;
  past_expiry: boolean;
}

/** Index continuations_pending: one probe when nothing is pending, which is nearly always. */
const oldest = statement<{ session_id: string }, OldestContinuation>(
  "continuation_oldest",
  `select c.record_id, c.stream_id, c.sequence, s.state as session_state, coalesce(s.expires_at <= now(), false) as past_expiry
     from continuations c join sessions s on s.id = c.session_id
    where c.session_id = $session_id and c.state = 'pending'
    order by c.position limit 1`,
);

const start = statement<{ record_id: string; run_id: string }>(
  "continuation_start",
  `update continuations set state = '${continuationTransitions.start.to}', run_id = $run_id
    where record_id = $record_id and state ${inStates(continuationTransitions.start.from)}`,
);

const read = statement<{ record_id: string }>(
  "continuation_read",
  `update continuations set state = '${continuationTransitions.read.to}'
    where record_id = $record_id and state ${inStates(continuationTransitions.read.from)}`,
);

const skip = statement<{ session_id: string }>(
  "continuation_skip",
  `update continuations set state = '${continuationTransitions.skip.to}'
    where session_id = $session_id and state ${inStates(continuationTransitions.skip.from)}`,
);

/**
 * Sessions with a request that nobody started although no run is live: what a crash between two transactions could not leave behind, but a bug could.
 * A page after a cursor; sessions whose run is live are passed over.
 */
const stranded = statement<{ after: string }, { session_id: string; environment_id: string; stranded: boolean }>(
  "continuation_stranded",
  `select c.session_id, s.environment_id, coalesce(r.state = 'finished', true) as stranded
     from (select distinct session_id from continuations where state = 'pending' and session_id > $after::uuid
            order by session_id limit ${engineLimits.reconcileBatch}) c
    cross join lateral (select * from sessions s where s.id = c.session_id limit 1) s
     left join lateral (select * from runs r where r.id = s.current_run_id limit 1) r on true
    order by c.session_id`,
);

export const continuationInsert = (tx: Tx, row: { record_id: string; session_id: string; stream_id: string; sequence: number }) =>
  tx.run(insert, row);
export const continuationOldest = (tx: Tx, sessionId: string) => tx.one(oldest, { session_id: sessionId });
export const continuationStart = (tx: Tx, recordId: string, runId: string) => tx.run(start, { record_id: recordId, run_id: runId });
/** A live run has read the record; its lock is held. */
export const continuationRead = (tx: Tx, recordId: string) => tx.run(read, { record_id: recordId });
export const continuationSkip = (tx: Tx, sessionId: string) => tx.run(skip, { session_id: sessionId });
/** At most `engineLimits.reconcileBatch`. */
export const continuationStranded = (on: Queryable, after: string) => on.all(stranded, { after });
