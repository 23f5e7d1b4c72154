/** Schedules as the client gives them (sdk §9.5, §11). */
import type { QueueDefinition } from "../authoring/queue.ts";
import type { RequestOptions } from "./request-options.ts";

interface ScheduleRunOptions {
  readonly queue?: string | { readonly name?: string } | QueueDefinition;
  readonly concurrencyKey?: string;
  readonly priority?: number;
  readonly ttl?: string;
  readonly maxDurationSeconds?: number;
}

export interface Schedule {
  readonly id: string;
  readonly type: "imperative" | "declarative";
  readonly projectId: string;
  readonly environmentId: string;
  readonly task: string;
  readonly deduplicationKey?: string;
  readonly externalId?: string;
  readonly cron: string;
  readonly timezone: string;
  readonly options?: {
    readonly queue?: { readonly name?: string };
    readonly concurrencyKey?: string;
    readonly priority?: number;
    readonly ttl?: string;
    readonly maxDurationSeconds?: number;
  };
  readonly active: boolean;
  readonly status: "active" | "inactive" | "errored";
  readonly lastError?: string;
  readonly nextFireAt?: string;
  readonly lastFireAt?: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface ScheduleRef {
  readonly id: string;
}

export interface ScheduleUpdateOptions extends RequestOptions {
  readonly externalId?: string;
  /** Id of the task. */
  readonly task: string;
  /** Five fields. */
  readonly cron: string;
  /** Default `UTC`. */
  readonly timezone?: string;
  readonly active?: boolean;
  readonly options?: ScheduleRunOptions;
}

export interface ScheduleCreateOptions extends ScheduleUpdateOptions {
  /** A second create with the same key updates the first one's schedule. */
  readonly deduplicationKey: string;
}

export interface ListSchedulesOptions extends RequestOptions {}
export interface RetrieveScheduleOptions extends RequestOptions {}

export interface SchedulesApi {
  create(options: ScheduleCreateOptions): Promise<Schedule>;
  update(schedule: string | ScheduleRef, options: ScheduleUpdateOptions): Promise<Schedule>;
  list(options?: ListSchedulesOptions): Promise<readonly Schedule[]>;
  retrieve(schedule: string | ScheduleRef, options?: RetrieveScheduleOptions): Promise<Schedule>;
  activate(schedule: string | ScheduleRef, options?: RequestOptions): Promise<Schedule>;
  deactivate(schedule: string | ScheduleRef, options?: RequestOptions): Promise<Schedule>;
  delete(schedule: string | ScheduleRef, options?: RequestOptions): Promise<void>;
}
