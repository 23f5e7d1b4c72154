/** `schedules.task()`: a task that a schedule starts (sdk §2.5). Its payload has a fixed schema of vendor `helmr`. */
import { DefinitionError } from "../errors.ts";
import type { StandardSchemaV1 } from "../schema.ts";
import { type Task, type TaskSettings, brandTask, checkTask } from "./task.ts";
import type { TaskContext } from "./task-context.ts";

/** Five fields; with a time zone when it is not UTC. */
export type ScheduleCron = string | { readonly pattern: string; readonly timezone?: string };

export interface ScheduledTaskPayload {
  /** When the schedule was due. */
  readonly timestamp: Date;
  readonly lastTimestamp?: Date;
  readonly timezone: string;
  readonly scheduleId: string;
  readonly scheduleType: "declarative" | "imperative";
  readonly externalId?: string;
  /** The next five. */
  readonly upcoming: Date[];
}

/** As a caller writes it: instants are text. */
export interface ScheduledTaskPayloadInput {
  readonly timestamp: string;
  readonly lastTimestamp?: string;
  readonly timezone: string;
  readonly scheduleId: string;
  readonly scheduleType: "declarative" | "imperative";
  readonly externalId?: string;
  readonly upcoming: readonly string[];
}

export interface ScheduledTaskConfig<O> extends TaskSettings {
  /** Absent: started by schedules made through the API, or by hand. */
  readonly cron?: ScheduleCron;
  readonly run: (payload: ScheduledTaskPayload, ctx: TaskContext) => O | Promise<O>;
}

const allowedKeys = ["id", "sandbox", "maxDuration", "queue", "ttl", "retry", "secrets", "run", "cron", "onConflict", "onCheckpointLost"];

export function scheduledTask<O>(config: ScheduledTaskConfig<O>): Task<ScheduledTaskPayload, Awaited<O>, ScheduledTaskPayloadInput> {
  checkTask(config, { allowed: allowedKeys });
  const { cron, ...settings } = config;
  const schedule = cron === undefined ? undefined : scheduleOf(config.id, cron);
  const definition = { ...settings, payload: scheduledTaskSchema };
  return brandTask(definition, schedule === undefined ? {} : { schedule });
}

function scheduleOf(taskId: string, cron: ScheduleCron): { cron: string; timezone: string } {
  const { pattern, timezone = "UTC" } = typeof cron === "string" ? { pattern: cron } : cron;
  if (typeof pattern !== "string" || pattern.trim() === "") throw new DefinitionError(`cron of task "${taskId}" must not be empty`);
  if (typeof timezone !== "string" || timezone.trim() === "")
    throw new DefinitionError(`timezone of the cron of task "${taskId}" must not be blank`);
  return { cron: pattern.trim(), timezone: timezone.trim() };
}

export const scheduledTaskSchema: StandardSchemaV1<ScheduledTaskPayloadInput, ScheduledTaskPayload> = Object.freeze({
  "~standard": Object.freeze({ version: 1 as const, vendor: "helmr", validate: validatePayload }),
});

function validatePayload(value: unknown): StandardSchemaV1.Result<ScheduledTaskPayload> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { issues: [{ message: "must be the payload of a schedule" }] };
  const issues: StandardSchemaV1.Issue[] = [];
  const input = value as Record<string, unknown>;
  const { scheduleType, externalId } = input;
  const timestamp = dateMember(input["timestamp"], ["timestamp"], issues);
  const lastTimestamp = input["lastTimestamp"] === undefined ? undefined : dateMember(input["lastTimestamp"], ["lastTimestamp"], issues);
  const timezone = textMember(input["timezone"], "timezone", issues);
  const scheduleId = textMember(input["scheduleId"], "scheduleId", issues);
  if (scheduleType !== "declarative" && scheduleType !== "imperative") {
    issues.push({ message: 'must be "declarative" or "imperative"', path: ["scheduleType"] });
  }
  if (externalId !== undefined && typeof externalId !== "string") issues.push({ message: "must be a text", path: ["externalId"] });
  const upcoming = upcomingMember(input["upcoming"], issues);
  if (issues.length > 0) return { issues };
  const payload: ScheduledTaskPayload = {
    timestamp,
    ...(lastTimestamp === undefined ? {} : { lastTimestamp }),
    timezone,
    scheduleId,
    scheduleType: scheduleType as ScheduledTaskPayload["scheduleType"],
    ...(externalId === undefined ? {} : { externalId: externalId as string }),
    upcoming,
  };
  return { value: payload };
}

function dateMember(value: unknown, path: PropertyKey[], issues: StandardSchemaV1.Issue[]): Date {
  const date = new Date(typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? value : Number.NaN);
  if (Number.isNaN(date.getTime())) issues.push({ message: "must be an RFC 3339 instant such as 2026-01-31T12:00:00Z", path });
  return date;
}

function textMember(value: unknown, key: string, issues: StandardSchemaV1.Issue[]): string {
  if (typeof value === "string" && value !== "") return value;
  issues.push({ message: "must be a text", path: [key] });
  return "";
}

function upcomingMember(value: unknown, issues: StandardSchemaV1.Issue[]): Date[] {
  if (!Array.isArray(value)) {
    issues.push({ message: "must be a list of instants", path: ["upcoming"] });
    return [];
  }
  return value.map((entry: unknown, index) => dateMember(entry, ["upcoming", index], issues));
}
