import type { Session } from "@helmr/protocol/api";
import type { Scope } from "../api/scope.ts";
import { Chip } from "../ui/badge.tsx";
import { type Column, Table, TwoPart } from "../ui/table.tsx";
import { paths } from "../util/paths.ts";
import { shortId } from "./id-text.tsx";
import { RelativeTime } from "./relative-time.tsx";
import { SessionBadge } from "./status-badge.tsx";

const columns: readonly Column<Session>[] = [
  {
    key: "task",
    title: "Task",
    render: (session) => <TwoPart first={session.task_id} second={session.external_id ?? shortId(session.id)} />,
  },
  { key: "status", title: "Status", render: (session) => <SessionBadge session={session} /> },
  {
    key: "more",
    title: "",
    grow: true,
    from: "md",
    render: ({ tags = [], terminal_reason: end }) =>
      end?.reason === undefined ? (
        <span className="flex gap-1">
          {tags.map((tag) => (
            <Chip key={tag}>{tag}</Chip>
          ))}
        </span>
      ) : (
        <span className="text-xs text-muted">{end.reason}</span>
      ),
  },
  { key: "created", title: "Started", from: "md", align: "right", render: (session) => <RelativeTime at={session.created_at} /> },
  { key: "updated", title: "Changed", align: "right", render: (session) => <RelativeTime at={session.updated_at} /> },
];

export function SessionTable({ scope, sessions }: { scope: Scope; sessions: readonly Session[] }) {
  return <Table label="Sessions" rows={sessions} columns={columns} keyOf={({ id }) => id} hrefOf={({ id }) => paths.session(scope, id)} />;
}
