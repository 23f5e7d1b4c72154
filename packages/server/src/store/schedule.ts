/**
 * Schedules and their next firing. `due_at` is the index of what is to be done: the occurrence plus its jitter, or the retry after a failure. A row is locked
 * by whoever changes it; who fires writes only under the generation and occurrence that it fired.
 */
import type { ScheduleKind, ScheduleState } from "../domain/schedule.ts";
import { json, type Queryable, type Tx } from "./db.ts";
import { statement } from "./statement.ts";

interface ScheduleOptionsRow {
  queue?: { name?: string };
  concurrency_key?: string;
  priority?: number;
  ttl?: string;
  max_duration_seconds?: number;
}

export interface ScheduleRow {
  id: string;
  org_id: string;
  project_id: string;
  environment_id: string;
  kind: ScheduleKind;
  task_id: string;
  deduplication_key: string;
  external_id: string | null;
  cron: string;
  timezone: string;
  options: ScheduleOptionsRow | null;
  state: ScheduleState;
  generation: number;
  failures: number;
  last_error: string | null;
  next_fire_at: string | null;
  due_at: string | null;
  last_fire_at: string | null;
  created_at: string;
  updated_at: string;
}

const columns = `s.id, s.org_id, s.project_id, s.environment_id, s.kind, s.task_id, s.deduplication_key, s.external_id, s.cron, s.timezone, s.options, s.state, s.generation,
       s.failures, s.last_error, s.next_fire_at, s.due_at, s.last_fire_at, s.created_at, s.updated_at`;

const list = statement<{ environment_id: string; row_limit: number }, ScheduleRow>(
  "schedule_list",
  `select ${columns} from schedules s where s.environment_id = $environment_id order by s.created_at desc, s.id desc limit $row_limit`,
);
const get = statement<{ environment_id: string; id: string }, ScheduleRow>(
  "schedule_get",
  `select ${columns} from schedules s where s.environment_id = $environment_id and s.id = $id`,
);
const lock = statement<{ environment_id: string; id: string }, ScheduleRow>(
  "schedule_lock",
  `select ${columns} from schedules s where s.environment_id = $environment_id and s.id = $id for no key update`,
);
const lockByKey = statement<{ environment_id: string; deduplication_key: string }, ScheduleRow>(
  "schedule_lock_by_key",
  `select ${columns} from schedules s
    where s.environment_id = $environment_id and s.kind = 'imperative' and s.deduplication_key = $deduplication_key for no key update`,
);
/** In key order: two promotions lock them in the same order. */
const lockDeclared = statement<{ environment_id: string }, ScheduleRow>(
  "schedule_lock_declared",
  `select ${columns} from schedules s where s.environment_id = $environment_id and s.kind = 'declarative' order by s.id for no key update`,
);

/** Instants are compared with the database's clock, so it is what the next occurrence is counted from. */
const clock = statement<{ environment_id: string; task_id: string }, { now: string; deployed: boolean }>(
  "schedule_clock",
  `select now() as now, exists (select from environments e join deployment_tasks t on t.deployment_id = e.current_deployment_id
                                 where e.id = $environment_id and t.task_id = $task_id) as deployed`,
);

type Identity = Pick<ScheduleRow, "id" | "org_id" | "project_id" | "environment_id" | "kind" | "deduplication_key">;
export interface SchedulePlan {
  task_id: string;
  external_id: string | null;
  cron: string;
  timezone: string;
  options: ScheduleOptionsRow | null;
  state: ScheduleState;
  generation: number;
  failures: number;
  last_error: string | null;
  next_fire_at: string | null;
  due_at: string | null;
}

type Stored = Omit<SchedulePlan, "options"> & { options: string | null };

/** No row: somebody else took the key a moment ago. */
const insert = statement<Identity & Stored, ScheduleRow>(
  "schedule_insert",
  `insert into schedules as s (id, org_id, project_id, environment_id, kind, task_id, deduplication_key, external_id, cron, timezone, options, state, generation,
                               failures, last_error, next_fire_at, due_at)
   values ($id, $org_id, $project_id, $environment_id, $kind, $task_id, $deduplication_key, $external_id, $cron, $timezone, $options::jsonb, $state, $generation,
           $failures, $last_error, $next_fire_at::timestamptz, $due_at::timestamptz)
   on conflict (environment_id, kind, deduplication_key) do nothing
   returning ${columns}`,
);

const update = statement<Stored & { id: string }, ScheduleRow>(
  "schedule_update",
  `update schedules s
      set task_id = $task_id, external_id = $external_id, cron = $cron, timezone = $timezone, options = $options::jsonb, state = $state,
          generation = $generation, failures = $failures, last_error = $last_error, next_fire_at = $next_fire_at::timestamptz, due_at = $due_at::timestamptz,
          updated_at = now()
    where s.id = $id
   returning ${columns}`,
);

