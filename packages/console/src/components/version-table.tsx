/** Versions of a workspace: look into one, compare it, make it the current one again, or begin another workspace with it. */
import type { Workspace, WorkspaceVersion } from "@helmr/protocol/api";
import { GitFork, History } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { call } from "../api/call.ts";
import { versionRule } from "../api/rules.ts";
import { type Scope, scopeKey } from "../api/scope.ts";
import { useAction } from "../hooks/use-action.ts";
import { useReasonAgainst } from "../hooks/use-me.ts";
import { useQueryText } from "../hooks/use-query-text.ts";
import { AppLink } from "../ui/app-link.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { useConfirm } from "../ui/confirm.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { bytesText } from "../util/bytes.ts";
import { IdText, shortId } from "./id-text.tsx";
import { RelativeTime } from "./relative-time.tsx";
import { StatusBadge } from "./status-badge.tsx";
import { VersionCompare } from "./version-compare.tsx";

const ForkDialog = lazy(() => import("../forms/fork-form.tsx").then((module) => ({ default: module.ForkDialog })));

export interface VersionTableProps {
  scope: Scope;
  workspace: Workspace;
  versions: readonly WorkspaceVersion[];
}

export function VersionTable({ scope, workspace, versions }: VersionTableProps) {
  const { compare } = useQueryText();
  const compared = versions.find(({ id }) => id === compare);
  return (
    <>
      {compared ? <VersionCompare key={compared.id} scope={scope} workspaceId={workspace.id} versions={versions} to={compared} /> : null}
      <Table
        label="Versions"
        rows={versions}
        columns={columnsFor(workspace.current_version_id)}
        keyOf={({ id }) => id}
        actions={(version) => <VersionActions scope={scope} workspace={workspace} version={version} />}
      />
    </>
  );
}

function columnsFor(currentId: string | undefined): readonly Column<WorkspaceVersion>[] {
  return [
    {
      key: "id",
      title: "Version",
      render: ({ id }) => (
        <span className="inline-flex items-center gap-2">
          <IdText id={id} />
          {id === currentId ? <Badge tone="good">current</Badge> : null}
        </span>
      ),
    },
    { key: "state", title: "State", from: "md", render: ({ state }) => <StatusBadge of="version" status={state} /> },
    { key: "kind", title: "Kind", from: "lg", render: ({ kind }) => (kind === "user" ? "by hand" : "captured") },
    { key: "message", title: "", from: "md", grow: true, render: ({ message }) => <span className="text-muted">{message}</span> },
    { key: "files", title: "Files", from: "md", align: "right", render: ({ artifact_entry_count: count }) => count.toLocaleString() },
    { key: "size", title: "Size", from: "sm", align: "right", render: ({ size_bytes: size }) => bytesText(size) },
    { key: "at", title: "Made", from: "sm", align: "right", render: (version) => <RelativeTime at={version.created_at} /> },
  ];
}

const linkClasses = "rounded-md px-2 py-1 text-xs text-accent hover:bg-hover";

function VersionActions({ scope, workspace, version }: { scope: Scope; workspace: Workspace; version: WorkspaceVersion }) {
  const [forking, setForking] = useState(false);
  const denied = useReasonAgainst("workspace.lifecycle.manage");
  const { id, state } = version;
  return (
    <>
      {state === "ready" ? (
        <>
          <AppLink search={(before) => ({ ...before, tab: "", version: id, source: "", path: "", file: "" })} className={linkClasses}>
            Browse
          </AppLink>
          <AppLink
            search={(before) => ({ ...before, compare: id, base: "", file: "" })}
            replace
            resetScroll={false}
            className={linkClasses}
          >
            Compare
          </AppLink>
        </>
      ) : null}
      <RestoreButton scope={scope} workspace={workspace} version={version} />
      <Button
        size="small"
        look="ghost"
        icon={<GitFork />}
        reason={versionRule.fork(version) ?? denied}
        aria-label={`New workspace from version ${shortId(id)}`}
        data-tip="New workspace from it"
        onClick={() => setForking(true)}
      />
      {forking ? (
        <Suspense>
          <ForkDialog scope={scope} workspace={workspace} version={version} onClose={() => setForking(false)} />
        </Suspense>
      ) : null}
    </>
  );
}

function RestoreButton({ scope, workspace, version }: { scope: Scope; workspace: Workspace; version: WorkspaceVersion }) {
  const confirm = useConfirm();
  const denied = useReasonAgainst("workspace.versions.restore");
  const expected = workspace.current_version_id;
  const restore = useAction({
    run: () =>
      call("versions.restore", {
        scope,
        params: { id: workspace.id },
        body: { version_id: version.id, ...(expected === undefined ? {} : { expected_version_id: expected }) },
      }),
    refresh: [[...scopeKey(scope), "workspace", workspace.id]],
    done: ({ is_unchanged: unchanged }) => (unchanged ? "The content was the same already" : "The version is current again"),
  });
  const ask = async () => {
    const detail = "Its content becomes a new, current version. Those in between stay.";
    const yes = await confirm({ title: `Go back to ${shortId(version.id)}?`, detail, action: "Restore version", keep: "Not now" });
    if (yes) restore.start();
  };
  return (
    <Button
      size="small"
      look="ghost"
      icon={<History />}
      busy={restore.busy}
      reason={versionRule.restore(version, expected) ?? denied}
      aria-label={`Restore version ${shortId(version.id)}`}
      data-tip="Restore it"
      onClick={() => void ask()}
    />
  );
}
