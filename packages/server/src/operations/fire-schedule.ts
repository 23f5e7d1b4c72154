/**
 * Fires a schedule that is due (domain/schedule.ts): one session for the latest occurrence, then the schedule moves on to the next. The start has a key made
 * of schedule, generation and occurrence, so that a crash between the two, or two that fire at once, start nothing twice; the schedule moves on only while it
 * still is what was fired. Nothing is locked in between.
 */
import type { SchedulePayload, SessionStartBody } from "@helmr/protocol/api";
import { required } from "../assert.ts";
import { DatabaseUnavailable } from "../database-unavailable.ts";
import {
  dueAfter,
  fireKey,
  instantText,
  latestDue,
  parseCron,
  type Recurrence,
  retryDelayMs,
  scheduleTransitions,
  upcoming,
} from "../domain/schedule.ts";
import type { EngineContext } from "../engine-context.ts";
import { isRefusal } from "../outcome.ts";
import { fireKeyTtl, sessionLimits } from "../session-limits.ts";
import { scheduleDueOne, scheduleFailed, scheduleFired, schedulePostpone, type ScheduleRow } from "../store/schedule.ts";
import { startSession } from "./start-session.ts";

export type FireResult = "fired" | "failed" | "busy" | "not_due";

export async function fireSchedule(context: EngineContext, scheduleId: string): Promise<FireResult> {
  const row = await scheduleDueOne(context.db, scheduleId);
  if (!row) return "not_due";
  const expected = required(row.next_fire_at, "A schedule that is due has an occurrence");
  const place = { id: row.id, generation: row.generation, expected };
  const outcome = await startOccurrence(context, row, expected).catch((error: unknown): Failure => {
    // The database will be back; the schedule has not failed.
    if (error instanceof DatabaseUnavailable) throw error;
    return { failed: "the start failed inside Helmr", bug: error };
  });
  if ("busy" in outcome) {
    await schedulePostpone(context.db, { ...place, delay_ms: sessionLimits.scheduleBusyRetryMs });
    return "busy";
  }
  if ("failed" in outcome) {
    const failures = row.failures + 1;
    const change = { failures, last_error: outcome.failed, delay_ms: retryDelayMs(failures), state: scheduleTransitions.fail.to };
    await scheduleFailed(context.db, { ...place, ...change });
    if (outcome.bug !== undefined) throw outcome.bug;
    return "failed";
  }
  const next = outcome.recurrence.next(outcome.occurrence);
  await scheduleFired(context.db, {
    ...place,
    occurrence: outcome.occurrence.toISOString(),
    next_fire_at: next?.toISOString() ?? null,
    due_at: dueAfter(row.id, next, sessionLimits.scheduleJitterMsMax)?.toISOString() ?? null,
    state: scheduleTransitions.fire.to,
  });
  return "fired";
}

interface Failure {
  failed: string;
  /** Thrown again once the schedule is put off, so that it is reported and does not come back every second. */
  bug?: unknown;
}

type Outcome = { occurrence: Date; recurrence: Recurrence } | Failure | { busy: true };

async function startOccurrence(context: EngineContext, row: ScheduleRow & { now: string }, expected: string): Promise<Outcome> {
  const parsed = parseCron(row.cron, row.timezone);
  if (!parsed.ok) return { failed: parsed.problem };
  const { recurrence } = parsed;
  const occurrence = latestDue(recurrence, new Date(expected), new Date(row.now));
  const started = await startSession(context, {
    scope: { orgId: row.org_id, projectId: row.project_id, environmentId: row.environment_id },
    body: startBody(row, occurrence, recurrence),
    origin: { reason: "schedule", cause: { kind: "schedule", schedule_id: row.id, timestamp: instantText(occurrence) } },
  });
  if (!isRefusal(started)) return { occurrence, recurrence };
  return started.code === "idempotency_pending" ? { busy: true } : { failed: started.message };
}

function startBody(row: ScheduleRow, occurrence: Date, recurrence: Recurrence): SessionStartBody {
  const { queue, concurrency_key, priority, ttl, max_duration_seconds } = row.options ?? {};
  const payload: SchedulePayload = {
    timestamp: instantText(occurrence),
    ...(row.last_fire_at === null ? {} : { lastTimestamp: instantText(new Date(row.last_fire_at)) }),
    timezone: row.timezone,
    scheduleId: row.id,
    scheduleType: row.kind,
    ...(row.external_id === null ? {} : { externalId: row.external_id }),
    upcoming: upcoming(recurrence, occurrence).map(instantText),
  };
  return {
    task_id: row.task_id,
    payload: { ...payload },
    metadata: {},
    tags: [],
    idempotency_key: fireKey({ id: row.id, generation: row.generation }, occurrence),
    idempotency_key_ttl: fireKeyTtl,
    ...(queue ? { queue } : {}),
    ...(concurrency_key === undefined ? {} : { concurrency_key }),
    ...(priority === undefined ? {} : { priority }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(max_duration_seconds === undefined ? {} : { max_duration_seconds }),
  };
}
