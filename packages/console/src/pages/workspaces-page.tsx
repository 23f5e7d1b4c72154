import type { Workspace } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { FolderGit2, Plus } from "lucide-react";
import { useState } from "react";
import { workspacesQuery } from "../api/queries.ts";
import { shortId } from "../components/id-text.tsx";
import { EmptyState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { WorkspaceDialog } from "../forms/workspace-form.tsx";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useScope } from "../hooks/use-scope.ts";
import { Chip } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { FilterBar, TextFilter } from "../ui/filter-bar.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { paths } from "../util/paths.ts";

const columns: readonly Column<Workspace>[] = [
  {
    key: "id",
    title: "Workspace",
    render: ({ id, external_id: name }) => <span className="font-mono text-xs">{name ?? shortId(id)}</span>,
  },
  { key: "state", title: "State", render: ({ state }) => <StatusBadge of="workspace" status={state} /> },
  { key: "sandbox", title: "Sandbox", from: "sm", render: ({ sandbox_id: sandbox }) => sandbox },
  { key: "dirty", title: "Content", from: "md", render: ({ dirty_state: dirty }) => <StatusBadge of="dirty" status={dirty} /> },
  {
    key: "tags",
    title: "",
    grow: true,
    from: "lg",
    render: ({ tags = [] }) => (
      <span className="flex gap-1">
        {tags.map((tag) => (
          <Chip key={tag}>{tag}</Chip>
        ))}
      </span>
    ),
  },
  { key: "created", title: "Created", from: "md", align: "right", render: (item) => <RelativeTime at={item.created_at} /> },
  { key: "activity", title: "Used", align: "right", render: (item) => <RelativeTime at={item.last_activity_at} /> },
];

export function WorkspacesPage() {
  const scope = useScope();
  const { external, tag } = useQueryText();
  const workspaces = useQuery(workspacesQuery(scope, { externalId: external, tag }));
  const denied = useReasonAgainst("workspace.lifecycle.manage");
  const [creating, setCreating] = useState(false);
  const filtered = external !== undefined || tag !== undefined;
  return (
    <>
      <PageHeader
        title="Workspaces"
        detail="File systems that outlive the runs that use them. Every turn leaves a version."
        actions={
          <Button icon={<Plus />} reason={denied} onClick={() => setCreating(true)}>
            New workspace
          </Button>
        }
      />
      <FilterBar>
        <TextFilter name="external" label="External id" mono />
        <TextFilter name="tag" label="Tag" />
      </FilterBar>
      <Card flush>
        <ListState
          query={workspaces}
          empty={
            <EmptyState
              icon={<FolderGit2 />}
              title={filtered ? "No workspace fits the filters" : "No workspace yet"}
              command={
                filtered ? undefined : `helmr workspace create --sandbox SANDBOX --project ${scope.project} --env ${scope.environment}`
              }
            >
              {filtered ? "Change or clear them." : "A session brings its own, or uses one that is made here."}
            </EmptyState>
          }
        >
          {(items) => (
            <Table
              label="Workspaces"
              rows={items}
              columns={columns}
              keyOf={({ id }) => id}
              hrefOf={({ id }) => paths.workspace(scope, id)}
            />
          )}
        </ListState>
      </Card>
      {creating ? <WorkspaceDialog scope={scope} onClose={() => setCreating(false)} /> : null}
    </>
  );
}
