/** Terminals of a workspace: those that are open, one of them on the screen. Which one is in the address, so that loading the page again comes back to it. */
import type { Pty } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Plus, SquareTerminal, X } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { isUnknownRoute } from "../api/api-error.ts";
import { call, urlOf } from "../api/call.ts";
import { ptysQuery } from "../api/queries.ts";
import { isPtyOver } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { FormError } from "../forms/form-error.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText, useSetQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Button } from "../ui/button.tsx";
import { classes } from "../ui/classes.ts";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { EmptyState, ErrorState } from "./list-states.tsx";
import type { TerminalState } from "./terminal-screen.tsx";

const TerminalScreen = lazy(() => import("./terminal-screen.tsx").then((module) => ({ default: module.TerminalScreen })));

export function TerminalPanel({ scope, workspaceId }: { scope: Scope; workspaceId: string }) {
  const ptys = useQuery(ptysQuery(scope, workspaceId));
  const { pty: chosen } = useQueryText();
  const setQuery = useSetQueryText();
  const denied = useReasonAgainst("workspace.pty.create");
  const create = useAction({
    run: () => call("ptys.create", { scope, params: { id: workspaceId }, body: {} }),
    refresh: [[...scopeKey(scope), "workspace", workspaceId]],
    onDone: ({ pty }) => setQuery({ pty: pty.id }),
    showsError: true,
  });
  if (!ptys.data) {
    if (!ptys.error) return <SkeletonRows />;
    if (isUnknownRoute(ptys.error)) return <EmptyState title="This server has no terminals">It may be older than this console.</EmptyState>;
    return <ErrorState error={ptys.error} onRetry={() => void ptys.refetch()} />;
  }
  const live = ptys.data.filter((pty) => !isPtyOver(pty) || pty.id === chosen);
  const open = live.find(({ id }) => id === chosen);
  const add = (
    <Button size="small" icon={<Plus />} busy={create.busy} reason={denied} onClick={() => create.start()}>
      Open a terminal
    </Button>
  );
  return (
    <>
      {live.length === 0 ? (
        <EmptyState
          icon={<SquareTerminal />}
          title="No terminal is open"
          command={`helmr workspace shell ${workspaceId} --project ${scope.project} --env ${scope.environment}`}
        >
          <p className="mb-3">A shell in the workspace's own machine, which is started for it. It goes on when this page is closed.</p>
          {add}
        </EmptyState>
      ) : (
        <div className="flex flex-wrap items-center gap-1.5 border-b border-line px-2.5 py-1.5">
          {live.map((pty, index) => (
            <PtyTab key={pty.id} scope={scope} pty={pty} number={index + 1} active={pty.id === open?.id} />
          ))}
          <span className="ml-auto">{add}</span>
        </div>
      )}
      <div className="px-3.5">
        <FormError error={create.error} />
      </div>
      {open ? <OpenPty key={open.id} scope={scope} pty={open} /> : null}
    </>
  );
}

function PtyTab({ scope, pty, number, active }: { scope: Scope; pty: Pty; number: number; active: boolean }) {
  const setQuery = useSetQueryText();
  const over = isPtyOver(pty);
  const close = useAction({
    run: () =>
      over ? Promise.resolve(undefined) : call("ptys.close", { scope, params: { id: pty.workspace_id, ptyID: pty.id }, body: {} }),
    refresh: [[...scopeKey(scope), "workspace", pty.workspace_id]],
    onDone: () => active && setQuery({ pty: "" }),
  });
  return (
    <span
      className={classes(
        "inline-flex h-7 items-center rounded-md border pl-2.5 text-xs",
        active ? "border-line-strong bg-surface font-medium" : "border-transparent text-muted hover:bg-hover",
      )}
    >
      <AppLink search={(before) => ({ ...before, pty: pty.id })} replace aria-current={active ? "page" : undefined}>
        Terminal {number}
      </AppLink>
      <button
        type="button"
        aria-label={`Close terminal ${number}`}
        data-tip={over ? "Put it away" : "End its shell"}
        onClick={() => close.start()}
        className="ml-1 inline-flex size-6 items-center justify-center rounded text-faint hover:text-ink"
      >
        <X className="size-3.5" aria-hidden="true" />
      </button>
    </span>
  );
}

const stateTexts: Record<TerminalState, string> = {
  connecting: "Connecting",
  open: "",
  broken: "The connection broke. It is made again.",
  over: "The terminal has ended.",
};

function OpenPty({ scope, pty }: { scope: Scope; pty: Pty }) {
  const [line, setLine] = useState<{ state: TerminalState; text: string }>({ state: "connecting", text: stateTexts.connecting });
  const path = urlOf("ptys.attach", { scope, params: { id: pty.workspace_id, ptyID: pty.id } });
  const text = pty.state === "creating" ? "The workspace's machine is being started." : line.text;
  return (
    <section aria-label="Terminal">
      <Suspense fallback={<SkeletonRows />}>
        <TerminalScreen
          url={new URL(path, location.origin).href}
          onState={(state, said) => setLine({ state, text: said ?? stateTexts[state] })}
        />
      </Suspense>
      <p role="status" className="border-t border-line px-3.5 py-1.5 text-xs text-muted">
        {text === "" ? "Shift + Esc leaves the terminal." : text}
      </p>
    </section>
  );
}