const remove = statement<{ id: string }>("schedule_delete", "delete from schedules where id = $id");

/** Schedules of a deleted environment fire no more, although they are still there. */
const due = statement<{ row_limit: number }, { id: string }>(
  "schedule_due",
  `select s.id from schedules s join environments e on e.id = s.environment_id
    where s.due_at <= now() and e.deleted_at is null order by s.due_at limit $row_limit`,
);

const dueOne = statement<{ id: string }, ScheduleRow & { now: string }>(
  "schedule_due_one",
  `select ${columns}, now() as now from schedules s join environments e on e.id = s.environment_id
    where s.id = $id and s.due_at <= now() and s.next_fire_at is not null and e.deleted_at is null`,
);

const nextDue = statement<Record<never, never>, { due_ms: number }>(
  "schedule_next_due",
  `select (extract(epoch from (s.due_at - now())) * 1000)::float8 as due_ms from schedules s join environments e on e.id = s.environment_id
    where s.due_at is not null and e.deleted_at is null order by s.due_at limit 1`,
);

interface Fired {
  id: string;
  generation: number;
  /** The occurrence that stood in the row when the fire began: a change since then makes this fire void. */
  expected: string;
}

const fired = statement<Fired & { occurrence: string; next_fire_at: string | null; due_at: string | null; state: ScheduleState }>(
  "schedule_fired",
  `update schedules
      set last_fire_at = $occurrence::timestamptz, next_fire_at = $next_fire_at::timestamptz, due_at = $due_at::timestamptz, state = $state,
          failures = 0, last_error = null, updated_at = now()
    where id = $id and generation = $generation and next_fire_at = $expected::timestamptz`,
);

const failed = statement<Fired & { failures: number; last_error: string; delay_ms: number; state: ScheduleState }>(
  "schedule_failed",
  `update schedules
      set state = $state, failures = $failures, last_error = $last_error, due_at = now() + $delay_ms * interval '1 millisecond', updated_at = now()
    where id = $id and generation = $generation and next_fire_at = $expected::timestamptz`,
);

const postpone = statement<Fired & { delay_ms: number }>(
  "schedule_postpone",
  `update schedules set due_at = now() + $delay_ms * interval '1 millisecond'
    where id = $id and generation = $generation and next_fire_at = $expected::timestamptz`,
);

export const scheduleList = (on: Queryable, environmentId: string, limit: number) =>
  on.all(list, { environment_id: environmentId, row_limit: limit });
export const scheduleGet = (on: Queryable, environmentId: string, id: string) => on.one(get, { environment_id: environmentId, id });
export const scheduleLock = (tx: Tx, environmentId: string, id: string) => tx.one(lock, { environment_id: environmentId, id });
export const scheduleLockByKey = (tx: Tx, environmentId: string, key: string) =>
  tx.one(lockByKey, { environment_id: environmentId, deduplication_key: key });
export const scheduleLockDeclared = (tx: Tx, environmentId: string) => tx.all(lockDeclared, { environment_id: environmentId });
export const scheduleClock = (on: Queryable, environmentId: string, taskId: string) =>
  on.one(clock, { environment_id: environmentId, task_id: taskId });

const stored = (plan: SchedulePlan): Stored => ({ ...plan, options: plan.options && json(plan.options) });
export const scheduleInsert = (tx: Tx, identity: Identity, plan: SchedulePlan) => tx.one(insert, { ...identity, ...stored(plan) });
export const scheduleUpdate = (tx: Tx, id: string, plan: SchedulePlan) => tx.one(update, { id, ...stored(plan) });
export const scheduleDelete = (tx: Tx, id: string) => tx.run(remove, { id });

export const scheduleDue = (on: Queryable, limit: number) => on.all(due, { row_limit: limit });
export const scheduleDueOne = (on: Queryable, id: string) => on.one(dueOne, { id });
export const scheduleNextDueMs = async (on: Queryable) => (await on.one(nextDue, {}))?.due_ms;
export const scheduleFired = (
  on: Queryable,
  change: Fired & { occurrence: string; next_fire_at: string | null; due_at: string | null; state: ScheduleState },
) => on.run(fired, change);
export const scheduleFailed = (
  on: Queryable,
  change: Fired & { failures: number; last_error: string; delay_ms: number; state: ScheduleState },
) => on.run(failed, change);
export const schedulePostpone = (on: Queryable, change: Fired & { delay_ms: number }) => on.run(postpone, change);
