import type { Deployment, RunCounts } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { currentDeploymentQuery, liveRunsQuery, recentSessionsQuery, runCountsQuery, tokensQuery } from "../api/queries.ts";
import type { Scope } from "../api/scope.ts";
import { DeployGuide } from "../components/deploy-guide.tsx";
import { shortId } from "../components/id-text.tsx";
import { EmptyState, ErrorState, ListState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { RunTable } from "../components/run-table.tsx";
import { useCurrentScope } from "../components/scope-switch.tsx";
import { SessionTable } from "../components/session-table.tsx";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useScope } from "../hooks/use-scope.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { classes } from "../ui/classes.ts";
import { paths } from "../util/paths.ts";
import { questionOf } from "../util/question.ts";

const StartSessionDialog = lazy(() =>
  import("../components/start-session-dialog.tsx").then((module) => ({ default: module.StartSessionDialog })),
);

export function OverviewPage() {
  const scope = useScope();
  const { project, environment } = useCurrentScope();
  const deployment = useQuery(currentDeploymentQuery(scope));
  const denied = useReasonAgainst("runs.create");
  const [starting, setStarting] = useState(false);
  const nothing = deployment.data === null ? "Deploy a project first" : undefined;
  return (
    <>
      <PageHeader
        title={project?.name ?? scope.project}
        detail={environment?.name ?? scope.environment}
        actions={
          <Button look="primary" icon={<Plus />} reason={denied ?? nothing} onClick={() => setStarting(true)}>
            Start a session
          </Button>
        }
      />
      {deployment.data === null ? (
        <Card title="Nothing is deployed here yet">
          <DeployGuide />
        </Card>
      ) : (
        <Activity scope={scope} deployment={deployment.data} />
      )}
      {starting ? (
        <Suspense>
          <StartSessionDialog scope={scope} onClose={() => setStarting(false)} />
        </Suspense>
      ) : null}
    </>
  );
}

function Activity({ scope, deployment }: { scope: Scope; deployment: Deployment | undefined }) {
  const sessions = useQuery(recentSessionsQuery(scope));
  const live = useQuery(liveRunsQuery(scope));
  return (
    <div className="space-y-4">
      <Counts scope={scope} />
      <div className="grid gap-4 lg:grid-cols-[1fr_300px]">
        <div className="min-w-0 space-y-4">
          <Card title="Active runs" flush actions={<MoreLink href={paths.runs(scope)} />}>
            <ListState query={live} empty={<EmptyState title="Nothing runs at the moment" />}>
              {(runs) => <RunTable scope={scope} runs={runs} />}
            </ListState>
          </Card>
          <Card title="Recent sessions" flush actions={<MoreLink href={paths.sessions(scope)} />}>
            <ListState
              query={sessions}
              empty={<EmptyState title="No session yet">Start one with the button above, or with helmr session start.</EmptyState>}
            >
              {(items) => <SessionTable scope={scope} sessions={items} />}
            </ListState>
          </Card>
        </div>
        <div className="space-y-4">
          <CurrentDeployment scope={scope} deployment={deployment} />
          <WaitingTokens scope={scope} />
        </div>
      </div>
    </div>
  );
}

function MoreLink({ href }: { href: string }) {
  return (
    <AppLink href={href} className="hover:text-ink hover:underline">
      All
    </AppLink>
  );
}

const tiles: readonly { status: keyof RunCounts; label: string; tone: string }[] = [
  { status: "running", label: "Running", tone: "bg-info" },
  { status: "waiting", label: "Waiting", tone: "bg-wait" },
  { status: "queued", label: "Queued", tone: "bg-warn" },
  { status: "succeeded", label: "Succeeded", tone: "bg-good" },
  { status: "failed", label: "Failed", tone: "bg-bad" },
  { status: "cancelled", label: "Cancelled", tone: "bg-line-strong" },
];

function Counts({ scope }: { scope: Scope }) {
  const { data, error, refetch } = useQuery(runCountsQuery(scope));
  if (error && !data) return <ErrorState error={error} onRetry={() => void refetch()} />;
  return (
    <div
      className="grid grid-cols-3 overflow-hidden rounded-lg border border-line bg-line shadow-card max-sm:gap-px sm:grid-cols-6 sm:gap-px"
      role="group"
      aria-label="Runs by status"
    >
      {tiles.map(({ status, label, tone }) => (
        <AppLink key={status} href={paths.runs(scope)} search={{ status }} className="bg-surface px-3.5 py-3 hover:bg-hover">
          <span className="flex items-center gap-1.5 text-xs text-muted">
            <span aria-hidden="true" className={classes("size-1.5 rounded-full", tone)} />
            {label}
          </span>
          <span className="mt-0.5 block text-xl font-semibold tracking-tight tabular-nums">{data?.[status].toLocaleString() ?? "–"}</span>
        </AppLink>
      ))}
    </div>
  );
}

function CurrentDeployment({ scope, deployment }: { scope: Scope; deployment: Deployment | undefined }) {
  if (!deployment) return null;
  return (
    <Card title="Current deployment" actions={<MoreLink href={paths.deployments(scope)} />}>
      <p className="flex items-baseline justify-between gap-2 text-sm">
        <AppLink href={paths.deployment(scope, deployment.id)} className="font-mono font-medium text-accent hover:underline">
          {deployment.version}
        </AppLink>
        <span className="text-xs text-muted">
          <RelativeTime at={deployment.deployed_at} />
        </span>
      </p>
      <ul className="mt-2.5 space-y-1 text-sm">
        {deployment.tasks.slice(0, 10).map((task) => (
          <li key={task.id} className="flex">
            <AppLink href={paths.task(scope, task.task_id)} className="truncate hover:text-accent hover:underline">
              {task.task_id}
            </AppLink>
          </li>
        ))}
      </ul>
      {deployment.tasks.length > 10 ? <p className="mt-2 text-xs text-muted">and {deployment.tasks.length - 10} more</p> : null}
    </Card>
  );
}

/** People are slower than machines: what waits for them is worth a place of its own. */
function WaitingTokens({ scope }: { scope: Scope }) {
  const { data } = useQuery(tokensQuery(scope, { status: "pending" }));
  const tokens = data?.tokens ?? [];
  if (tokens.length === 0) return null;
  return (
    <Card title="Waiting for an answer" actions={<MoreLink href={paths.tokens(scope)} />}>
      <ul className="space-y-1.5 text-sm">
        {tokens.slice(0, 6).map((token) => (
          <li key={token.id} className="flex items-baseline justify-between gap-3">
            <AppLink href={paths.token(scope, token.id)} className="min-w-0 truncate hover:text-accent hover:underline">
              {questionOf(token.metadata ?? {}) ?? (token.tags?.join(", ") || shortId(token.id))}
            </AppLink>
            <span className="shrink-0 text-xs text-muted">{token.timeout_at === null ? "" : <RelativeTime at={token.timeout_at} />}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
