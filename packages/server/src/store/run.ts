/**
 * Runs as they are read: views, lists, counts, and the lock every write of a run begins with. What operations write is in run-write.ts.
 * Locks: after session and workspace, before attempt, wait and lease.
 */
import type { RunStatus } from "@helmr/protocol/api";
import type { RetryPolicy } from "../domain/retry.ts";
import { type RunOutcome, type RunState, statesOfStatus } from "../domain/run.ts";
import type { WaitSuspension } from "../domain/wait.ts";
import type { Queryable, Tx } from "./db.ts";
import { statement } from "./statement.ts";

export interface CancelRequest {
  reason: string;
  force?: true;
  origin: string;
}

export interface RunRow {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  session_id: string;
  deployment_id: string;
  deployment_task_id: string;
  task_id: string;
  workspace_id: string;
  turn_index: number;
  previous_run_id: string | null;
  state: RunState;
  outcome: RunOutcome | null;
  attempt_number: number | null;
  api_version: string;
  sdk_version: string | null;
  cli_version: string | null;
  deployment_version: string;
  trace_id: string;
  metadata: Record<string, unknown>;
  output: unknown;
  has_output: boolean;
  exit_code: number | null;
  created_at: string;
  updated_at: string;
  finished_at: string | null;
  wait_id: string | null;
  wait_kind: "token" | "stream" | "timer" | null;
  wait_suspension: WaitSuspension | null;
  wait_params: unknown;
  wait_metadata: Record<string, unknown> | null;
  wait_tags: string[] | null;
  wait_timeout_seconds: number | null;
  wait_created_at: string | null;
}

const columns = `r.id, r.org_id, r.project_id, r.environment_id, r.session_id, r.deployment_id, r.deployment_task_id, r.task_id, r.workspace_id, r.turn_index,
       r.previous_run_id, r.state, r.outcome, r.attempt_number, r.api_version, r.sdk_version, r.cli_version, r.deployment_version, r.trace_id,
       r.metadata, r.output, r.output is not null as has_output, r.exit_code, r.created_at, r.updated_at, r.finished_at,
       w.id as wait_id, w.kind as wait_kind, w.suspension as wait_suspension, w.params as wait_params, w.metadata as wait_metadata, w.tags as wait_tags,
       w.timeout_seconds as wait_timeout_seconds, w.created_at as wait_created_at`;
const waits = `left join lateral (select * from run_waits w where w.run_id = r.id and w.condition = 'open' order by w.created_at desc limit 1) w
       on r.state in ('executing', 'waiting')`;

/** http §7.2 */
const listMax = 200;

const get = statement<{ environment_id: string; id: string }, RunRow>(
  "run_get",
  `select ${columns} from runs r ${waits} where r.environment_id = $environment_id and r.id = $id`,
);

const exists = statement<{ environment_id: string; id: string }, { trace_id: string; finished: boolean }>(
  "run_exists",
  "select trace_id, state = 'finished' as finished from runs where environment_id = $environment_id and id = $id",
);

/**
 * A merge of one scan per outcome and one over the live rows, so that a filter never walks over what it does not show. The inner limits are constants (the
 * largest page): a plan that is made for any limit would fetch everything and sort it.
 */
const list = statement<{ environment_id: string; states: string[]; outcomes: string[]; row_limit: number }, RunRow>(
  "run_list",
  `with newest as (
          (select id, created_at from runs where environment_id = $environment_id and outcome is null and state = any($states::text[])
            order by created_at desc, id desc limit ${listMax})
          union all
          (select found.id, found.created_at from unnest($outcomes::text[]) as wanted (outcome)
            cross join lateral (select id, created_at from runs where environment_id = $environment_id and state = 'finished' and outcome = wanted.outcome
                                 order by created_at desc, id desc limit ${listMax}) found)),
        page as (select id from newest order by created_at desc, id desc limit $row_limit)
   select ${columns}
     from page join runs r on r.id = page.id
     ${waits}
    order by r.created_at desc, r.id desc`,
);

/** One session has few runs: its index first, the filter afterwards. */
const listOfSession = statement<
  { environment_id: string; session_id: string; states: string[]; outcomes: string[]; row_limit: number },
  RunRow
>(
  "run_list_of_session",
  `select ${columns}
     from runs r ${waits}
    where r.session_id = $session_id and r.environment_id = $environment_id
      and (r.state = any($states::text[]) or (r.state = 'finished' and r.outcome = any($outcomes::text[])))
    order by r.created_at desc, r.id desc limit $row_limit`,
);

export interface SessionRunRow {
  id: string;
  deployment_id: string;
  previous_run_id: string | null;
  turn_index: number;
  state: RunState;
  outcome: RunOutcome | null;
  created_at: string;
  finished_at: string | null;
}

const turns = statement<{ session_id: string }, SessionRunRow>(
  "run_turns",
  `select id, deployment_id, previous_run_id, turn_index, state, outcome, created_at, finished_at
     from runs where session_id = $session_id order by turn_index`,
);

