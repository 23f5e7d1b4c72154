import type { Session } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { MessagesSquare, Plus } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { listMax, sessionsQuery, tasksQuery } from "../api/queries.ts";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { SessionTable } from "../components/session-table.tsx";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { FilterBar, SelectFilter, TextFilter } from "../ui/filter-bar.tsx";

const StartSessionDialog = lazy(() =>
  import("../components/start-session-dialog.tsx").then((module) => ({ default: module.StartSessionDialog })),
);

const statusNames: Record<Session["status"], string> = { open: "Open", closed: "Closed", cancelled: "Cancelled", expired: "Expired" };
const statuses = [{ value: "", label: "Any status" }, ...Object.entries(statusNames).map(([value, label]) => ({ value, label }))];

export function SessionsPage() {
  const scope = useScope();
  const { status, task, external } = useQueryText();
  const sessions = useQuery(sessionsQuery(scope, { status, task, externalId: external, limit: listMax }));
  const { data: tasks = [] } = useQuery(tasksQuery(scope));
  const denied = useReasonAgainst("runs.create");
  const [starting, setStarting] = useState(false);
  const filtered = status !== undefined || task !== undefined || external !== undefined;
  const taskIds = [...new Set([...tasks.map(({ task_id: id }) => id), ...(task === undefined ? [] : [task])])];
  return (
    <>
      <PageHeader
        title="Sessions"
        detail="Each is one conversation with a task: its turns, its streams and its workspace."
        actions={
          <Button look="primary" icon={<Plus />} reason={denied} onClick={() => setStarting(true)}>
            Start a session
          </Button>
        }
      />
      <FilterBar>
        <SelectFilter name="status" label="Status" options={statuses} />
        <SelectFilter
          name="task"
          label="Task"
          options={[{ value: "", label: "Any task" }, ...taskIds.map((id) => ({ value: id, label: id }))]}
        />
        <TextFilter name="external" label="External id" mono />
      </FilterBar>
      <Card flush>
        <ListState
          query={sessions}
          empty={
            <EmptyState
              icon={<MessagesSquare />}
              title={filtered ? "No session fits the filters" : "No session yet"}
              command={filtered ? undefined : `helmr session start TASK --project ${scope.project} --env ${scope.environment} --follow`}
            >
              {filtered ? "Change or clear them." : "Start one here, from your code with sessions.start(), or let a schedule do it."}
            </EmptyState>
          }
        >
          {(items) => (
            <>
              <SessionTable scope={scope} sessions={items} />
              {items.length === listMax ? (
                <p className="border-t border-line px-3.5 py-2 text-xs text-muted">
                  The {listMax} that changed last. Filters find older ones.
                </p>
              ) : null}
            </>
          )}
        </ListState>
      </Card>
      {starting ? (
        <Suspense>
          <StartSessionDialog scope={scope} onClose={() => setStarting(false)} />
        </Suspense>
      ) : null}
    </>
  );
}
