/** One session: what was said in its streams, its turns, and a box to say more. */
import type { Run, Session, SessionRun } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { CircleStop, DoorClosed } from "lucide-react";
import { call } from "../api/call.ts";
import { runQuery, sessionQuery, sessionRunsQuery } from "../api/queries.ts";
import { sessionRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { BlockedNotice } from "../components/blocked-notice.tsx";
import { IdText } from "../components/id-text.tsx";
import { JsonTree } from "../components/json-tree.tsx";
import { EmptyState, ErrorState, ItemState, PageState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { PendingWaitCard } from "../components/pending-wait-card.tsx";
import { RecordList } from "../components/record-list.tsx";
import { Duration, RelativeTime } from "../components/relative-time.tsx";
import { SessionBadge, StatusBadge } from "../components/status-badge.tsx";
import { TaskLink } from "../components/task-link.tsx";
import { SendInputForm } from "../forms/send-input-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useRunStory } from "../hooks/use-run-story.ts";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { useStreamRecords } from "../hooks/use-stream-records.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Chip } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { Select } from "../ui/field.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { useSetQueryText } from "../hooks/use-query-text.ts";
import { classes } from "../ui/classes.ts";
import { paths } from "../util/paths.ts";
import { member } from "../util/run-story.ts";

export function SessionPage() {
  const scope = useScope();
  const id = useParam("id");
  const session = useQuery(sessionQuery(scope, id));
  return (
    <PageState query={session} noun="session" parent={{ label: "All sessions", href: paths.sessions(scope) }}>
      {(item) => <LoadedSession key={item.id} scope={scope} session={item} />}
    </PageState>
  );
}

function LoadedSession({ scope, session }: { scope: Scope; session: Session }) {
  const { current_run_id: runId } = session;
  const active = session.status === "open" && session.activity !== "idle";
  const { data: run } = useQuery({ ...runQuery(scope, runId ?? ""), enabled: active && runId !== undefined });
  const wait = active && session.activity === "waiting" ? run?.pending_wait : undefined;
  return (
    <>
      <PageHeader
        parent={{ label: "Sessions", href: paths.sessions(scope) }}
        title={session.external_id ?? session.task_id}
        badge={<SessionBadge session={session} />}
        crumb={<IdText id={session.id} />}
        actions={<SessionActions scope={scope} session={session} />}
      />
      {active && runId !== undefined ? <CurrentRun key={runId} scope={scope} session={session} run={run} runId={runId} /> : null}
      <SessionEnd session={session} />
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_320px]">
        <Streams scope={scope} session={session} wait={wait} />
        <div className="min-w-0 space-y-4">
          <Turns scope={scope} session={session} />
          <SessionFacts scope={scope} session={session} />
        </div>
      </div>
    </>
  );
}

/** Follows the run that is active, so that the page moves with it; says what it waits for. */
function CurrentRun({ scope, session, run, runId }: { scope: Scope; session: Session; run: Run | undefined; runId: string }) {
  useRunStory(scope, runId, session.id);
  if (run?.pending_wait && session.activity === "waiting")
    return <PendingWaitCard scope={scope} run={run} wait={run.pending_wait} hasComposer />;
  const blocked = session.blocked ?? run?.blocked;
  return blocked ? <BlockedNotice blocked={blocked} /> : null;
}

const endTitles: Record<Exclude<Session["status"], "open">, string> = {
  closed: "The session was closed",
  cancelled: "The session was cancelled",
  expired: "The session has expired",
};

function SessionEnd({ session: { status, error, terminal_reason: end } }: { session: Session }) {
  if (status === "open") return null;
  const said = member({ attributes: error }, "message");
  const reason = end?.reason ?? (typeof said === "string" ? said : undefined);
  return (
    <div className="mb-4 flex items-start gap-3 rounded-lg border border-line bg-sunken px-3.5 py-3 text-sm">
      <CircleStop className="mt-0.5 size-4 shrink-0 text-muted" aria-hidden="true" />
      <div className="min-w-0">
        <p className="font-medium">
          {endTitles[status]}
          {end?.origin === undefined ? null : (
            <span className="font-normal text-muted"> through the {end.origin === "api" ? "API" : end.origin}</span>
          )}
        </p>
        {reason === undefined ? null : <p className="mt-0.5 break-words whitespace-pre-wrap text-muted">{reason}</p>}
      </div>
    </div>
  );
}

function SessionActions({ scope, session }: { scope: Scope; session: Session }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("runs.manage");
  const refresh = [scopeKey(scope)];
  const params = { id: session.id };
  const close = useAction({ run: () => call("sessions.close", { scope, params, body: {} }), refresh, done: "Session closed" });
  const cancel = useAction({ run: () => call("sessions.cancel", { scope, params, body: {} }), refresh, done: "Session cancelled" });
  const askClose = async () => {
    const question = {
      title: "Close this session?",
      detail: "It takes no more input. Its records, runs and workspace stay.",
      action: "Close session",
    };
    if (await confirm(question)) close.start();
  };
  const askCancel = async () => {
    const detail = "Its active run is cancelled and it takes no more input. Its records, runs and workspace stay.";
    if (await confirm({ title: "Cancel this session?", detail, action: "Cancel session" })) cancel.start();
  };
  return (
    <>
      <Button icon={<DoorClosed />} busy={close.busy} reason={sessionRule.close(session) ?? denied} onClick={() => void askClose()}>
        Close
      </Button>
      <Button
        look="danger"
        icon={<CircleStop />}
        busy={cancel.busy}
        reason={sessionRule.cancel(session) ?? denied}
        onClick={() => void askCancel()}
      >
        Cancel session
      </Button>
    </>
  );
}

