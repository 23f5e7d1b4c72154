/** Every route of the console. Pages are loaded when they are needed, and their data together with them. */
import { type QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  type RouteComponent,
} from "@tanstack/react-router";
import { isStatus } from "./api/api-error.ts";
import { findAnywhere, type KindName } from "./api/find.ts";
import * as queries from "./api/queries.ts";
import type { Scope } from "./api/scope.ts";
import { RouteFailure } from "./components/route-failure.tsx";
import { Shell } from "./components/shell.tsx";
import { lastScope, startScope } from "./util/last-scope.ts";
import { paths } from "./util/paths.ts";
import { parseSearch, type SearchParams, stringifySearch } from "./util/search-params.ts";

interface RouterContext {
  client: QueryClient;
}

const root = createRootRouteWithContext<RouterContext>()({
  component: Outlet,
  errorComponent: RouteFailure,
  validateSearch: (search: Record<string, unknown>) => search as SearchParams,
});

const to = (href: string, search?: SearchParams) =>
  redirect({ to: href, ...(search ? { search } : {}), replace: true } as Parameters<typeof redirect>[0]);

/** Pages of the login need nobody to be signed in. */
function open(path: string, component: RouteComponent) {
  return createRoute({ getParentRoute: () => root, path, component });
}

const loginPages = [
  open(
    "/login",
    lazyRouteComponent(() => import("./pages/login-page.tsx"), "LoginPage"),
  ),
  open(
    "/auth/github/callback",
    lazyRouteComponent(() => import("./pages/login-callback-page.tsx"), "GithubCallbackPage"),
  ),
  open(
    "/auth/magic-link/callback",
    lazyRouteComponent(() => import("./pages/login-callback-page.tsx"), "MagicLinkCallbackPage"),
  ),
  open(
    "/invite",
    lazyRouteComponent(() => import("./pages/invite-page.tsx"), "InvitePage"),
  ),
];

const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  component: Outlet,
  async beforeLoad({ context: { client }, location }) {
    // Whoever was here before is probably still signed in: their projects need not wait for the answer.
    if (lastScope()) void client.prefetchQuery(queries.projectsQuery());
    const me = await client.ensureQueryData(queries.meQuery()).catch((error: unknown) => {
      if (!isStatus(error, 401)) throw error;
      throw to(paths.login(), location.href === "/" ? {} : { next: location.href });
    });
    const unfinished = me.organization_required || me.access_required || me.project_required;
    const needsNothing = location.pathname === paths.welcome() || location.pathname === "/auth/device";
    if (unfinished && !needsNothing) throw to(paths.welcome());
  },
});

const devicePage = createRoute({
  getParentRoute: () => signedIn,
  path: "/auth/device",
  component: lazyRouteComponent(() => import("./pages/device-page.tsx"), "DevicePage"),
});

const welcomePage = createRoute({
  getParentRoute: () => signedIn,
  path: "/welcome",
  component: lazyRouteComponent(() => import("./pages/welcome-page.tsx"), "WelcomePage"),
});

const home = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  async beforeLoad({ context: { client } }) {
    const scope = startScope(await client.ensureQueryData(queries.projectsQuery()), lastScope());
    throw to(scope ? paths.overview(scope) : paths.welcome());
  },
});

/** Addresses without an environment, as the command line prints them. */
function short(path: string, kind: KindName) {
  return createRoute({
    getParentRoute: () => signedIn,
    path,
    async beforeLoad({ context: { client }, params }) {
      const { id = "" } = params as { id?: string };
      const found = await findAnywhere(kind, id, await client.ensureQueryData(queries.projectsQuery()), lastScope());
      if (found) throw to(found.href);
    },
    component: lazyRouteComponent(() => import("./pages/not-found-page.tsx"), "NotFoundPage"),
  });
}

const shortPages = [
  short("/sessions/$id", "session"),
  short("/runs/$id", "run"),
  short("/tokens/$id", "token"),
  short("/deployments/$id", "deployment"),
  short("/workspaces/$id", "workspace"),
  short("/workspaces/$id/$", "workspace"),
];

const environment = createRoute({
  getParentRoute: () => signedIn,
  path: "/p/$project/$environment",
  component: Shell,
  loader: ({ context: { client } }) => void client.prefetchQuery(queries.projectsQuery()),
});

/** With the same filters as the page itself, so that it finds the answers. */
type Reads = (scope: Scope, id: string, search: SearchParams) => readonly unknown[];

type Prefetched = Parameters<QueryClient["prefetchQuery"]>[0];

/** A page of an environment; what it reads first is asked for while its code is on the way. */
function page(path: string, component: RouteComponent, reads: Reads = () => []) {
  return createRoute({
    getParentRoute: () => environment,
    path,
    component,
    loader({ context: { client }, params, location }) {
      const { project, environment: name, id = "" } = params as { project: string; environment: string; id?: string };
      for (const query of reads({ project, environment: name }, id, location.search as SearchParams))
        void client.prefetchQuery(query as Prefetched);
    },
  });
}

