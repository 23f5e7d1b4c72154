import type { Run } from "@helmr/protocol/api";
import { isEnded } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { type Column, Table, TwoPart } from "../ui/table.tsx";
import { paths } from "../util/paths.ts";
import { waitText } from "../util/run-story.ts";
import { shortId } from "./id-text.tsx";
import { Duration, RelativeTime } from "./relative-time.tsx";
import { StatusBadge } from "./status-badge.tsx";

const columns: readonly Column<Run>[] = [
  {
    key: "task",
    title: "Task",
    render: (run) => <TwoPart first={run.task_id} second={shortId(run.id)} />,
  },
  { key: "status", title: "Status", render: ({ status }) => <StatusBadge of="run" status={status} /> },
  {
    key: "why",
    title: "",
    grow: true,
    from: "md",
    render: ({ blocked, pending_wait: wait, exit_code: code }) => (
      <span className="text-xs text-muted">
        {wait ? waitText(wait) : (blocked?.message ?? (code !== null && code !== 0 ? `exit code ${code}` : ""))}
      </span>
    ),
  },
  { key: "attempt", title: "Attempt", from: "lg", align: "right", render: ({ attempt_number: attempt }) => attempt ?? "" },
  {
    key: "version",
    title: "Version",
    from: "lg",
    render: ({ version }) => <span className="font-mono text-xs text-muted">{version}</span>,
  },
  {
    key: "took",
    title: "Took",
    from: "sm",
    align: "right",
    render: (run) => <Duration from={run.created_at} to={isEnded(run.status) ? run.updated_at : undefined} />,
  },
  { key: "created", title: "Started", align: "right", render: (run) => <RelativeTime at={run.created_at} /> },
];

export function RunTable({ scope, runs }: { scope: Scope; runs: readonly Run[] }) {
  return <Table label="Runs" rows={runs} columns={columns} keyOf={({ id }) => id} hrefOf={({ id }) => paths.run(scope, id)} />;
}
