/** Schedules (http §8). */
import { type Schedule, scheduleEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import {
  deleteSchedule,
  listSchedules,
  readSchedule,
  replaceSchedule,
  type ScheduleRow,
  setScheduleActive,
  upsertSchedule,
} from "../../operations/put-schedule.ts";
import { isRefusal } from "../../outcome.ts";
import { refuseScopeFields } from "../request-facts.ts";
import type { Routes } from "../route.ts";

export function addScheduleRoutes(routes: Routes, context: EngineContext): void {
  routes.add(scheduleEndpoints.list, async ({ scope }) => ({
    body: { schedules: (await listSchedules(context, scope.environmentId)).map(scheduleView) },
  }));

  routes.add(scheduleEndpoints.create, async ({ actor, scope, body }) => {
    const row = refuseScopeFields(actor, body) ?? (await upsertSchedule(context, { scope, body }));
    return isRefusal(row) ? row : { body: scheduleView(row) };
  });

  routes.add(scheduleEndpoints.get, async ({ scope, params }) => {
    const row = await readSchedule(context, scope.environmentId, params.id);
    return isRefusal(row) ? row : { body: scheduleView(row) };
  });

  routes.add(scheduleEndpoints.put, async ({ actor, scope, params, body }) => {
    const row = refuseScopeFields(actor, body) ?? (await replaceSchedule(context, { scope, id: params.id, body }));
    return isRefusal(row) ? row : { body: scheduleView(row) };
  });

  routes.add(scheduleEndpoints.delete, async ({ scope, params }) => (await deleteSchedule(context, scope.environmentId, params.id)) ?? {});

  for (const [endpoint, active] of [
    [scheduleEndpoints.activate, true],
    [scheduleEndpoints.deactivate, false],
  ] as const) {
    routes.add(endpoint, async ({ scope, params }) => {
      const row = await setScheduleActive(context, { environmentId: scope.environmentId, id: params.id, active });
      return isRefusal(row) ? row : { body: scheduleView(row) };
    });
  }
}

/** The key of a declarative schedule is its task, which is ours to know; an errored one fires next when it is tried again. */
function scheduleView(row: ScheduleRow): Schedule {
  const nextFireAt = row.state === "errored" ? row.due_at : row.next_fire_at;
  return {
    id: row.id,
    type: row.kind,
    project_id: row.project_id,
    environment_id: row.environment_id,
    task: row.task_id,
    ...(row.kind === "declarative" ? {} : { deduplication_key: row.deduplication_key }),
    ...(row.external_id === null ? {} : { external_id: row.external_id }),
    cron: row.cron,
    timezone: row.timezone,
    ...(row.options === null ? {} : { options: row.options }),
    active: row.state !== "inactive",
    status: row.state,
    ...(row.last_error === null ? {} : { last_error: row.last_error }),
    ...(nextFireAt === null ? {} : { next_fire_at: nextFireAt }),
    ...(row.last_fire_at === null ? {} : { last_fire_at: row.last_fire_at }),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}
