import type { Deployment } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { TriangleAlert } from "lucide-react";
import { currentDeploymentQuery, deploymentQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { BuildLog } from "../components/build-log.tsx";
import { IdText } from "../components/id-text.tsx";
import { ErrorState, PageState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { PromoteButton } from "../components/promote-button.tsx";
import { Duration, RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { useBuildEvents } from "../hooks/use-build-events.ts";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Badge } from "../ui/badge.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { CopyButton } from "../ui/copy-button.tsx";
import { bytesText } from "../util/bytes.ts";
import { paths } from "../util/paths.ts";

export function DeploymentPage() {
  const scope = useScope();
  const id = useParam("id");
  const deployment = useQuery(deploymentQuery(scope, id));
  return (
    <PageState query={deployment} noun="deployment" parent={{ label: "All deployments", href: paths.deployments(scope) }}>
      {(item) => <LoadedDeployment key={item.id} scope={scope} deployment={item} />}
    </PageState>
  );
}

function LoadedDeployment({ scope, deployment }: { scope: Scope; deployment: Deployment }) {
  const { data: current } = useQuery(currentDeploymentQuery(scope));
  const { events, error } = useBuildEvents(scope, deployment.id);
  const isCurrent = current?.id === deployment.id;
  return (
    <>
      <PageHeader
        parent={{ label: "Deployments", href: paths.deployments(scope) }}
        title={deployment.version}
        badge={
          <>
            <StatusBadge of="deployment" status={deployment.status} />
            {isCurrent ? <Badge tone="good">current</Badge> : null}
          </>
        }
        crumb={<IdText id={deployment.id} />}
        actions={
          <PromoteButton
            scope={scope}
            deployment={deployment}
            look={deployment.status === "deployed" && !isCurrent ? "primary" : "plain"}
          />
        }
      />
      {deployment.error?.message === undefined ? null : (
        <div role="alert" className="mb-4 flex items-start gap-3 rounded-lg border border-bad/30 bg-bad-soft px-3.5 py-3 text-sm">
          <TriangleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden="true" />
          <div className="min-w-0">
            <p className="font-medium">The build failed</p>
            <p className="mt-0.5 break-words whitespace-pre-wrap text-muted">{deployment.error.message}</p>
          </div>
        </div>
      )}
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_320px]">
        <Card title="Build" flush>
          {error && events.length === 0 ? <ErrorState error={error} /> : <BuildLog events={events} />}
        </Card>
        <div className="min-w-0 space-y-4">
          <About deployment={deployment} />
          <Tasks scope={scope} deployment={deployment} linked={isCurrent} />
        </div>
      </div>
    </>
  );
}

function About({ deployment }: { deployment: Deployment }) {
  const { building_at: begun, built_at: built, failed_at: failed } = deployment;
  return (
    <Card title="About">
      <Facts
        items={[
          ["Uploaded", <RelativeTime key="at" at={deployment.created_at} />],
          ["Build took", begun === null ? "–" : <Duration key="took" from={begun} to={built ?? failed} />],
          ["Source", bytesText(deployment.deployment_source.size_bytes ?? 0)],
          [
            "Content",
            <span key="hash" className="inline-flex items-center font-mono text-xs" data-tip={deployment.content_hash}>
              {deployment.content_hash.replace("sha256:", "").slice(0, 10)}
              <CopyButton text={deployment.content_hash} label="Copy hash" />
            </span>,
          ],
          deployment.cli_version === undefined ? undefined : ["CLI", deployment.cli_version],
          deployment.sdk_version === undefined ? undefined : ["SDK", deployment.sdk_version],
        ]}
      />
    </Card>
  );
}

function Tasks({ scope, deployment, linked }: { scope: Scope; deployment: Deployment; linked: boolean }) {
  if (deployment.tasks.length === 0) return null;
  return (
    <Card title={`Tasks (${deployment.tasks.length})`}>
      <ul className="space-y-1 text-sm">
        {deployment.tasks.map((task) => (
          <li key={task.id} className="flex items-baseline justify-between gap-2">
            {linked ? (
              <AppLink href={paths.task(scope, task.task_id)} className="truncate text-accent hover:underline">
                {task.task_id}
              </AppLink>
            ) : (
              <span className="truncate">{task.task_id}</span>
            )}
            <span className="truncate font-mono text-2xs text-faint">{task.file_path}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
