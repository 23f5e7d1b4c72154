/** Capture, restore, fork and diff of versions (docs/reference/workspace-extension.md). */
import { type TreeChange as WireChange, versionChangeEndpoints, workspaceForkEndpoints } from "@helmr/protocol/api";
import type { EngineContext } from "../../engine-context.ts";
import { captureWorkspace } from "../../operations/capture-workspace.ts";
import { diffFile, type DiffSides, diffVersions, type TreeChange } from "../../operations/diff-versions.ts";
import { forkWorkspace } from "../../operations/fork-workspace.ts";
import type { TreesContext } from "../../operations/read-files.ts";
import { restoreVersion } from "../../operations/restore-version.ts";
import { isRefusal } from "../../outcome.ts";
import type { Routes } from "../route.ts";
import { entryView } from "./file-view.ts";
import { versionView, workspaceView } from "./workspace-view.ts";

export function addVersionChangeRoutes(routes: Routes, engine: EngineContext, trees: TreesContext): void {
  routes.add(versionChangeEndpoints.capture, async ({ scope, params, body }) => {
    const captured = await captureWorkspace(engine, { environmentId: scope.environmentId, id: params.id }, body);
    if (isRefusal(captured)) return captured;
    const version = versionView(captured.version);
    if (captured.unchanged) return { status: 200, body: { version, is_unchanged: true as const } };
    const { pauseMs, storedBytes } = captured;
    return {
      status: 201,
      body: {
        version,
        ...(pauseMs === undefined ? {} : { pause_ms: pauseMs }),
        ...(storedBytes === undefined ? {} : { stored_bytes: storedBytes }),
      },
    };
  });

  routes.add(versionChangeEndpoints.restore, async ({ scope, params, body }) => {
    const restored = await restoreVersion(engine, { environmentId: scope.environmentId, id: params.id }, body);
    if (isRefusal(restored)) return restored;
    const version = versionView(restored.version);
    return restored.unchanged ? { status: 200, body: { version, is_unchanged: true as const } } : { status: 201, body: { version } };
  });

  routes.add(workspaceForkEndpoints.fork, async ({ scope, params, body }) => {
    const forked = await forkWorkspace(engine, { environmentId: scope.environmentId, id: params.id }, body);
    if (isRefusal(forked)) return forked;
    return { status: 201, body: { workspace: workspaceView(forked.workspace), ...(forked.cached ? { is_cached: true as const } : {}) } };
  });

  routes.add(versionChangeEndpoints.diff, async ({ scope, params, query }) => {
    const page = { path: query.path, after: query.cursor, limit: query.limit };
    const diff = await diffVersions(trees, sidesOf(scope, params, query), page);
    if (isRefusal(diff)) return diff;
    const last = diff.changes.at(-1);
    const changes = diff.changes.map(changeView);
    return { body: { ...comparedView(diff), path: query.path, changes, ...(diff.more && last ? { next_cursor: last.path } : {}) } };
  });

  routes.add(versionChangeEndpoints.fileDiff, async ({ scope, params, query }) => {
    const diff = await diffFile(trees, sidesOf(scope, params, query), query.path);
    if (isRefusal(diff)) return diff;
    const { change, format, unified } = diff;
    return { body: { ...comparedView(diff), path: query.path, change, format, ...(unified === undefined ? {} : { unified }) } };
  });
}

function sidesOf(
  scope: { environmentId: string },
  params: { id: string },
  query: { from?: string | undefined; from_workspace_id?: string | undefined; to?: string | undefined },
): DiffSides {
  return {
    environmentId: scope.environmentId,
    workspaceId: params.id,
    from: query.from,
    fromWorkspaceId: query.from_workspace_id,
    to: query.to,
  };
}

function comparedView({ fromVersionId, toVersionId }: { fromVersionId: string | undefined; toVersionId: string }) {
  return { ...(fromVersionId === undefined ? {} : { from_version_id: fromVersionId }), to_version_id: toVersionId };
}

function changeView({ path, change, before, after }: TreeChange): WireChange {
  return { path, change, ...(before ? { before: entryView(before) } : {}), ...(after ? { after: entryView(after) } : {}) };
}
