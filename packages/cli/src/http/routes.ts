/**
 * The routes the command line calls. Their types come from the endpoint tables of the protocol; the tables themselves are not loaded at
 * run time, because their schemas take longer to build than most commands to run. A test proves that both say the same.
 */
import type { BodyInputOf, Endpoint, Family, Method, QueryInputOf, ResponseOf, apiEndpoints } from "@helmr/protocol/api";

type Tables = typeof apiEndpoints;
export type EndpointId = { [R in keyof Tables]: `${R}.${Extract<keyof Tables[R], string>}` }[keyof Tables];

export interface Route {
  method: Method;
  path: string;
  family: Family;
}

const environment = (method: Method, path: string): Route => ({ method, path, family: "environment" });
const account = (method: Method, path: string): Route => ({ method, path, family: "account" });
const open = (method: Method, path: string): Route => ({ method, path, family: "public" });

export const routes = {
  "apiKeys.self": { method: "GET", path: "/api-key", family: "unprefixed" } as Route,
  "auth.deviceStart": open("POST", "/auth/device/start"),
  "auth.deviceToken": open("POST", "/auth/device/token"),
  "auth.logout": open("POST", "/auth/logout"),
  "auth.me": account("GET", "/me"),
  "deployments.create": environment("POST", "/deployments"),
  "deployments.list": environment("GET", "/deployments"),
  "deployments.get": environment("GET", "/deployments/{id}"),
  "deployments.events": environment("GET", "/deployments/{id}/events"),
  "deployments.promote": environment("POST", "/deployments/{id}/promote"),
  "sandboxes.list": environment("GET", "/sandboxes"),
  "sandboxes.get": environment("GET", "/sandboxes/{sandboxID}"),
  "tasks.list": environment("GET", "/tasks"),
  "tasks.get": environment("GET", "/tasks/{taskID}"),
  "sessions.start": environment("POST", "/sessions"),
  "sessions.list": environment("GET", "/sessions"),
  "sessions.get": environment("GET", "/sessions/{id}"),
  "sessions.close": environment("POST", "/sessions/{id}/close"),
  "sessions.cancel": environment("POST", "/sessions/{id}/cancel"),
  "streams.list": environment("GET", "/sessions/{id}/streams"),
  "streams.appendInput": environment("POST", "/sessions/{id}/inputs/{stream}"),
  "streams.listInput": environment("GET", "/sessions/{id}/inputs/{stream}"),
  "streams.listOutput": environment("GET", "/sessions/{id}/outputs/{stream}"),
  "runs.list": environment("GET", "/runs"),
  "runs.get": environment("GET", "/runs/{id}"),
  "runs.cancel": environment("POST", "/runs/{id}/cancel"),
  "runs.events": environment("GET", "/runs/{id}/events"),
  "runs.logs": environment("GET", "/runs/{id}/logs"),
  "tokens.create": environment("POST", "/tokens"),
  "tokens.list": environment("GET", "/tokens"),
  "tokens.get": environment("GET", "/tokens/{id}"),
  "tokens.complete": environment("POST", "/tokens/{id}/complete"),
  "tokens.cancel": environment("POST", "/tokens/{id}/cancel"),
  "workspaces.create": environment("POST", "/workspaces"),
  "workspaces.list": environment("GET", "/workspaces"),
  "workspaces.get": environment("GET", "/workspaces/{id}"),
  "workspaces.update": environment("PATCH", "/workspaces/{id}"),
  "workspaces.delete": environment("DELETE", "/workspaces/{id}"),
  "workspaces.materialize": environment("POST", "/workspaces/{id}/materialize"),
  "workspaces.connect": environment("POST", "/workspaces/{id}/connect"),
  "workspaces.stop": environment("POST", "/workspaces/{id}/stop"),
  "workspaces.fork": environment("POST", "/workspaces/{id}/fork"),
  "files.list": environment("GET", "/workspaces/{id}/files"),
  "files.stat": environment("GET", "/workspaces/{id}/files/stat"),
  "files.content": environment("GET", "/workspaces/{id}/files/content"),
  "versions.list": environment("GET", "/workspaces/{id}/versions"),
  "versions.capture": environment("POST", "/workspaces/{id}/capture"),
  "versions.restore": environment("POST", "/workspaces/{id}/restore"),
  "versions.diff": environment("GET", "/workspaces/{id}/diff"),
  "versions.fileDiff": environment("GET", "/workspaces/{id}/diff/file"),
  "execs.create": environment("POST", "/workspaces/{id}/execs"),
  "execs.list": environment("GET", "/workspaces/{id}/execs"),
  "execs.get": environment("GET", "/workspaces/{id}/execs/{execID}"),
  "execs.writeStdin": environment("POST", "/workspaces/{id}/execs/{execID}/stdin"),
  "execs.closeStdin": environment("POST", "/workspaces/{id}/execs/{execID}/stdin/close"),
  "execs.stdout": environment("GET", "/workspaces/{id}/execs/{execID}/stdout"),
  "execs.stderr": environment("GET", "/workspaces/{id}/execs/{execID}/stderr"),
  "ptys.create": environment("POST", "/workspaces/{id}/pty"),
  "ptys.get": environment("GET", "/workspaces/{id}/pty/{ptyID}"),
  "ptys.output": environment("GET", "/workspaces/{id}/pty/{ptyID}/output"),
  "ptys.input": environment("POST", "/workspaces/{id}/pty/{ptyID}/input"),
  "ptys.resize": environment("POST", "/workspaces/{id}/pty/{ptyID}/resize"),
  "ptys.close": environment("POST", "/workspaces/{id}/pty/{ptyID}/close"),
  "files.write": environment("PUT", "/workspaces/{id}/files/content"),
  "files.upload": environment("PUT", "/workspaces/{id}/files/archive"),
  "ports.preview": environment("POST", "/workspaces/{id}/ports/{port}/preview"),
  "ports.connect": environment("GET", "/workspaces/{id}/ports/{port}/connect"),
  "projects.list": account("GET", "/projects"),
  "projects.create": account("POST", "/projects"),
  "projects.update": account("PATCH", "/projects/{project}"),
  "projects.delete": account("DELETE", "/projects/{project}"),
  "environments.create": account("POST", "/projects/{project}/environments"),
  "environments.update": account("PATCH", "/projects/{project}/environments/{environment}"),
  "environments.delete": account("DELETE", "/projects/{project}/environments/{environment}"),
  "secrets.list": environment("GET", "/secrets"),
  "secrets.get": environment("GET", "/secrets/{name}"),
  "secrets.put": environment("PUT", "/secrets/{name}"),
  "secrets.delete": environment("DELETE", "/secrets/{name}"),
} satisfies Partial<Record<EndpointId, Route>>;

export type RouteId = keyof typeof routes;

type EndpointAt<Id extends string> = Id extends `${infer R}.${infer V}`
  ? R extends keyof Tables
    ? V extends keyof Tables[R]
      ? Tables[R][V]
      : never
    : never
  : never;

type EndpointFor<Id extends RouteId> = EndpointAt<Id> extends infer E extends Endpoint ? E : never;

export type RouteAnswer<Id extends RouteId> = ResponseOf<EndpointFor<Id>>;
export type RouteBody<Id extends RouteId> = BodyInputOf<EndpointFor<Id>>;
export type RouteQuery<Id extends RouteId> = { [K in keyof QueryInputOf<EndpointFor<Id>>]?: string | number | undefined };
