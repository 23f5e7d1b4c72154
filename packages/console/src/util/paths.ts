/** Every address of the console. Ids and slugs are put in here and nowhere else. */
import type { Scope } from "../api/scope.ts";

const part = encodeURIComponent;
const inScope = ({ project, environment }: Scope, rest: string) => `/p/${part(project)}/${part(environment)}${rest}`;

export const paths = {
  home: () => "/",
  login: () => "/login",
  welcome: () => "/welcome",
  overview: (scope: Scope) => inScope(scope, ""),
  sessions: (scope: Scope) => inScope(scope, "/sessions"),
  session: (scope: Scope, id: string) => inScope(scope, `/sessions/${part(id)}`),
  runs: (scope: Scope) => inScope(scope, "/runs"),
  run: (scope: Scope, id: string) => inScope(scope, `/runs/${part(id)}`),
  tokens: (scope: Scope) => inScope(scope, "/tokens"),
  token: (scope: Scope, id: string) => inScope(scope, `/tokens/${part(id)}`),
  schedules: (scope: Scope) => inScope(scope, "/schedules"),
  tasks: (scope: Scope) => inScope(scope, "/tasks"),
  task: (scope: Scope, id: string) => inScope(scope, `/tasks/${part(id)}`),
  sandboxes: (scope: Scope) => inScope(scope, "/sandboxes"),
  deployments: (scope: Scope) => inScope(scope, "/deployments"),
  deployment: (scope: Scope, id: string) => inScope(scope, `/deployments/${part(id)}`),
  workspaces: (scope: Scope) => inScope(scope, "/workspaces"),
  workspace: (scope: Scope, id: string) => inScope(scope, `/workspaces/${part(id)}`),
  secrets: (scope: Scope) => inScope(scope, "/secrets"),
  apiKeys: (scope: Scope) => inScope(scope, "/api-keys"),
  members: (scope: Scope) => inScope(scope, "/members"),
  settings: (scope: Scope) => inScope(scope, "/settings"),
} as const;
