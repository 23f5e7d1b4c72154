import type { Schedule as WireSchedule, ScheduleOptions as WireScheduleOptions } from "@helmr/protocol/api";
import { idOf, members, optional, queueMember } from "./body-members.ts";
import type { Schedule, ScheduleUpdateOptions, SchedulesApi } from "./schedule-shapes.ts";
import type { Transport } from "./transport.ts";

export function schedulesApi(transport: Transport): SchedulesApi {
  const pathOf = (schedule: string | { readonly id: string }, rest = ""): string =>
    `/schedules/${encodeURIComponent(idOf(schedule, "a schedule"))}${rest}`;
  return Object.freeze<SchedulesApi>({
    async create(options) {
      const body = { deduplication_key: options.deduplicationKey, ...scheduleBody(options) };
      return scheduleView(await transport.json<WireSchedule>({ method: "POST", path: "/schedules", body, options }));
    },
    async update(schedule, options) {
      return scheduleView(
        await transport.json<WireSchedule>({ method: "PUT", path: pathOf(schedule), body: scheduleBody(options), options }),
      );
    },
    async list(options = {}) {
      const { schedules } = await transport.json<{ schedules: WireSchedule[] }>({ method: "GET", path: "/schedules", options });
      return schedules.map(scheduleView);
    },
    async retrieve(schedule, options = {}) {
      return scheduleView(await transport.json<WireSchedule>({ method: "GET", path: pathOf(schedule), options }));
    },
    async activate(schedule, options = {}) {
      return scheduleView(await transport.json<WireSchedule>({ method: "POST", path: pathOf(schedule, "/activate"), options }));
    },
    async deactivate(schedule, options = {}) {
      return scheduleView(await transport.json<WireSchedule>({ method: "POST", path: pathOf(schedule, "/deactivate"), options }));
    },
    async delete(schedule, options = {}) {
      await transport.empty({ method: "DELETE", path: pathOf(schedule), options });
    },
  });
}

function scheduleBody({ externalId, task, cron, timezone, active, options }: ScheduleUpdateOptions): Record<string, unknown> {
  return members({
    external_id: externalId,
    task,
    cron,
    timezone,
    active,
    options:
      options === undefined
        ? undefined
        : members({
            queue: queueMember(options.queue),
            concurrency_key: options.concurrencyKey,
            priority: options.priority,
            ttl: options.ttl,
            max_duration_seconds: options.maxDurationSeconds,
          }),
  });
}

function scheduleView(wire: WireSchedule): Schedule {
  return {
    id: wire.id,
    type: wire.type,
    projectId: wire.project_id,
    environmentId: wire.environment_id,
    task: wire.task,
    ...optional("deduplicationKey", wire.deduplication_key),
    ...optional("externalId", wire.external_id),
    cron: wire.cron,
    timezone: wire.timezone,
    ...(wire.options === undefined ? {} : { options: optionsView(wire.options) }),
    active: wire.active,
    status: wire.status,
    ...optional("lastError", wire.last_error),
    ...optional("nextFireAt", wire.next_fire_at),
    ...optional("lastFireAt", wire.last_fire_at),
    createdAt: wire.created_at,
    updatedAt: wire.updated_at,
  };
}

function optionsView(wire: WireScheduleOptions): NonNullable<Schedule["options"]> {
  return {
    ...optional("queue", wire.queue),
    ...optional("concurrencyKey", wire.concurrency_key),
    ...optional("priority", wire.priority),
    ...optional("ttl", wire.ttl),
    ...optional("maxDurationSeconds", wire.max_duration_seconds),
  };
}
