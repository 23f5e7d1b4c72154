import type { Deployment } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { currentDeploymentQuery, deploymentsQuery } from "../api/queries.ts";
import { DeployGuide } from "../components/deploy-guide.tsx";
import { ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { PromoteButton } from "../components/promote-button.tsx";
import { Duration, RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { useScope } from "../hooks/use-scope.ts";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { bytesText } from "../util/bytes.ts";
import { paths } from "../util/paths.ts";

function columnsFor(currentId: string | undefined): readonly Column<Deployment>[] {
  return [
    {
      key: "version",
      title: "Version",
      render: ({ id, version }) => (
        <span className="inline-flex items-center gap-2">
          <span className="font-mono font-medium">{version}</span>
          {id === currentId ? <Badge tone="good">current</Badge> : null}
        </span>
      ),
    },
    { key: "status", title: "Status", render: ({ status }) => <StatusBadge of="deployment" status={status} /> },
    {
      key: "error",
      title: "",
      grow: true,
      from: "md",
      render: ({ error }) => (error?.message === undefined ? null : <span className="text-xs text-bad">{error.message}</span>),
    },
    {
      key: "size",
      title: "Source",
      from: "lg",
      align: "right",
      render: ({ deployment_source: source }) => bytesText(source.size_bytes ?? 0),
    },
    {
      key: "build",
      title: "Build",
      from: "md",
      align: "right",
      render: (item) => (item.building_at === null ? "–" : <Duration from={item.building_at} to={item.built_at ?? item.failed_at} />),
    },
    { key: "created", title: "Uploaded", align: "right", render: (item) => <RelativeTime at={item.created_at} /> },
  ];
}

export function DeploymentsPage() {
  const scope = useScope();
  const deployments = useQuery(deploymentsQuery(scope));
  const { data: current } = useQuery(currentDeploymentQuery(scope));
  return (
    <>
      <PageHeader title="Deployments" detail="Immutable builds of your project. Promoting one makes its tasks the current ones." />
      <Card flush>
        <ListState
          query={deployments}
          empty={
            <div className="mx-auto max-w-2xl p-6">
              <p className="mb-4 text-sm font-medium">Nothing is deployed here yet</p>
              <DeployGuide />
            </div>
          }
        >
          {(items) => (
            <Table
              label="Deployments"
              rows={items}
              columns={columnsFor(current?.id)}
              keyOf={({ id }) => id}
              hrefOf={({ id }) => paths.deployment(scope, id)}
              actions={(deployment) => <PromoteButton scope={scope} deployment={deployment} size="small" look="ghost" />}
            />
          )}
        </ListState>
      </Card>
    </>
  );
}
