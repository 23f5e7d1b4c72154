import type { Schedule } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { CalendarClock, Pause, Pencil, Play, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { call } from "../api/call.ts";
import { schedulesQuery } from "../api/queries.ts";
import { scheduleRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { ScheduleDialog } from "../forms/schedule-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { type Column, Table, TwoPart } from "../ui/table.tsx";
import { cronText } from "../util/cron-text.ts";

const columns: readonly Column<Schedule>[] = [
  {
    key: "task",
    title: "Task",
    render: (schedule) => <TwoPart first={schedule.task} second={schedule.deduplication_key ?? "declared in code"} />,
  },
  {
    key: "when",
    title: "When",
    render: ({ cron, timezone }) => (
      <span data-tip={`${cron} (${timezone})`} className="flex flex-col max-sm:whitespace-normal sm:flex-row sm:items-baseline sm:gap-2">
        {cronText(cron) ?? <code className="font-mono text-xs">{cron}</code>}
        <span className="text-xs text-muted">{timezone}</span>
      </span>
    ),
  },
  { key: "status", title: "Status", from: "sm", render: ({ status }) => <StatusBadge of="schedule" status={status} /> },
  {
    key: "error",
    title: "",
    grow: true,
    from: "lg",
    render: ({ last_error: error }) =>
      error === undefined ? null : (
        <span data-tip={error} className="text-xs text-bad">
          {error}
        </span>
      ),
  },
  { key: "last", title: "Last", from: "md", align: "right", render: (schedule) => <RelativeTime at={schedule.last_fire_at} /> },
  {
    key: "next",
    title: "Next",
    from: "sm",
    align: "right",
    render: (schedule) =>
      schedule.next_fire_at === undefined ? <span className="text-faint">–</span> : <RelativeTime at={schedule.next_fire_at} />,
  },
];

export function SchedulesPage() {
  const scope = useScope();
  const schedules = useQuery(schedulesQuery(scope));
  const denied = useReasonAgainst("runs.create");
  const [editing, setEditing] = useState<Schedule | "new">();
  return (
    <>
      <PageHeader
        title="Schedules"
        detail="Each occurrence starts a session."
        actions={
          <Button look="primary" icon={<Plus />} reason={denied} onClick={() => setEditing("new")}>
            New schedule
          </Button>
        }
      />
      <Card flush>
        <ListState
          query={schedules}
          empty={
            <EmptyState icon={<CalendarClock />} title="No schedule yet">
              Make one here, or declare it in code with schedules.task() and deploy.
            </EmptyState>
          }
        >
          {(items) => (
            <Table
              label="Schedules"
              rows={items}
              columns={columns}
              keyOf={({ id }) => id}
              actions={(schedule) => <ScheduleActions scope={scope} schedule={schedule} onEdit={setEditing} />}
            />
          )}
        </ListState>
      </Card>
      {editing === undefined ? null : (
        <ScheduleDialog scope={scope} {...(editing === "new" ? {} : { schedule: editing })} onClose={() => setEditing(undefined)} />
      )}
    </>
  );
}

function ScheduleActions({ scope, schedule, onEdit }: { scope: Scope; schedule: Schedule; onEdit: (schedule: Schedule) => void }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("runs.create");
  const reason = scheduleRule.change(schedule) ?? denied;
  const refresh = [[...scopeKey(scope), "schedules"]];
  const params = { id: schedule.id };
  const toggle = useAction({
    run: () => call(schedule.active ? "schedules.deactivate" : "schedules.activate", { scope, params }),
    refresh,
    done: ({ active }) => (active ? "Schedule activated" : "Schedule deactivated"),
  });
  const remove = useAction({ run: () => call("schedules.delete", { scope, params }), refresh, done: "Schedule deleted" });
  const ask = async () => {
    const detail = "It starts nothing any more. Sessions that it started stay.";
    if (await confirm({ title: `Delete the schedule of ${schedule.task}?`, detail, action: "Delete schedule" })) remove.start();
  };
  return (
    <>
      <Button
        size="small"
        look="ghost"
        className="max-md:w-7 max-md:px-0"
        icon={schedule.active ? <Pause /> : <Play />}
        busy={toggle.busy}
        reason={reason}
        onClick={() => toggle.start()}
      >
        <span className="max-md:sr-only">{schedule.active ? "Deactivate" : "Activate"}</span>
      </Button>
      <Button
        size="small"
        look="ghost"
        icon={<Pencil />}
        reason={reason}
        onClick={() => onEdit(schedule)}
        aria-label={`Change schedule of ${schedule.task}`}
      />
      <Button
        size="small"
        look="ghost"
        icon={<Trash2 />}
        busy={remove.busy}
        reason={reason}
        onClick={() => void ask()}
        aria-label={`Delete schedule of ${schedule.task}`}
      />
    </>
  );
}
