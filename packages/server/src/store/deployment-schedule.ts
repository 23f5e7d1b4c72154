/** What a deployment declares in schedules. */
import type { Queryable } from "./db.ts";
import { statement } from "./statement.ts";

export interface DeclaredSchedule {
  task_id: string;
  cron: string;
  timezone: string;
}

const list = statement<{ deployment_id: string }, DeclaredSchedule>(
  "deployment_schedule_list",
  "select task_id, cron, timezone from deployment_schedules where deployment_id = $deployment_id order by task_id",
);

export const deploymentSchedules = (on: Queryable, deploymentId: string) => on.all(list, { deployment_id: deploymentId });
