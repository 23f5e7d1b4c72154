import type { DeploymentTask } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { tasksQuery } from "../api/queries.ts";
import { DeployGuide } from "../components/deploy-guide.tsx";
import { ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { useScope } from "../hooks/use-scope.ts";
import { Card } from "../ui/card.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { paths } from "../util/paths.ts";

const columns: readonly Column<DeploymentTask>[] = [
  { key: "id", title: "Task", render: ({ task_id: id }) => <span className="font-medium">{id}</span> },
  {
    key: "file",
    title: "Declared in",
    grow: true,
    from: "sm",
    render: ({ file_path: file, export_name: name }) => (
      <span className="font-mono text-xs text-muted">
        {file}
        {name === undefined ? "" : ` · ${name}`}
      </span>
    ),
  },
  {
    key: "queue",
    title: "Queue",
    from: "md",
    render: ({ queue_name: queue }) => <span className="font-mono text-xs">{queue ?? "–"}</span>,
  },
  { key: "limit", title: "At once", from: "md", align: "right", render: ({ concurrency_limit: limit }) => limit ?? "any" },
  { key: "ttl", title: "Queue limit", align: "right", from: "lg", render: ({ ttl }) => ttl ?? "–" },
];

export function TasksPage() {
  const scope = useScope();
  const tasks = useQuery(tasksQuery(scope));
  return (
    <>
      <PageHeader title="Tasks" detail="Of the current deployment. Open one to start a session of it." />
      <Card flush>
        <ListState
          query={tasks}
          empty={
            <div className="mx-auto max-w-2xl p-6">
              <p className="mb-4 text-sm font-medium">No task is deployed here yet</p>
              <DeployGuide />
            </div>
          }
        >
          {(items) => (
            <Table
              label="Tasks"
              rows={items}
              columns={columns}
              keyOf={({ id }) => id}
              hrefOf={({ task_id: id }) => paths.task(scope, id)}
            />
          )}
        </ListState>
      </Card>
    </>
  );
}
