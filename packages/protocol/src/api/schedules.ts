/** Schedules (http §8). */
import * as z from "zod";
import {
  concurrencyKey,
  durationText,
  externalId,
  int32Max,
  int32Min,
  integer,
  maxDurationSeconds,
  queueName,
  refused,
  scopeFields,
  taskId,
  uuidParam,
} from "../shared/index.ts";
import { endpoint } from "./endpoint.ts";
import { exampleId, exampleTime, id, timestamp } from "./fields.ts";

export const scheduleTypes = ["imperative", "declarative"] as const;
export type ScheduleType = (typeof scheduleTypes)[number];
export const scheduleStatuses = ["active", "inactive", "errored"] as const;
export type ScheduleStatus = (typeof scheduleStatuses)[number];

/** Exactly five fields. What each may hold is the cron parser's to judge. */
function cronText() {
  return z
    .string()
    .transform((text) => text.trim().split(/\s+/).join(" "))
    .refine(
      (text) => text.split(" ").length === 5 && /^[A-Za-z0-9*,/ ?#-]+$/.test(text),
      "must have exactly five fields, such as 0 9 * * 1-5",
    )
    .meta({ examples: ["0 9 * * 1-5"] });
}

/** An IANA name. Offsets such as +01:00 are none, although `Intl` takes them. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function timeZone() {
  return z
    .string()
    .transform((name) => (/^\s*(utc)?\s*$/i.test(name) ? "UTC" : name.trim()))
    .refine(isTimeZone, "must be an IANA time zone such as Europe/Berlin")
    .default("UTC");
}

/** Not strict (http §1.1): unknown fields are ignored, but these two are refused by name. */
const optionsBody = z.object({
  deployment_id: refused("options.deployment_id is not accepted for schedules"),
  version: refused("options.version is not accepted for schedules"),
  queue: z.object({ name: queueName().optional() }).optional(),
  concurrency_key: concurrencyKey().optional(),
  priority: integer(int32Min, int32Max).optional(),
  ttl: durationText().optional(),
  max_duration_seconds: maxDurationSeconds().optional(),
});
export type ScheduleOptions = z.output<typeof scheduleOptionsView>;
const scheduleOptionsView = z
  .object({
    queue: z.object({ name: z.string().optional() }).optional(),
    concurrency_key: z.string().optional(),
    priority: z.int().optional(),
    ttl: z.string().optional(),
    max_duration_seconds: z.int().optional(),
  })
  .meta({ id: "ScheduleOptions" });

/** `active` is true when a schedule is created without it; when one is replaced without it, it stays as it is. */
export const schedulePutBody = z.strictObject({
  ...scopeFields,
  external_id: externalId().optional(),
  task: taskId(),
  cron: cronText(),
  timezone: timeZone(),
  options: optionsBody.optional(),
  active: z.boolean().optional(),
});
export type SchedulePutBody = z.output<typeof schedulePutBody>;
export type SchedulePutInput = z.input<typeof schedulePutBody>;

export const scheduleCreateBody = schedulePutBody.extend({ deduplication_key: taskId() });
export type ScheduleCreateBody = z.output<typeof scheduleCreateBody>;
export type ScheduleCreateInput = z.input<typeof scheduleCreateBody>;

export const scheduleView = z
  .object({
    id,
    type: z.enum(scheduleTypes),
    project_id: id,
    environment_id: id,
    task: z.string(),
    deduplication_key: z.string().optional().meta({ description: "absent on declarative schedules" }),
    external_id: z.string().optional(),
    cron: z.string(),
    timezone: z.string(),
    options: scheduleOptionsView.optional(),
    active: z.boolean(),
    status: z.enum(scheduleStatuses),
    last_error: z.string().optional(),
    next_fire_at: timestamp.optional(),
    last_fire_at: timestamp.optional(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Schedule" });
export type Schedule = z.output<typeof scheduleView>;

/** The payload of a session that a schedule starts. Keys are camelCase, instants RFC 3339. */
export const schedulePayload = z.object({
  timestamp,
  lastTimestamp: timestamp.optional(),
  timezone: z.string(),
  scheduleId: z.string(),
  scheduleType: z.enum(scheduleTypes),
  externalId: z.string().optional(),
  upcoming: z.array(timestamp).meta({ description: "five instants counted from the fire time" }),
});
export type SchedulePayload = z.output<typeof schedulePayload>;

const exampleSchedule: Schedule = {
  id: exampleId.schedule,
  type: "imperative",
  project_id: exampleId.project,
  environment_id: exampleId.environment,
  task: "hello",
  deduplication_key: "morning-report",
  cron: "0 9 * * 1-5",
  timezone: "Europe/Berlin",
  options: { priority: 10 },
  active: true,
  status: "active",
  next_fire_at: "2026-06-08T07:00:00Z",
  created_at: exampleTime,
  updated_at: exampleTime,
};
const examplePut = { task: "hello", cron: "0 9 * * 1-5", timezone: "Europe/Berlin", options: { priority: 10 } };

const scheduleParams = z.object({ id: uuidParam("schedule") });

export const scheduleEndpoints = {
  list: endpoint({
    id: "schedules.list",
    method: "GET",
    path: "/schedules",
    family: "environment",
    permission: "runs.read",
    summary: "List schedules, at most 200",
    response: z.object({ schedules: z.array(scheduleView) }),
    statuses: [200],
    example: { response: { schedules: [exampleSchedule] } },
  }),
  create: endpoint({
    id: "schedules.create",
    method: "POST",
    path: "/schedules",
    family: "environment",
    permission: "runs.create",
    summary: "Create a schedule, or update the one with the same deduplication_key",
    body: scheduleCreateBody,
    response: scheduleView,
    statuses: [201],
    example: { body: { deduplication_key: "morning-report", ...examplePut }, response: exampleSchedule },
  }),
  get: endpoint({
    id: "schedules.get",
    method: "GET",
    path: "/schedules/{id}",
    family: "environment",
    permission: "runs.read",
    summary: "Get a schedule",
    params: scheduleParams,
    response: scheduleView,
    statuses: [200],
    example: { response: exampleSchedule },
  }),
  put: endpoint({
    id: "schedules.put",
    method: "PUT",
    path: "/schedules/{id}",
    family: "environment",
    permission: "runs.create",
    summary: "Replace an imperative schedule",
    params: scheduleParams,
    body: schedulePutBody,
    response: scheduleView,
    statuses: [200],
    example: { body: examplePut, response: exampleSchedule },
  }),
  delete: endpoint({
    id: "schedules.delete",
    method: "DELETE",
    path: "/schedules/{id}",
    family: "environment",
    permission: "runs.create",
    summary: "Delete an imperative schedule",
    params: scheduleParams,
    statuses: [204],
  }),
  activate: endpoint({
    id: "schedules.activate",
    method: "POST",
    path: "/schedules/{id}/activate",
    family: "environment",
    permission: "runs.create",
    summary: "Activate an imperative schedule; no body is needed",
    params: scheduleParams,
    response: scheduleView,
    statuses: [200],
    example: { response: exampleSchedule },
  }),
  deactivate: endpoint({
    id: "schedules.deactivate",
    method: "POST",
    path: "/schedules/{id}/deactivate",
    family: "environment",
    permission: "runs.create",
    summary: "Deactivate an imperative schedule; no body is needed",
    params: scheduleParams,
    response: scheduleView,
    statuses: [200],
    example: { response: { ...exampleSchedule, active: false, status: "inactive", next_fire_at: undefined } },
  }),
};
