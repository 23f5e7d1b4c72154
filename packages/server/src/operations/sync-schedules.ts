/**
 * Declarative schedules follow the current deployment (http §8): what it declares is there, with its cron and zone; what it does not declare is gone. One that
 * did not change goes on where it was. Joins a promotion, which holds the lock of the environment. Locks: environment → schedules in id order.
 */
import { required } from "../assert.ts";
import { normalZone, parseCron, planSchedule, type Recurrence } from "../domain/schedule.ts";
import { type EngineContext, topic } from "../engine-context.ts";
import { newId } from "../new-id.ts";
import { sessionLimits } from "../session-limits.ts";
import type { Tx } from "../store/db.ts";
import { type DeclaredSchedule, deploymentSchedules } from "../store/deployment-schedule.ts";
import {
  scheduleClock,
  scheduleDelete,
  scheduleInsert,
  scheduleLockDeclared,
  type SchedulePlan,
  type ScheduleRow,
  scheduleUpdate,
} from "../store/schedule.ts";
import { progressColumns, progressOf, timingOf } from "./put-schedule.ts";

export interface Promoted {
  orgId: string;
  projectId: string;
  environmentId: string;
  deploymentId: string;
}

export function syncSchedules(context: () => EngineContext): (tx: Tx, promoted: Promoted) => Promise<void> {
  return async (tx, promoted) => {
    const declared = await deploymentSchedules(tx, promoted.deploymentId);
    const present = await scheduleLockDeclared(tx, promoted.environmentId);
    const now = new Date(required(await scheduleClock(tx, promoted.environmentId, ""), "A select without from has a row").now);
    const known = new Map(present.map((row) => [row.task_id, row]));
    for (const schedule of declared) {
      const before = known.get(schedule.task_id);
      known.delete(schedule.task_id);
      const id = before?.id ?? newId();
      const plan = planDeclared(id, before, { schedule, now });
      if (before) await scheduleUpdate(tx, id, plan);
      else await scheduleInsert(tx, identityOf(promoted, id, schedule.task_id), plan);
    }
    for (const gone of known.values()) await scheduleDelete(tx, gone.id);
    if (declared.length > 0) tx.afterCommit(() => context().hints.send(topic.reconcile("fire-schedules")));
  };
}

/** The task is the key: a task declares one schedule. */
const identityOf = ({ orgId, projectId, environmentId }: Promoted, id: string, taskId: string) => ({
  id,
  org_id: orgId,
  project_id: projectId,
  environment_id: environmentId,
  kind: "declarative" as const,
  deduplication_key: taskId,
});

const never: Recurrence = { next: () => null };

/** A build refuses a cron that cannot be parsed; one that got here all the same is shown as errored and never fires. */
function planDeclared(
  id: string,
  before: ScheduleRow | undefined,
  { schedule, now }: { schedule: DeclaredSchedule; now: Date },
): SchedulePlan {
  const parsed = parseCron(schedule.cron, schedule.timezone);
  const cron = parsed.ok ? parsed.cron : schedule.cron;
  const timezone = parsed.ok ? parsed.timezone : normalZone(schedule.timezone);
  const progress = planSchedule({
    id,
    before: before && { timing: timingOf(before), progress: progressOf(before) },
    after: { taskId: schedule.task_id, cron, timezone, isActive: true },
    recurrence: parsed.ok ? parsed.recurrence : never,
    now,
    jitterMsMax: sessionLimits.scheduleJitterMsMax,
  });
  const broken = parsed.ok ? {} : { state: "errored" as const, last_error: parsed.problem, due_at: null };
  return { task_id: schedule.task_id, external_id: null, cron, timezone, options: null, ...progressColumns(progress), ...broken };
}