const liveCounts = statement<{ environment_id: string }, { state: RunState; count: number }>(
  "run_count_live",
  "select state, count(*) as count from runs where environment_id = $environment_id and outcome is null group by state",
);

const outcomeCounts = statement<{ environment_id: string }, { outcome: RunOutcome; count: number }>(
  "run_count_finished",
  "select outcome, sum(count)::bigint as count from run_counts where environment_id = $environment_id group by outcome",
);

/** What an operation decides on. `lease_*` is of the present holder, if there is one. */
export interface LockedRun {
  id: string;
  environment_id: string;
  session_id: string;
  workspace_id: string;
  deployment_id: string;
  task_id: string;
  state: RunState;
  outcome: RunOutcome | null;
  attempt_id: string | null;
  attempt_number: number | null;
  lease_id: string | null;
  fence: number;
  parked_wait_id: string | null;
  checkpoint_id: string | null;
  queue_name: string;
  concurrency_key: string | null;
  concurrency_limit: number | null;
  priority: number;
  max_duration_seconds: number;
  retry: RetryPolicy;
  ttl_text: string | null;
  active_ms: number;
  lost_starts: number;
  event_seq: number;
  log_seq: number;
  record_seq: number;
  metadata: Record<string, unknown>;
  cancel: CancelRequest | null;
  trace_id: string;
}

export const lockedRunColumns = `r.id, r.environment_id, r.session_id, r.workspace_id, r.deployment_id, r.task_id, r.state, r.outcome, r.attempt_id, r.attempt_number,
       r.lease_id, r.fence, r.parked_wait_id, r.checkpoint_id, r.queue_name, r.concurrency_key, r.concurrency_limit, r.priority, r.max_duration_seconds,
       r.retry, r.ttl_text, r.active_ms, r.lost_starts, r.event_seq, r.log_seq, r.record_seq, r.metadata, r.cancel, r.trace_id`;

const lock = statement<{ environment_id: string; id: string }, LockedRun>(
  "run_lock",
  `select ${lockedRunColumns} from runs r join sessions s on s.id = r.session_id join workspaces w on w.id = r.workspace_id
    where r.environment_id = $environment_id and r.id = $id for no key update of s, w, r`,
);

/** Holders that were told to stop and are late. Index runs_cancelling. */
const overdueCancels = statement<{ row_limit: number }, { id: string; environment_id: string }>(
  "run_overdue_cancels",
  "select id, environment_id from runs where state = 'cancelling' and cancel_due_at <= now() order by cancel_due_at limit $row_limit",
);
const nextCancel = statement<Record<never, never>, { due_ms: number }>(
  "run_next_cancel",
  `select (extract(epoch from (cancel_due_at - now())) * 1000)::float8 as due_ms from runs
    where state = 'cancelling' and cancel_due_at is not null order by cancel_due_at limit 1`,
);
const cancelOverdue = statement<{ id: string }, { overdue: boolean }>(
  "run_cancel_overdue",
  "select coalesce(cancel_due_at <= now(), false) as overdue from runs where id = $id",
);

export const runOverdueCancels = (on: Queryable, limit: number) => on.all(overdueCancels, { row_limit: limit });
export const runNextCancelMs = async (on: Queryable) => (await on.one(nextCancel, {}))?.due_ms;
export const runCancelOverdue = async (tx: Tx, id: string) => (await tx.one(cancelOverdue, { id }))?.overdue === true;

export const runGet = (on: Queryable, environmentId: string, id: string) => on.one(get, { environment_id: environmentId, id });
export const runExists = (on: Queryable, environmentId: string, id: string) => on.one(exists, { environment_id: environmentId, id });
export const runTurns = (on: Queryable, sessionId: string) => on.all(turns, { session_id: sessionId });
/** Session, workspace and run, in this order. */
export const runLock = (tx: Tx, environmentId: string, id: string) => tx.one(lock, { environment_id: environmentId, id });

export interface RunListFilter {
  environmentId: string;
  status: RunStatus | "live" | "all";
  sessionId: string | undefined;
  limit: number;
}

export function runList(on: Queryable, { environmentId, status, sessionId, limit }: RunListFilter): Promise<RunRow[]> {
  const { states, outcomes } = statesOfStatus(status);
  const params = { environment_id: environmentId, states, outcomes, row_limit: limit };
  return sessionId === undefined ? on.all(list, params) : on.all(listOfSession, { ...params, session_id: sessionId });
}

export async function runCounts(
  on: Queryable,
  environmentId: string,
): Promise<{ states: Map<RunState, number>; outcomes: Map<RunOutcome, number> }> {
  const [live, finished] = await Promise.all([
    on.all(liveCounts, { environment_id: environmentId }),
    on.all(outcomeCounts, { environment_id: environmentId }),
  ]);
  return { states: new Map(live.map((row) => [row.state, row.count])), outcomes: new Map(finished.map((row) => [row.outcome, row.count])) };
}
