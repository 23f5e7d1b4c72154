/** Everything that is read, as query options: pages use them, loaders start them early. Lists look again every few seconds while the page is visible. */
import type { FileSource, Run, Session } from "@helmr/protocol/api";
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { isStatus } from "./api-error.ts";
import { call, urlOf } from "./call.ts";
import { type Scope, scopeKey } from "./scope.ts";

const livelyMs = 1_000;
const liveMs = 2_000;
const calmMs = 5_000;

/** The most that a list may ask for (http §4.2, §7.2). */
export const listMax = 200;

/** Looks again after the pause, unless the last look was refused: asking the same again and again would not help. */
const every =
  (pauseMs: number) =>
  ({ state }: { state: { error: Error | null } }): number | false =>
    wasRefused(state.error) ? false : pauseMs;

function wasRefused(error: Error | null): boolean {
  return isStatus(error, 400, 401, 403, 404, 405, 409, 501);
}

export const authMethodsQuery = () =>
  queryOptions({ queryKey: ["auth-methods"], queryFn: ({ signal }) => call("auth.methods", { signal }) });

export const meQuery = () =>
  queryOptions({ queryKey: ["me"], queryFn: ({ signal }) => call("auth.me", { signal }), staleTime: 60_000, retry: false });

export const projectsQuery = () =>
  queryOptions({
    queryKey: ["projects"],
    queryFn: async ({ signal }) => (await call("projects.list", { signal })).projects,
    staleTime: 30_000,
  });

export const deviceStatusQuery = (userCode: string) =>
  queryOptions({
    queryKey: ["device", userCode],
    queryFn: ({ signal }) => call("auth.deviceStatus", { query: { user_code: userCode }, signal }),
    enabled: userCode !== "",
    retry: false,
  });

export const membersQuery = () =>
  queryOptions({ queryKey: ["members"], queryFn: async ({ signal }) => (await call("members.list", { signal })).members });

export const invitationsQuery = () =>
  queryOptions({ queryKey: ["invitations"], queryFn: async ({ signal }) => (await call("invitations.list", { signal })).invitations });

export interface SessionFilter {
  status?: string | undefined;
  task?: string | undefined;
  externalId?: string | undefined;
  limit?: number | undefined;
}

export const sessionsQuery = (scope: Scope, { status, task, externalId, limit }: SessionFilter = {}) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "sessions", { status, task, externalId, limit }],
    queryFn: async ({ signal }) =>
      (await call("sessions.list", { scope, query: { status: status ?? "all", task_id: task, external_id: externalId, limit }, signal }))
        .sessions,
    refetchInterval: every(liveMs),
    placeholderData: keepPreviousData,
  });

export const recentSessionsQuery = (scope: Scope) => sessionsQuery(scope, { limit: 8 });

export const sessionQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "session", id],
    queryFn: ({ signal }) => call("sessions.get", { scope, params: { id }, signal }),
    refetchInterval: ({ state }) => every(state.data && isQuiet(state.data) ? calmMs : liveMs)({ state }),
  });

function isQuiet(session: Session): boolean {
  return session.status !== "open" || session.activity === "idle";
}

export const sessionRunsQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "session", id, "runs"],
    queryFn: async ({ signal }) => (await call("sessions.runs", { scope, params: { id }, signal })).runs,
    refetchInterval: every(liveMs),
  });

/** `lively`: somebody talks with a run that is active, and watches. */
export const streamsQuery = (scope: Scope, sessionId: string, { lively = false }: { lively?: boolean } = {}) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "session", sessionId, "streams"],
    queryFn: async ({ signal }) => (await call("streams.list", { scope, params: { id: sessionId }, signal })).streams,
    refetchInterval: every(lively ? livelyMs : calmMs),
  });

export interface RunFilter {
  status?: string | undefined;
  sessionId?: string | undefined;
  limit?: number | undefined;
}

export const runsQuery = (scope: Scope, { status, sessionId, limit }: RunFilter = {}) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "runs", { status, sessionId, limit }],
    queryFn: async ({ signal }) =>
      (await call("runs.list", { scope, query: { status: status ?? "all", session_id: sessionId, limit }, signal })).runs,
    refetchInterval: every(liveMs),
    placeholderData: keepPreviousData,
  });

export const liveRunsQuery = (scope: Scope) => runsQuery(scope, { status: "live", limit: 12 });

export const runCountsQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "run-counts"],
    queryFn: ({ signal }) => call("runs.counts", { scope, signal }),
    refetchInterval: every(liveMs),
  });

export const runQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "run", id],
    queryFn: ({ signal }) => call("runs.get", { scope, params: { id }, signal }),
    refetchInterval: ({ state }) => (state.data && isEnded(state.data.status) ? false : every(liveMs)({ state })),
  });

export function isEnded(status: Run["status"]): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled" || status === "expired";
}

export const tokensPage = 100;

export const tokensQuery = (scope: Scope, { status, cursor }: { status?: string | undefined; cursor?: string | undefined } = {}) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "tokens", { status, cursor }],
    queryFn: ({ signal }) => call("tokens.list", { scope, query: { status, cursor, limit: tokensPage }, signal }),
    refetchInterval: every(calmMs),
    placeholderData: keepPreviousData,
  });