const environmentPages = [
  page(
    "/",
    lazyRouteComponent(() => import("./pages/overview-page.tsx"), "OverviewPage"),
    (scope) => [
      queries.runCountsQuery(scope),
      queries.currentDeploymentQuery(scope),
      queries.recentSessionsQuery(scope),
      queries.liveRunsQuery(scope),
      queries.tokensQuery(scope, { status: "pending" }),
    ],
  ),
  page(
    "/sessions",
    lazyRouteComponent(() => import("./pages/sessions-page.tsx"), "SessionsPage"),
    (scope, _, { status, task, external }) => [
      queries.sessionsQuery(scope, { status, task, externalId: external, limit: queries.listMax }),
      queries.tasksQuery(scope),
    ],
  ),
  page(
    "/sessions/$id",
    lazyRouteComponent(() => import("./pages/session-page.tsx"), "SessionPage"),
    (scope, id) => [queries.sessionQuery(scope, id), queries.sessionRunsQuery(scope, id), queries.streamsQuery(scope, id)],
  ),
  page(
    "/runs",
    lazyRouteComponent(() => import("./pages/runs-page.tsx"), "RunsPage"),
    (scope, _, { status }) => [queries.runsQuery(scope, { status, limit: queries.listMax })],
  ),
  page(
    "/runs/$id",
    lazyRouteComponent(() => import("./pages/run-page.tsx"), "RunPage"),
    (scope, id) => [queries.runQuery(scope, id)],
  ),
  page(
    "/tokens",
    lazyRouteComponent(() => import("./pages/tokens-page.tsx"), "TokensPage"),
    (scope, _, { status, cursor }) => [queries.tokensQuery(scope, { status, cursor })],
  ),
  page(
    "/tokens/$id",
    lazyRouteComponent(() => import("./pages/token-page.tsx"), "TokenPage"),
    (scope, id) => [queries.tokenQuery(scope, id)],
  ),
  page(
    "/schedules",
    lazyRouteComponent(() => import("./pages/schedules-page.tsx"), "SchedulesPage"),
    (scope) => [queries.schedulesQuery(scope)],
  ),
  page(
    "/tasks",
    lazyRouteComponent(() => import("./pages/tasks-page.tsx"), "TasksPage"),
    (scope) => [queries.tasksQuery(scope)],
  ),
  page(
    "/tasks/$id",
    lazyRouteComponent(() => import("./pages/task-page.tsx"), "TaskPage"),
    (scope) => [queries.tasksQuery(scope)],
  ),
  page(
    "/sandboxes",
    lazyRouteComponent(() => import("./pages/sandboxes-page.tsx"), "SandboxesPage"),
    (scope) => [queries.sandboxesQuery(scope)],
  ),
  page(
    "/deployments",
    lazyRouteComponent(() => import("./pages/deployments-page.tsx"), "DeploymentsPage"),
    (scope) => [queries.deploymentsQuery(scope)],
  ),
  page(
    "/deployments/$id",
    lazyRouteComponent(() => import("./pages/deployment-page.tsx"), "DeploymentPage"),
    (scope, id) => [queries.deploymentQuery(scope, id)],
  ),
  page(
    "/workspaces",
    lazyRouteComponent(() => import("./pages/workspaces-page.tsx"), "WorkspacesPage"),
    (scope, _, { external, tag }) => [queries.workspacesQuery(scope, { externalId: external, tag })],
  ),
  page(
    "/workspaces/$id",
    lazyRouteComponent(() => import("./pages/workspace-page.tsx"), "WorkspacePage"),
    (scope, id) => [queries.workspaceQuery(scope, id), queries.versionsQuery(scope, id)],
  ),
  page(
    "/secrets",
    lazyRouteComponent(() => import("./pages/secrets-page.tsx"), "SecretsPage"),
    (scope) => [queries.secretsQuery(scope)],
  ),
  page(
    "/api-keys",
    lazyRouteComponent(() => import("./pages/api-keys-page.tsx"), "ApiKeysPage"),
  ),
  page(
    "/members",
    lazyRouteComponent(() => import("./pages/members-page.tsx"), "MembersPage"),
    () => [queries.membersQuery(), queries.invitationsQuery()],
  ),
  page(
    "/settings",
    lazyRouteComponent(() => import("./pages/settings-page.tsx"), "SettingsPage"),
  ),
];

const routeTree = root.addChildren([
  ...loginPages,
  signedIn.addChildren([devicePage, welcomePage, home, ...shortPages, environment.addChildren(environmentPages)]),
]);

export function openRouter(client: QueryClient) {
  return createRouter({
    routeTree,
    context: { client },
    parseSearch,
    stringifySearch,
    defaultPreload: "intent",
    defaultPreloadStaleTime: 0,
    defaultErrorComponent: RouteFailure,
    defaultNotFoundComponent: lazyRouteComponent(() => import("./pages/not-found-page.tsx"), "NotFoundPage"),
    scrollRestoration: true,
  });
}
