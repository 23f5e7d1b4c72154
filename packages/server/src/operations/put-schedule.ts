/**
 * Schedules that the API makes and changes (http §8). The next occurrence is counted from the database's clock. Declarative ones belong to the deployment:
 * they are changed by promoting another (sync-schedules.ts). Locks: schedule.
 */
import type { ScheduleCreateBody, SchedulePutBody } from "@helmr/protocol/api";
import { required } from "../assert.ts";
import { parseCron, planSchedule, type ScheduleProgress, type ScheduleTiming, type Recurrence } from "../domain/schedule.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { invalid, isRefusal, notFound, type Refusal } from "../outcome.ts";
import { sessionLimits } from "../session-limits.ts";
import type { Tx } from "../store/db.ts";
import {
  scheduleClock,
  scheduleDelete,
  scheduleGet,
  scheduleInsert,
  scheduleList,
  scheduleLock,
  scheduleLockByKey,
  type SchedulePlan,
  type ScheduleRow,
  scheduleUpdate,
} from "../store/schedule.ts";
import type { StartScope } from "./start-session.ts";

export type { ScheduleRow };

const noSchedule = (): Refusal => notFound("schedule not found");
const declarative = (): Refusal => invalid("a declarative schedule is changed by deploying and promoting its task");

export const listSchedules = ({ db }: EngineContext, environmentId: string) =>
  scheduleList(db, environmentId, sessionLimits.schedulesListMax);

export async function readSchedule({ db }: EngineContext, environmentId: string, id: string): Promise<ScheduleRow | Refusal> {
  return (await scheduleGet(db, environmentId, id)) ?? noSchedule();
}

/** Creates a schedule, or changes the one with the same key. */
export async function upsertSchedule(
  context: EngineContext,
  { scope, body }: { scope: StartScope; body: ScheduleCreateBody },
): Promise<ScheduleRow | Refusal> {
  return context.db.tx(async (tx) => {
    const target = await checkTarget(tx, scope.environmentId, body);
    if (isRefusal(target)) return target;
    const key = body.deduplication_key;
    const before = await scheduleLockByKey(tx, scope.environmentId, key);
    if (before) return change(tx, context, before, { body, target });
    const id = newId();
    const plan = planOf(id, undefined, { body, target });
    const { orgId: org_id, projectId: project_id, environmentId: environment_id } = scope;
    const inserted = await scheduleInsert(tx, { id, org_id, project_id, environment_id, kind: "imperative", deduplication_key: key }, plan);
    if (inserted) return announced(tx, context, inserted);
    // The insert waited for the other one's commit: now it can be locked.
    return change(tx, context, required(await scheduleLockByKey(tx, scope.environmentId, key), "The key is taken"), { body, target });
  });
}

export async function replaceSchedule(
  context: EngineContext,
  { scope, id, body }: { scope: StartScope; id: string; body: SchedulePutBody },
): Promise<ScheduleRow | Refusal> {
  return context.db.tx(async (tx) => {
    const before = await lockOwn(tx, scope.environmentId, id);
    if (isRefusal(before)) return before;
    const target = await checkTarget(tx, scope.environmentId, body);
    return isRefusal(target) ? target : change(tx, context, before, { body, target });
  });
}

/** Activating an active schedule and deactivating an inactive one change nothing; activating one that is errored tries it at once. */
export async function setScheduleActive(
  context: EngineContext,
  { environmentId, id, active }: { environmentId: string; id: string; active: boolean },
): Promise<ScheduleRow | Refusal> {
  return context.db.tx(async (tx) => {
    const before = await lockOwn(tx, environmentId, id);
    if (isRefusal(before)) return before;
    const clock = required(await scheduleClock(tx, environmentId, before.task_id), "A select without from has a row");
    const parsed = parseCron(before.cron, before.timezone);
    if (!parsed.ok) return invalid(parsed.problem);
    const target: Target = { recurrence: parsed.recurrence, cron: before.cron, timezone: before.timezone, now: new Date(clock.now) };
    const kept = { task: before.task_id, ...(before.external_id === null ? {} : { external_id: before.external_id }) };
    return change(tx, context, before, { body: { ...kept, ...(before.options ? { options: before.options } : {}), active }, target });
  });
}