export const tokenQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "token", id],
    queryFn: ({ signal }) => call("tokens.get", { scope, params: { id }, signal }),
    refetchInterval: ({ state }) => (state.data?.status === "pending" ? every(calmMs)({ state }) : false),
  });

export const schedulesQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "schedules"],
    queryFn: async ({ signal }) => (await call("schedules.list", { scope, signal })).schedules,
    refetchInterval: every(calmMs),
  });

export const deploymentsQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "deployments"],
    queryFn: async ({ signal }) => (await call("deployments.list", { scope, signal })).deployments,
    refetchInterval: every(liveMs),
  });

export const currentDeploymentQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "current-deployment"],
    queryFn: async ({ signal }) => (await call("deployments.current", { scope, signal })).deployment,
    refetchInterval: every(calmMs),
  });

export const deploymentQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "deployment", id],
    queryFn: ({ signal }) => call("deployments.get", { scope, params: { id }, signal }),
    refetchInterval: ({ state }) =>
      state.data?.status === "deployed" || state.data?.status === "failed" ? false : every(liveMs)({ state }),
  });

export const tasksQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "tasks"],
    queryFn: async ({ signal }) => (await call("tasks.list", { scope, signal })).tasks,
    refetchInterval: every(calmMs),
  });

export const sandboxesQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "sandboxes"],
    queryFn: async ({ signal }) => (await call("sandboxes.list", { scope, signal })).sandboxes,
    refetchInterval: every(calmMs),
  });

export const workspacesQuery = (scope: Scope, { externalId, tag }: { externalId?: string | undefined; tag?: string | undefined } = {}) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspaces", { externalId, tag }],
    queryFn: async ({ signal }) => (await call("workspaces.list", { scope, query: { external_id: externalId, tag }, signal })).workspaces,
    refetchInterval: every(calmMs),
    placeholderData: keepPreviousData,
  });

export const workspaceQuery = (scope: Scope, id: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace", id],
    queryFn: async ({ signal }) => (await call("workspaces.get", { scope, params: { id }, signal })).workspace,
    refetchInterval: every(calmMs),
  });

export const versionsQuery = (scope: Scope, workspaceId: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace", workspaceId, "versions"],
    queryFn: async ({ signal }) =>
      (await call("versions.list", { scope, params: { id: workspaceId }, query: { limit: 200 }, signal })).versions,
    refetchInterval: every(calmMs),
  });

export interface Comparison {
  from: string | undefined;
  to: string;
}

/** Both sides are versions, which never change: what was read once stays true. */
export const versionDiffQuery = (scope: Scope, workspaceId: string, { from, to }: Comparison) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace-diff", workspaceId, from, to],
    queryFn: ({ signal }) => call("versions.diff", { scope, params: { id: workspaceId }, query: { from, to, limit: 500 }, signal }),
    staleTime: Infinity,
    retry: false,
  });

export const fileDiffQuery = (scope: Scope, workspaceId: string, { from, to, path }: Comparison & { path: string }) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace-diff", workspaceId, from, to, path],
    queryFn: ({ signal }) => call("versions.fileDiff", { scope, params: { id: workspaceId }, query: { from, to, path }, signal }),
    staleTime: Infinity,
    retry: false,
  });

export const execsQuery = (scope: Scope, workspaceId: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace", workspaceId, "execs"],
    queryFn: async ({ signal }) => (await call("execs.list", { scope, params: { id: workspaceId }, signal })).execs,
    refetchInterval: every(liveMs),
  });

export const ptysQuery = (scope: Scope, workspaceId: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace", workspaceId, "ptys"],
    queryFn: async ({ signal }) => (await call("ptys.list", { scope, params: { id: workspaceId }, signal })).ptys,
    refetchInterval: every(liveMs),
  });

export interface FileRead {
  workspaceId: string;
  path: string;
  source: FileSource;
  versionId?: string | undefined;
}

const fileQuery = ({ path, source, versionId }: FileRead) => ({ path, source, version_id: source === "version" ? versionId : undefined });

export const filesQuery = (scope: Scope, read: FileRead) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "workspace", read.workspaceId, "files", read],
    queryFn: ({ signal }) =>
      call("files.list", { scope, params: { id: read.workspaceId }, query: { ...fileQuery(read), limit: 500 }, signal }),
    refetchInterval: read.source === "live" ? every(calmMs) : false,
    retry: false,
    placeholderData: keepPreviousData,
  });

export function fileContentUrl(scope: Scope, read: FileRead): string {
  return urlOf("files.content", { scope, params: { id: read.workspaceId }, query: fileQuery(read) });
}

export const secretsQuery = (scope: Scope) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "secrets"],
    queryFn: async ({ signal }) => (await call("secrets.list", { scope, signal })).secrets,
  });

export const apiKeysQuery = (scope: Scope, status: string) =>
  queryOptions({
    queryKey: [...scopeKey(scope), "api-keys", status],
    queryFn: async ({ signal }) => (await call("apiKeys.list", { params: scopeParams(scope), query: { status }, signal })).items,
    placeholderData: keepPreviousData,
  });

export function scopeParams({ project, environment }: Scope): { project: string; environment: string } {
  return { project, environment };
}
