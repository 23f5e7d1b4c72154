import type { DeploymentTask } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { sessionsQuery, tasksQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { EmptyState, ItemState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { SessionTable } from "../components/session-table.tsx";
import { StartSessionForm } from "../forms/start-session-form.tsx";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { CodeLine } from "../ui/code-line.tsx";
import { paths } from "../util/paths.ts";

export function TaskPage() {
  const scope = useScope();
  const id = useParam("id");
  const tasks = useQuery(tasksQuery(scope));
  return (
    <>
      <PageHeader parent={{ label: "Tasks", href: paths.tasks(scope) }} title={id} />
      <ItemState query={tasks}>
        {(items) => {
          const task = items.find((item) => item.task_id === id);
          return task ? <LoadedTask key={task.id} scope={scope} task={task} /> : <GoneTask scope={scope} id={id} />;
        }}
      </ItemState>
    </>
  );
}

function LoadedTask({ scope, task }: { scope: Scope; task: DeploymentTask }) {
  const command = `helmr session start ${task.task_id} --project ${scope.project} --env ${scope.environment} --follow`;
  return (
    <div className="space-y-4">
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_340px]">
        <Card title="Start a session">
          <StartSessionForm scope={scope} taskId={task.task_id} taskIds={[task.task_id]} />
        </Card>
        <div className="min-w-0 space-y-4">
          <Card title="About">
            <Facts
              columns={1}
              items={[
                [
                  "Declared in",
                  <span key="file" className="font-mono text-xs">
                    {task.file_path ?? "–"}
                  </span>,
                ],
                [
                  "Export",
                  <span key="name" className="font-mono text-xs">
                    {task.export_name ?? "–"}
                  </span>,
                ],
                ["Queue", `${task.queue_name ?? "–"}${task.concurrency_limit === undefined ? "" : `, ${task.concurrency_limit} at once`}`],
              ]}
            />
          </Card>
          <Card title="From a terminal">
            <CodeLine code={command} />
          </Card>
        </div>
      </div>
      <RecentSessions scope={scope} taskId={task.task_id} />
    </div>
  );
}

function RecentSessions({ scope, taskId }: { scope: Scope; taskId: string }) {
  const sessions = useQuery(sessionsQuery(scope, { task: taskId, limit: 20 }));
  return (
    <Card title="Recent sessions" flush>
      <ListState query={sessions} empty={<EmptyState title="No session of this task yet" />}>
        {(items) => <SessionTable scope={scope} sessions={items} />}
      </ListState>
    </Card>
  );
}

function GoneTask({ scope, id }: { scope: Scope; id: string }) {
  return (
    <EmptyState title="The current deployment has no such task">
      It may have been renamed, or another deployment was promoted.{" "}
      <AppLink href={paths.sessions(scope)} search={{ task: id }} className="text-accent underline">
        See its sessions
      </AppLink>
    </EmptyState>
  );
}