export async function deleteSchedule(context: EngineContext, environmentId: string, id: string): Promise<Refusal | undefined> {
  return context.db.tx(async (tx) => {
    const before = await lockOwn(tx, environmentId, id);
    if (isRefusal(before)) return before;
    await scheduleDelete(tx, id);
    return undefined;
  });
}

async function lockOwn(tx: Tx, environmentId: string, id: string): Promise<ScheduleRow | Refusal> {
  const row = await scheduleLock(tx, environmentId, id);
  if (!row) return noSchedule();
  return row.kind === "declarative" ? declarative() : row;
}

interface Target {
  recurrence: Recurrence;
  cron: string;
  timezone: string;
  now: Date;
}

async function checkTarget(
  tx: Tx,
  environmentId: string,
  body: { task: string; cron: string; timezone: string },
): Promise<Target | Refusal> {
  const parsed = parseCron(body.cron, body.timezone);
  if (!parsed.ok) return invalid(parsed.problem);
  const clock = required(await scheduleClock(tx, environmentId, body.task), "A select without from has a row");
  if (!clock.deployed) return invalid(`task "${body.task}" is not part of the current deployment`);
  return { recurrence: parsed.recurrence, cron: parsed.cron, timezone: parsed.timezone, now: new Date(clock.now) };
}

type Wanted = { body: Pick<SchedulePutBody, "task" | "external_id" | "options" | "active">; target: Target };

async function change(tx: Tx, context: EngineContext, before: ScheduleRow, wanted: Wanted): Promise<ScheduleRow> {
  const updated = await scheduleUpdate(tx, before.id, planOf(before.id, before, wanted));
  return announced(tx, context, required(updated, "A locked schedule exists"));
}

/** Absent `active`: a new schedule is active, an old one stays as it is. */
function planOf(id: string, before: ScheduleRow | undefined, { body, target }: Wanted): SchedulePlan {
  const { recurrence, cron, timezone, now } = target;
  const isActive = body.active ?? (before ? before.state !== "inactive" : true);
  const after = { taskId: body.task, cron, timezone, isActive };
  const known = before && { timing: timingOf(before), progress: progressOf(before) };
  const progress = planSchedule({ id, before: known, after, recurrence, now, jitterMsMax: sessionLimits.scheduleJitterMsMax });
  return {
    task_id: body.task,
    external_id: body.external_id ?? null,
    cron,
    timezone,
    options: body.options ? storedOptions(body.options) : null,
    ...progressColumns(progress),
  };
}

/** Answers echo the options as they were given; what was left out stays out. */
function storedOptions(options: NonNullable<SchedulePutBody["options"]>): NonNullable<SchedulePlan["options"]> {
  return JSON.parse(JSON.stringify(options)) as NonNullable<SchedulePlan["options"]>;
}

export function timingOf(row: ScheduleRow): ScheduleTiming {
  return { taskId: row.task_id, cron: row.cron, timezone: row.timezone, isActive: row.state !== "inactive" };
}

export function progressOf(row: ScheduleRow): ScheduleProgress {
  return {
    state: row.state,
    generation: row.generation,
    failures: row.failures,
    lastError: row.last_error,
    nextFireAt: row.next_fire_at === null ? null : new Date(row.next_fire_at),
    dueAt: row.due_at === null ? null : new Date(row.due_at),
  };
}

export function progressColumns({ state, generation, failures, lastError, nextFireAt, dueAt }: ScheduleProgress) {
  return {
    state,
    generation,
    failures,
    last_error: lastError,
    next_fire_at: nextFireAt?.toISOString() ?? null,
    due_at: dueAt?.toISOString() ?? null,
  };
}

function announced(tx: Tx, context: EngineContext, row: ScheduleRow): ScheduleRow {
  if (row.due_at !== null) tx.afterCommit(() => context.hints.send(topic.reconcile("fire-schedules")));
  return row;
}
