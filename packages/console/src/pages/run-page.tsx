/** One run: what it does, why it waits, what it said. */
import type { Run, RunEvent } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import { useQuery } from "@tanstack/react-query";
import { CircleStop, TriangleAlert } from "lucide-react";
import { call } from "../api/call.ts";
import { isEnded, runQuery, sessionQuery } from "../api/queries.ts";
import { runRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { BlockedNotice } from "../components/blocked-notice.tsx";
import { EventList } from "../components/event-list.tsx";
import { IdText } from "../components/id-text.tsx";
import { JsonTree } from "../components/json-tree.tsx";
import { EmptyState, ErrorState, PageState } from "../components/list-states.tsx";
import { LogViewer } from "../components/log-viewer.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { PendingWaitCard } from "../components/pending-wait-card.tsx";
import { Duration, RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { TaskLink } from "../components/task-link.tsx";
import { Waterfall } from "../components/waterfall.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useLogs } from "../hooks/use-logs.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { isLive, useRunStory } from "../hooks/use-run-story.ts";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Button } from "../ui/button.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { paths } from "../util/paths.ts";
import { member, type RunStory } from "../util/run-story.ts";

export function RunPage() {
  const scope = useScope();
  const id = useParam("id");
  const run = useQuery(runQuery(scope, id));
  return (
    <PageState query={run} noun="run" parent={{ label: "All runs", href: paths.runs(scope) }}>
      {(item) => <LoadedRun key={item.id} scope={scope} run={item} />}
    </PageState>
  );
}

function LoadedRun({ scope, run }: { scope: Scope; run: Run }) {
  const { story, error } = useRunStory(scope, run.id, run.session_id);
  const { tab = "logs" } = useQueryText();
  const failure = story.events.find(({ kind }) => kind === "run.failed" || kind === "run.dead_lettered" || kind === "run.expired");
  return (
    <>
      <PageHeader
        parent={{ label: "Runs", href: paths.runs(scope) }}
        title={run.task_id}
        badge={<StatusBadge of="run" status={run.status} />}
        crumb={<IdText id={run.id} />}
        actions={<RunActions scope={scope} run={run} />}
      />
      {run.blocked && !run.pending_wait ? <BlockedNotice blocked={run.blocked} /> : null}
      {failure ? <Failure event={failure} /> : null}
      {run.pending_wait && isLive(run) ? <PendingWaitCard scope={scope} run={run} wait={run.pending_wait} /> : null}
      <RunFacts scope={scope} run={run} />
      <Card title="Timeline" className="mt-4">
        {story.events.length === 0 && error ? <ErrorState error={error} /> : <Waterfall run={run} story={story} />}
      </Card>
      <div className="mt-5">
        <Tabs
          label="Parts of the run"
          active={tab}
          tabs={[
            { key: "logs", label: "Logs" },
            { key: "events", label: "Events", count: story.events.length },
            { key: "data", label: "Payload and output" },
          ]}
        />
      </div>
      <Card flush className="rounded-t-none border-t-0">
        {tab === "events" ? (
          <Events story={story} />
        ) : tab === "data" ? (
          <Data run={run} created={story.events.find(({ kind }) => kind === "run.created")} />
        ) : (
          <Logs scope={scope} run={run} />
        )}
      </Card>
    </>
  );
}

function RunActions({ scope, run }: { scope: Scope; run: Run }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("runs.manage");
  const cancel = useAction({
    run: (force: boolean) => call("runs.cancel", { scope, params: { id: run.id }, body: force ? { force } : {} }),
    refresh: [scopeKey(scope)],
    done: ({ operation }) => (operation.status === "rejected" ? "The run had ended before" : "The run is being cancelled"),
  });
  const ask = async () => {
    const yes = await confirm({
      title: "Cancel this run?",
      detail: "The task is told to stop and gets a moment to clean up. Its session stays open.",
      action: "Cancel run",
    });
    if (yes) cancel.start(false);
  };
  return (
    <>
      <AppLink href={paths.session(scope, run.session_id)} className="px-1 text-sm text-accent hover:underline">
        Open its session
      </AppLink>
      <Button look="danger" icon={<CircleStop />} busy={cancel.busy} reason={runRule.cancel(run) ?? denied} onClick={() => void ask()}>
        Cancel run
      </Button>
    </>
  );
}

function RunFacts({ scope, run }: { scope: Scope; run: Run }) {
  const { data: session } = useQuery(sessionQuery(scope, run.session_id));
  return (
    <Card>
      <Facts
        columns={4}
        items={[
          ["Started", <RelativeTime key="at" at={run.created_at} />],
          ["Took", <Duration key="took" from={run.created_at} to={isEnded(run.status) ? run.updated_at : undefined} />],
          ["Attempt", run.attempt_number ?? "none yet"],
          ["Exit code", run.exit_code ?? "–"],
          ["Task", <TaskLink key="task" taskId={run.task_id} />],
          ["Session", <IdText key="session" id={run.session_id} href={paths.session(scope, run.session_id)} />],
          [
            "Deployment",
            <AppLink
              key="version"
              href={paths.deployment(scope, run.deployment_id)}
              className="font-mono text-xs text-accent hover:underline"
            >
              {run.deployment_version}
            </AppLink>,
          ],
          [
            "Workspace",
            session?.workspace_id === undefined ? (
              "–"
            ) : (
              <IdText key="workspace" id={session.workspace_id} href={paths.workspace(scope, session.workspace_id)} />
            ),
          ],
        ]}
      />
    </Card>
  );
}

const failureTexts: Record<string, string> = {
  task_failed: "The task failed",
  max_duration: "The task ran longer than it may",
  task_not_found: "The deployment has no such task",
  duplicate_task_id: "Two tasks of the deployment have this id",
  missing_config: "The deployment has no configuration",
  task_parse_failed: "The task could not be loaded",
  worker_failed: "The machine failed",
  worker_lease_expired: "The worker was lost",
};

/** A run has no error of its own: its last event says what happened (http §7.1). */
function Failure({ event }: { event: RunEvent }) {
  const kind = member(event, "failure_kind");
  const detail = member(event, "detail") as { message?: unknown; exit_code?: unknown; stack?: unknown } | undefined;
  const message = detail?.message ?? member(event, "message");
  const title =
    event.kind === "run.expired" ? "It waited in the queue for too long" : (failureTexts[String(kind)] ?? "It could not be run");
  return (
    <div role="alert" className="mb-4 flex items-start gap-3 rounded-lg border border-bad/30 bg-bad-soft px-3.5 py-3 text-sm">
      <TriangleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden="true" />
      <div className="min-w-0">
        <p className="font-medium">
          {title}
          {typeof detail?.exit_code === "number" ? (
            <span className="font-normal text-muted"> with exit code {detail.exit_code}</span>
          ) : null}
        </p>
        {typeof message === "string" ? <p className="mt-0.5 break-words whitespace-pre-wrap text-muted">{message}</p> : null}
        <p className="mt-1 font-mono text-2xs text-muted">{typeof kind === "string" ? kind : event.kind}</p>
      </div>
    </div>
  );
}

function Logs({ scope, run }: { scope: Scope; run: Run }) {
  const live = isLive(run);
  const { buffer, caughtUp, error } = useLogs(scope, run.id, live);
  if (error) return <ErrorState error={error} />;
  const emptyText = live ? "No line yet. They appear here as they are written." : "The run wrote nothing.";
  return <LogViewer buffer={buffer} live={live} loading={!caughtUp} emptyText={emptyText} fileName={`${run.task_id}-${run.id}.log`} />;
}

function Events({ story }: { story: RunStory }) {
  if (story.events.length === 0) return <EmptyState title="No event yet" />;
  return (
    <>
      <EventList events={story.events} label="Events of the run" />
      {story.logEvents > 0 ? (
        <p className="border-t border-line px-3.5 py-2 text-xs text-muted">{story.logEvents.toLocaleString()} log events are not listed.</p>
      ) : null}
    </>
  );
}

function Data({ run, created }: { run: Run; created: RunEvent | undefined }) {
  const sections: readonly [string, Json | undefined, string][] = [
    ["Payload", member(created ?? {}, "payload") as Json | undefined, "There is none."],
    ["Output", run.output, isLive(run) ? "Comes when the run ends." : "The task returned nothing."],
    ["Metadata", run.metadata, "There is none."],
  ];
  return (
    <div className="divide-y divide-line">
      {sections.map(([label, value, without]) => (
        <section key={label} className="px-3.5 py-3">
          <h3 className="mb-1.5 text-xs font-medium text-muted">{label}</h3>
          {value === undefined || (label === "Metadata" && Object.keys(value ?? {}).length === 0) ? (
            <p className="text-sm text-faint">{without}</p>
          ) : (
            <JsonTree value={value} label={label} openDepth={3} />
          )}
        </section>
      ))}
    </div>
  );
}