function Streams({ scope, session, wait }: { scope: Scope; session: Session; wait: Run["pending_wait"] }) {
  const { streams, records, loading, error, loadEarlier } = useStreamRecords(scope, session.id, session.activity !== "idle");
  const { stream: chosen = "" } = useQueryText();
  const inputs = streams.filter(({ direction }) => direction === "input").map(({ name }) => name);
  const awaited = wait?.kind === "stream" ? member({ attributes: wait.params }, "stream") : undefined;
  const correlation = wait?.kind === "stream" ? member({ attributes: wait.params }, "correlation_id") : undefined;
  const shown = chosen === "" ? records : records.filter((record) => `${record.direction} ${record.name}` === chosen);
  return (
    <Card title="Streams" flush actions={streams.length > 1 ? <StreamChoice streams={streams} chosen={chosen} /> : undefined}>
      {loadEarlier ? (
        <button type="button" onClick={loadEarlier} className="w-full border-b border-line py-2 text-xs text-accent hover:bg-hover">
          Earlier records
        </button>
      ) : null}
      {error && streams.length === 0 ? (
        <ErrorState error={error} />
      ) : loading ? (
        <SkeletonRows rows={4} />
      ) : shown.length === 0 ? (
        <EmptyState title={streams.length === 0 ? "This task declares no streams" : "No record yet"}>
          {streams.length === 0
            ? "Declare some with streams in the task's project to talk with its runs."
            : "What goes in and what comes out is shown here."}
        </EmptyState>
      ) : (
        <RecordList records={shown} />
      )}
      {inputs.length === 0 || session.status !== "open" ? null : (
        <div className={classes("border-t border-line p-3.5", awaited !== undefined && "bg-wait-soft/50")}>
          <SendInputForm
            key={String(awaited)}
            scope={scope}
            sessionId={session.id}
            streams={inputs}
            first={typeof awaited === "string" ? awaited : undefined}
            correlationId={typeof correlation === "string" ? correlation : undefined}
            reason={sessionRule.send(session)}
          />
        </div>
      )}
    </Card>
  );
}

function StreamChoice({
  streams,
  chosen,
}: {
  streams: readonly { id: string; name: string; direction: string; sequence: number }[];
  chosen: string;
}) {
  const setQuery = useSetQueryText();
  const options = [
    { value: "", label: "All streams" },
    ...streams.map(({ name, direction, sequence }) => ({
      value: `${direction} ${name}`,
      label: `${direction === "input" ? "→" : "←"} ${name} (${sequence})`,
    })),
  ];
  return <Select aria-label="Stream" size="small" fit value={chosen} onChange={(stream) => setQuery({ stream })} options={options} />;
}

function Turns({ scope, session }: { scope: Scope; session: Session }) {
  const runs = useQuery(sessionRunsQuery(scope, session.id));
  return (
    <Card title="Turns" flush>
      <ItemState query={runs}>
        {(turns) => (
          <ol aria-label="Turns" className="divide-y divide-line">
            {turns.toReversed().map((turn) => (
              <Turn key={turn.id} scope={scope} turn={turn} />
            ))}
          </ol>
        )}
      </ItemState>
    </Card>
  );
}

function Turn({ scope, turn }: { scope: Scope; turn: SessionRun }) {
  return (
    <li className="relative flex items-center gap-2.5 px-3.5 py-2 text-sm hover:bg-hover/60">
      <AppLink
        href={paths.run(scope, turn.run_id)}
        className="font-medium before:absolute before:inset-0"
        aria-label={`Run of turn ${turn.turn_index + 1}`}
      >
        {turn.turn_index + 1}
      </AppLink>
      <StatusBadge of="run" status={turn.status} />
      <span className="ml-auto text-right text-xs text-muted">
        <Duration from={turn.created_at} to={turn.ended_at} />
      </span>
      <span className="w-20 text-right text-xs text-faint">
        <RelativeTime at={turn.created_at} />
      </span>
    </li>
  );
}

function SessionFacts({ scope, session }: { scope: Scope; session: Session }) {
  const { metadata = {}, tags = [] } = session;
  return (
    <Card title="About">
      <Facts
        items={[
          ["Task", <TaskLink key="task" taskId={session.task_id} />],
          ["Status", session.status],
          session.workspace_id === undefined
            ? undefined
            : ["Workspace", <IdText key="workspace" id={session.workspace_id} href={paths.workspace(scope, session.workspace_id)} />],
          [
            "Deployment",
            <IdText key="deployment" id={session.active_deployment_id} href={paths.deployment(scope, session.active_deployment_id)} />,
          ],
          ["Started", <RelativeTime key="at" at={session.created_at} />],
          session.expires_at === undefined ? undefined : ["Expires", <RelativeTime key="expires" at={session.expires_at} />],
          session.external_id === undefined
            ? undefined
            : [
                "External id",
                <span key="external" className="font-mono text-xs">
                  {session.external_id}
                </span>,
              ],
        ]}
      />
      {tags.length === 0 ? null : (
        <p className="mt-3 flex flex-wrap gap-1">
          {tags.map((tag) => (
            <Chip key={tag}>{tag}</Chip>
          ))}
        </p>
      )}
      {Object.keys(metadata).length === 0 ? null : (
        <div className="mt-3 border-t border-line pt-3">
          <p className="mb-1 text-xs text-muted">Metadata</p>
          <JsonTree value={metadata} label="Metadata" />
        </div>
      )}
    </Card>
  );
}
