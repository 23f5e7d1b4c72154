/** Processes beside the runs of a workspace: start one, watch what it writes, signal it. Which one is open is in the address. */
import type { Exec } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import { useQuery } from "@tanstack/react-query";
import { SquareTerminal } from "lucide-react";
import { isUnknownRoute } from "../api/api-error.ts";
import { call } from "../api/call.ts";
import { execsQuery } from "../api/queries.ts";
import { execRule, isExecOver } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { ExecForm } from "../forms/exec-form.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useExecOutput } from "../hooks/use-exec-output.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Button } from "../ui/button.tsx";
import { classes } from "../ui/classes.ts";
import { member } from "../util/run-story.ts";
import { EmptyState, ErrorState, ListState } from "./list-states.tsx";
import { LogViewer } from "./log-viewer.tsx";
import { Duration, RelativeTime } from "./relative-time.tsx";
import { StatusBadge } from "./status-badge.tsx";

export function ExecPanel({ scope, workspaceId }: { scope: Scope; workspaceId: string }) {
  const execs = useQuery(execsQuery(scope, workspaceId));
  const { exec: chosen } = useQueryText();
  const setQuery = useSetQueryText();
  if (execs.error && isUnknownRoute(execs.error))
    return <EmptyState title="This server does not run commands in workspaces">It may be older than this console.</EmptyState>;
  const open = execs.data?.find(({ id }) => id === chosen);
  return (
    <>
      <ExecForm scope={scope} workspaceId={workspaceId} onStarted={(exec) => setQuery({ exec })} />
      {open ? <OpenExec key={open.id} scope={scope} exec={open} /> : null}
      <ListState
        query={execs}
        empty={
          <EmptyState
            icon={<SquareTerminal />}
            title="No command was run here"
            command={`helmr workspace exec ${workspaceId} --project ${scope.project} --env ${scope.environment} -- ls -la`}
          >
            Commands run in the workspace's own machine; it is started for them and stopped when it has been idle.
          </EmptyState>
        }
      >
        {(items) => (
          <ol aria-label="Commands" className="divide-y divide-line">
            {items.map((exec) => (
              <ExecRow key={exec.id} exec={exec} open={exec.id === chosen} />
            ))}
          </ol>
        )}
      </ListState>
    </>
  );
}

function ExecRow({ exec, open }: { exec: Exec; open: boolean }) {
  return (
    <li className={classes("relative flex items-center gap-3 px-3.5 py-2 text-sm hover:bg-hover/60", open && "bg-accent-soft/60")}>
      <AppLink
        search={(before) => ({ ...before, exec: open ? "" : exec.id })}
        replace
        resetScroll={false}
        className="min-w-0 grow truncate font-mono text-xs before:absolute before:inset-0"
      >
        {commandText(exec.command)}
      </AppLink>
      <ExecEnd exec={exec} />
      <span className="w-20 shrink-0 text-right text-xs text-muted max-sm:hidden">
        {exec.started_at === undefined ? "" : <Duration from={exec.started_at} to={exec.exited_at} />}
      </span>
      <span className="w-20 shrink-0 text-right text-xs text-faint">
        <RelativeTime at={exec.created_at} />
      </span>
    </li>
  );
}

function ExecEnd({ exec }: { exec: Exec }) {
  if (exec.exit_code === undefined) return <StatusBadge of="exec" status={exec.state} />;
  if (exec.signal !== undefined) return <span className="shrink-0 font-mono text-xs text-muted">{exec.signal}</span>;
  return (
    <span className={classes("shrink-0 font-mono text-xs", exec.exit_code === 0 ? "text-good" : "text-bad")}>exit {exec.exit_code}</span>
  );
}

function OpenExec({ scope, exec }: { scope: Scope; exec: Exec }) {
  const { buffer, caughtUp, error } = useExecOutput(scope, exec);
  const message = member({ attributes: exec.error }, "message");
  const over = isExecOver(exec);
  return (
    <section aria-label="Output of the command" className="border-b border-line">
      <header className="flex flex-wrap items-center gap-3 border-b border-line bg-sunken/60 px-3.5 py-2">
        <code className="min-w-0 grow font-mono text-xs break-words">{commandText(exec.command)}</code>
        <ExecEnd exec={exec} />
        <SignalButton scope={scope} exec={exec} />
      </header>
      {typeof message === "string" ? <p className="border-b border-line bg-bad-soft px-3.5 py-2 text-sm text-bad">{message}</p> : null}
      {error ? (
        <ErrorState error={error} />
      ) : (
        <LogViewer
          buffer={buffer}
          live={!over}
          loading={!caughtUp}
          streams={["stdout", "stderr"]}
          emptyText={over ? "It wrote nothing." : exec.state === "running" ? "Nothing was written yet." : "The machine is being started."}
          fileName={`exec-${exec.id}.log`}
        />
      )}
    </section>
  );
}

function SignalButton({ scope, exec }: { scope: Scope; exec: Exec }) {
  const denied = useReasonAgainst("workspace.exec.manage");
  const signal = useAction({
    run: () => call("execs.signal", { scope, params: { id: exec.workspace_id, execID: exec.id }, body: { signal: "TERM" } }),
    refresh: [[...scopeKey(scope), "workspace", exec.workspace_id]],
    done: "It was told to end",
  });
  if (isExecOver(exec)) return null;
  return (
    <Button size="small" busy={signal.busy} reason={execRule.signal(exec) ?? denied} onClick={() => signal.start()}>
      Stop
    </Button>
  );
}

/** `sh -c LINE` is how this page starts a line; nobody typed the shell. */
function commandText(command: readonly string[]): string {
  const [shell, flag, line] = command;
  if (command.length === 3 && shell === "sh" && flag === "-c" && line !== undefined) return line;
  return command.map((part) => (/^[\w@%+=:,./-]+$/.test(part) ? part : JSON.stringify(part as Json))).join(" ");
}
