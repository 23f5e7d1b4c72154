import type { Workspace } from "@helmr/protocol/api";
import { useQuery } from "@tanstack/react-query";
import { Power, Square, Trash2 } from "lucide-react";
import { lazy, Suspense } from "react";
import { call } from "../api/call.ts";
import { versionsQuery, workspaceQuery } from "../api/queries.ts";
import { workspaceRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { FileBrowser } from "../components/file-browser.tsx";
import { IdText, shortId } from "../components/id-text.tsx";
import { JsonTree } from "../components/json-tree.tsx";
import { EmptyState, ListState, PageState } from "../components/list-states.tsx";
import { PageHeader } from "../components/page-header.tsx";
import { RelativeTime } from "../components/relative-time.tsx";
import { StatusBadge } from "../components/status-badge.tsx";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { useParam, useScope } from "../hooks/use-scope.ts";
import { Button } from "../ui/button.tsx";
import { Card, Facts } from "../ui/card.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { SkeletonRows } from "../ui/skeleton.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { paths } from "../util/paths.ts";

// Each tab brings its own code when it is opened.
const VersionTable = lazy(() => import("../components/version-table.tsx").then((module) => ({ default: module.VersionTable })));
const ExecPanel = lazy(() => import("../components/exec-panel.tsx").then((module) => ({ default: module.ExecPanel })));
const TerminalPanel = lazy(() => import("../components/terminal-panel.tsx").then((module) => ({ default: module.TerminalPanel })));
const PortPanel = lazy(() => import("../components/port-panel.tsx").then((module) => ({ default: module.PortPanel })));

export function WorkspacePage() {
  const scope = useScope();
  const id = useParam("id");
  const workspace = useQuery(workspaceQuery(scope, id));
  return (
    <PageState query={workspace} noun="workspace" parent={{ label: "All workspaces", href: paths.workspaces(scope) }}>
      {(item) => <LoadedWorkspace key={item.id} scope={scope} workspace={item} />}
    </PageState>
  );
}

function LoadedWorkspace({ scope, workspace }: { scope: Scope; workspace: Workspace }) {
  const { tab = "files" } = useQueryText();
  const versions = useQuery(versionsQuery(scope, workspace.id));
  return (
    <>
      <PageHeader
        parent={{ label: "Workspaces", href: paths.workspaces(scope) }}
        title={workspace.external_id ?? `Workspace ${shortId(workspace.id)}`}
        badge={<StatusBadge of="workspace" status={workspace.state} />}
        crumb={<IdText id={workspace.id} />}
        actions={<WorkspaceActions scope={scope} workspace={workspace} />}
      />
      <WorkspaceFacts workspace={workspace} />
      <div className="mt-5">
        <Tabs
          label="Parts of the workspace"
          active={tab}
          tabs={[
            { key: "files", label: "Files" },
            { key: "versions", label: "Versions", count: versions.data?.length },
            { key: "commands", label: "Commands" },
            { key: "terminal", label: "Terminal" },
            { key: "ports", label: "Ports" },
          ]}
        />
      </div>
      <Card flush className="rounded-t-none border-t-0">
        <Suspense fallback={<SkeletonRows />}>
          {tab === "versions" ? (
            <ListState query={versions} empty={<EmptyState title="No version yet" />}>
              {(items) => <VersionTable scope={scope} workspace={workspace} versions={items} />}
            </ListState>
          ) : tab === "commands" ? (
            <ExecPanel scope={scope} workspaceId={workspace.id} />
          ) : tab === "terminal" ? (
            <TerminalPanel scope={scope} workspaceId={workspace.id} />
          ) : tab === "ports" ? (
            <PortPanel scope={scope} workspaceId={workspace.id} />
          ) : (
            <FileBrowser scope={scope} workspace={workspace} />
          )}
        </Suspense>
      </Card>
    </>
  );
}

function WorkspaceFacts({ workspace }: { workspace: Workspace }) {
  const { metadata = {} } = workspace;
  return (
    <Card>
      <Facts
        columns={4}
        items={[
          ["Sandbox", workspace.sandbox_id],
          ["Content", <StatusBadge key="dirty" of="dirty" status={workspace.dirty_state} />],
          ["Used", <RelativeTime key="used" at={workspace.last_activity_at} />],
          ["Created", <RelativeTime key="created" at={workspace.created_at} />],
          workspace.auto_stop_at === undefined ? undefined : ["Stops", <RelativeTime key="stop" at={workspace.auto_stop_at} />],
          workspace.auto_archive_at === undefined ? undefined : ["Archived", <RelativeTime key="archive" at={workspace.auto_archive_at} />],
          workspace.archived_at === undefined ? undefined : ["Archived", <RelativeTime key="archived" at={workspace.archived_at} />],
          (workspace.tags ?? []).length === 0 ? undefined : ["Tags", workspace.tags?.join(", ")],
        ]}
      />
      {Object.keys(metadata).length === 0 ? null : (
        <div className="mt-3 border-t border-line pt-3">
          <JsonTree value={metadata} label="Metadata" />
        </div>
      )}
    </Card>
  );
}

function WorkspaceActions({ scope, workspace }: { scope: Scope; workspace: Workspace }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("workspace.lifecycle.manage");
  const refresh = [scopeKey(scope)];
  const params = { id: workspace.id };
  const start = useAction({
    run: () => call("workspaces.materialize", { scope, params, body: {} }),
    refresh,
    done: ({ state }) => (state === "mounted" ? "The machine is running" : "The machine is being started"),
  });
  const stop = useAction({
    run: () => call("workspaces.stop", { scope, params, body: {} }),
    refresh,
    done: (answer) => ("state" in answer && answer.state === "no_active_mount" ? "It was not mounted" : "The workspace is being stopped"),
  });
  const remove = useAction({ run: () => call("workspaces.delete", { scope, params }), refresh, done: "The workspace is archived" });
  const askStop = async () => {
    const detail = "What runs in it is ended, and its files are kept as a new version.";
    if (await confirm({ title: "Stop this workspace?", detail, action: "Stop workspace" })) stop.start();
  };
  const askDelete = async () => {
    const detail = "It is archived: no session can use it any more. Its versions are deleted with it later.";
    const typed = workspace.external_id ?? shortId(workspace.id);
    if (await confirm({ title: "Delete this workspace?", detail, action: "Delete workspace", typed })) remove.start();
  };
  return (
    <>
      <Button icon={<Power />} busy={start.busy} reason={workspaceRule.start(workspace) ?? denied} onClick={() => start.start()}>
        Start machine
      </Button>
      <Button icon={<Square />} busy={stop.busy} reason={denied} onClick={() => void askStop()}>
        Stop
      </Button>
      <Button
        look="danger"
        icon={<Trash2 />}
        busy={remove.busy}
        reason={workspaceRule.delete(workspace) ?? denied}
        onClick={() => void askDelete()}
      >
        Delete
      </Button>
    </>
  );
}
