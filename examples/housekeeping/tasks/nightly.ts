import { queue, sandbox, schedules } from "@helmr/sdk";

/** One report at a time, whatever starts it. */
const reports = queue({ id: "reports", concurrencyLimit: 1 });

/** Every minute, so that one does not wait long to see it. */
export const everyMinute = schedules.task({
  id: "every-minute",
  sandbox: sandbox("housekeeping"),
  queue: reports,
  cron: { pattern: "* * * * *", timezone: "Europe/Berlin" },
  run: ({ timestamp, lastTimestamp, timezone, scheduleType, upcoming }) => ({
    firedAt: timestamp.toISOString(),
    firedBefore: lastTimestamp?.toISOString() ?? null,
    timezone,
    scheduleType,
    next: upcoming[0]?.toISOString(),
  }),
});

/** Without a cron: started by schedules that are made through the API, or by hand. */
export const onDemandReport = schedules.task({
  id: "on-demand-report",
  sandbox: sandbox("housekeeping"),
  queue: "reports",
  run: ({ scheduleId, externalId }) => ({ scheduleId, externalId: externalId ?? null }),
});
