/**
 * A schedule: a cron declaration in a time zone, and its occurrences. An occurrence is an instant; firing it starts one session.
 *
 *   active ◀──activate── inactive        a change of cron, zone, task or activity is a new generation: fires of an older one are void
 *     │ └──fail──▶ errored ──fire──▶ active
 *     └──deactivate──▶ inactive ◀──deactivate── errored
 *
 * Occurrences. Five fields, minute precision, the rules of cron: day of month and day of week are alternatives when both are restricted. Around changes of
 * the clock of the zone:
 *   - fixed times (no `*` and no step in minute and hour) happen once a day: a time that is skipped happens at the first instant after the gap, a time
 *     that comes twice happens at its first coming
 *   - intervals (a `*` or a step in minute or hour) follow the clock: what is skipped does not happen, what comes twice happens twice
 *
 * Firing. What was missed (server down, schedule errored) is made up for once: the latest occurrence that is due fires, older ones are dropped. A fire that
 * fails is tried again after failures² minutes, at most an hour. Fires are spread over `jitterMsMax` by the schedule's id; the occurrence itself is what the
 * session is told.
 */
import { createHash } from "node:crypto";
import { Cron } from "croner";
import type { Transitions } from "./transitions.ts";

export const scheduleStates = ["active", "inactive", "errored"] as const;
export type ScheduleState = (typeof scheduleStates)[number];
export type ScheduleKind = "imperative" | "declarative";

export const scheduleTransitions = {
  activate: { from: ["inactive", "errored"], to: "active" },
  deactivate: { from: ["active", "errored"], to: "inactive" },
  fail: { from: ["active", "errored"], to: "errored" },
  fire: { from: ["active", "errored"], to: "active" },
} as const satisfies Transitions<ScheduleState>;

export interface Recurrence {
  /** The first occurrence after an instant; null: there is none. */
  next(after: Date): Date | null;
}

export type ParsedCron = { ok: true; recurrence: Recurrence; cron: string; timezone: string } | { ok: false; problem: string };

/** Parsing costs more than the next occurrence; a process sees the same few declarations again and again. */
const parsed = new Map<string, ParsedCron>();
const parsedMax = 10_000;

export function parseCron(cron: string, timezone: string): ParsedCron {
  const name = `${timezone}\0${cron}`;
  const known = parsed.get(name);
  if (known) return known;
  const result = parse(cron.trim().split(/\s+/).join(" "), normalZone(timezone));
  if (parsed.size >= parsedMax) parsed.clear();
  parsed.set(name, result);
  return result;
}

export function normalZone(timezone: string): string {
  return /^\s*(utc)?\s*$/i.test(timezone) ? "UTC" : timezone.trim();
}

function parse(cron: string, timezone: string): ParsedCron {
  const fields = cron.split(" ");
  if (fields.length !== 5) return { ok: false, problem: `cron "${cron}" must have exactly five fields, such as 0 9 * * 1-5` };
  if (cron.includes("?")) return { ok: false, problem: `cron "${cron}" has a ?, which means nothing here; use *` };
  if (!isZone(timezone)) return { ok: false, problem: `timezone "${timezone}" must be an IANA time zone such as Europe/Berlin` };
  let job: Cron;
  try {
    job = new Cron(cron, { timezone, mode: "5-part", fixedTimeRule: "no-wildcard", paused: true });
    if (job.nextRun(new Date(0)) === null) return { ok: false, problem: `cron "${cron}" never occurs` };
  } catch (error) {
    return { ok: false, problem: `cron "${cron}" is not valid: ${reasonOf(error)}` };
  }
  return { ok: true, recurrence: { next: (after) => job.nextRun(after) }, cron, timezone };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
}

function isZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The latest occurrence that is not after `now`, from `first` on, which is one itself. Occurrences are found by bisection: years may have been missed. */
export function latestDue(recurrence: Recurrence, first: Date, now: Date): Date {
  if (first.getTime() >= now.getTime()) return first;
  /** `next(low)` is due; `next(high)` is not. Minutes are the grain of cron. */
  let low = first.getTime() - minuteMs;
  let high = now.getTime();
  const isDue = (after: number) => {
    const next = recurrence.next(new Date(after));
    return next !== null && next.getTime() <= now.getTime();
  };
  while (high - low > minuteMs) {
    const middle = low + Math.floor((high - low) / 2);
    if (isDue(middle)) low = middle;
    else high = middle;
  }
  // At most one more occurrence lies within the last minute.
  let latest = first;
  for (let next = recurrence.next(new Date(low)); next !== null && next.getTime() <= now.getTime(); next = recurrence.next(next))
    latest = next;
  return latest;
}

const minuteMs = 60_000;
const upcomingCount = 5;

/** Five instants after a fire, as the session is told. */
export function upcoming(recurrence: Recurrence, after: Date): Date[] {
  const found: Date[] = [];
  for (let next = recurrence.next(after); next !== null && found.length < upcomingCount; next = recurrence.next(next)) found.push(next);
  return found;
}

/** Always the same for one schedule, so that its fires keep their distance. */
export function jitterMs(scheduleId: string, jitterMsMax: number): number {
  return createHash("sha256").update(scheduleId).digest().readUInt32BE(0) % (jitterMsMax + 1);
}

const retryMinutesMax = 60;

export function retryDelayMs(failures: number): number {
  return Math.min(failures * failures, retryMinutesMax) * minuteMs;
}

/** http §8: whoever fires the same occurrence again gets the same session. */
export function fireKey(schedule: { id: string; generation: number }, occurrence: Date): string {
  return `schedule:${schedule.id}:${schedule.generation}:${instantText(occurrence)}`;
}

/** RFC 3339, whole seconds: occurrences have no fraction. */
export function instantText(instant: Date): string {
  return instant.toISOString().replace(/\.\d+Z$/, "Z");
}

/** What of a schedule decides when it fires. */
export interface ScheduleTiming {
  taskId: string;
  cron: string;
  timezone: string;
  isActive: boolean;
}

export interface ScheduleProgress {
  state: ScheduleState;
  generation: number;
  failures: number;
  lastError: string | null;
  nextFireAt: Date | null;
  dueAt: Date | null;
}

export interface ScheduleChange {
  id: string;
  before: { timing: ScheduleTiming; progress: ScheduleProgress } | undefined;
  after: ScheduleTiming;
  recurrence: Recurrence;
  now: Date;
  jitterMsMax: number;
}

/**
 * Where a schedule stands after it was created or changed. The same timing goes on as it was, but for one that is errored: whoever touches it has probably
 * mended what failed, so it is tried at once.
 */
export function planSchedule({ id, before, after, recurrence, now, jitterMsMax }: ScheduleChange): ScheduleProgress {
  if (before && sameTiming(before.timing, after)) {
    const { progress } = before;
    return progress.state === "errored" ? { ...progress, state: "active", failures: 0, lastError: null, dueAt: now } : progress;
  }
  const generation = (before?.progress.generation ?? 0) + 1;
  const reset = { generation, failures: 0, lastError: null };
  if (!after.isActive) return { ...reset, state: "inactive", nextFireAt: null, dueAt: null };
  const nextFireAt = recurrence.next(now);
  return { ...reset, state: "active", nextFireAt, dueAt: dueAfter(id, nextFireAt, jitterMsMax) };
}

export function dueAfter(id: string, nextFireAt: Date | null, jitterMsMax: number): Date | null {
  return nextFireAt && new Date(nextFireAt.getTime() + jitterMs(id, jitterMsMax));
}

function sameTiming(left: ScheduleTiming, right: ScheduleTiming): boolean {
  return left.taskId === right.taskId && left.cron === right.cron && left.timezone === right.timezone && left.isActive === right.isActive;
}
