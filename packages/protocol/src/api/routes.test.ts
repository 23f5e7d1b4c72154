/** The route index of http §3 and the tables of §5.3, §6 and §15, written out, against the endpoint table. */
import { expect, test } from "vitest";
import { workspacePermissions } from "../shared/index.ts";
import { apiEndpointList, type PermissionRule, routePaths } from "./index.ts";

const anyWorkspace: PermissionRule = { any: workspacePermissions };
const mount: PermissionRule = { any: workspacePermissions.filter((permission) => permission !== "workspace.versions.diff") };
const stop: PermissionRule = {
  any: [
    "workspace.lifecycle.manage",
    "workspace.files.write",
    "workspace.versions.capture",
    "workspace.versions.restore",
    "workspace.exec.manage",
    "workspace.pty.manage",
    "workspace.ports.close",
  ],
};

const session = (rest: string): string[] => [`/sessions/{id}${rest}`, `/sessions/by-external-id${rest}`];

const environmentRoutes: [methods: string, paths: string[], ...permissions: PermissionRule[]][] = [
  ["GET", ["/tasks", "/tasks/{taskID}"], "runs.read"],
  ["GET", ["/sandboxes", "/sandboxes/{sandboxID}"], "runs.read"],
  ["POST", ["/sessions"], "runs.create"],
  ["POST", ["/sessions/start-and-wait"], { all: ["runs.create", "runs.read"] }],
  ["GET", ["/sessions"], "runs.read"],
  ["GET PATCH", session(""), "runs.read", "runs.manage"],
  ["POST", [...session("/close"), ...session("/cancel")], "runs.manage"],
  ["GET", session("/runs"), "runs.read"],
  ["GET", session("/streams"), "session.streams.read"],
  ["POST GET", session("/inputs/{stream}"), "session.input.send", "session.streams.read"],
  ["POST GET", session("/outputs/{stream}"), "session.output.append", "session.streams.read"],
  ["GET", session("/outputs/{stream}/read"), "session.streams.read"],
  ["POST GET", ["/tokens"], "tokens.create", "tokens.read"],
  ["GET", ["/tokens/{id}"], "tokens.read"],
  ["POST", ["/tokens/{id}/complete"], "tokens.complete"],
  ["POST", ["/tokens/{id}/cancel"], "tokens.cancel"],
  ["GET", ["/runs", "/runs/counts", "/runs/{id}", "/runs/{id}/events", "/runs/{id}/logs"], "runs.read"],
  ["POST", ["/runs/{id}/cancel"], "runs.manage"],
  ["GET POST", ["/schedules"], "runs.read", "runs.create"],
  ["GET PUT DELETE", ["/schedules/{id}"], "runs.read", "runs.create", "runs.create"],
  ["POST", ["/schedules/{id}/activate", "/schedules/{id}/deactivate"], "runs.create"],
  ["POST GET", ["/deployments"], "tasks.deploy", "tasks.deploy"],
  ["GET", ["/deployments/current"], "runs.read"],
  ["GET", ["/deployments/{id}", "/deployments/{id}/events"], "tasks.deploy"],
  ["POST", ["/deployments/{id}/promote"], "tasks.deploy"],
  ["GET", ["/secrets", "/secrets/{name}"], "secrets.write"],
  ["PUT DELETE", ["/secrets/{name}"], "secrets.write", "secrets.write"],
  ["POST", ["/workspaces"], "workspace.lifecycle.manage"],
  ["GET", ["/workspaces", "/workspaces/{id}"], anyWorkspace],
  ["PATCH DELETE", ["/workspaces/{id}"], "workspace.lifecycle.manage", "workspace.lifecycle.manage"],
  ["POST", ["/workspaces/{id}/materialize", "/workspaces/{id}/connect"], mount],
  ["POST", ["/workspaces/{id}/stop"], stop],
  ["GET", ["/workspaces/{id}/files", "/workspaces/{id}/files/content", "/workspaces/{id}/files/stat"], "workspace.files.read"],
  ["GET", ["/workspaces/{id}/versions", "/workspaces/{id}/versions/{versionID}"], "workspace.versions.read"],
  ["POST GET", ["/workspaces/{id}/execs"], "workspace.exec.create", "workspace.exec.read"],
  [
    "GET",
    ["/workspaces/{id}/execs/{execID}", "/workspaces/{id}/execs/{execID}/stdout", "/workspaces/{id}/execs/{execID}/stderr"],
    "workspace.exec.read",
  ],
  [
    "POST",
    ["/workspaces/{id}/execs/{execID}/stdin", "/workspaces/{id}/execs/{execID}/stdin/close", "/workspaces/{id}/execs/{execID}/signal"],
    "workspace.exec.manage",
  ],
  ["POST GET", ["/workspaces/{id}/pty"], "workspace.pty.create", "workspace.pty.read"],
  ["GET", ["/workspaces/{id}/pty/{ptyID}", "/workspaces/{id}/pty/{ptyID}/output"], "workspace.pty.read"],
  [
    "POST",
    ["/workspaces/{id}/pty/{ptyID}/input", "/workspaces/{id}/pty/{ptyID}/resize", "/workspaces/{id}/pty/{ptyID}/close"],
    "workspace.pty.manage",
  ],
  // docs/reference/workspace-extension.md, versions
  ["POST", ["/workspaces/{id}/capture"], "workspace.versions.capture"],
  ["POST", ["/workspaces/{id}/restore"], "workspace.versions.restore"],
  ["POST", ["/workspaces/{id}/fork"], "workspace.lifecycle.manage"],
  ["GET", ["/workspaces/{id}/diff", "/workspaces/{id}/diff/file"], "workspace.versions.diff"],
];

/** docs/reference/workspace-extension.md: live files, terminals as WebSockets, ports. */
const liveRoutes: typeof environmentRoutes = [
  ["PUT", ["/workspaces/{id}/files/content", "/workspaces/{id}/files/archive"], "workspace.files.write"],
  ["POST", ["/workspaces/{id}/files/directory", "/workspaces/{id}/files/move"], "workspace.files.write"],
  ["DELETE", ["/workspaces/{id}/files"], "workspace.files.write"],
  ["GET", ["/workspaces/{id}/files/archive"], "workspace.files.read"],
  ["GET", ["/workspaces/{id}/pty/{ptyID}/attach"], "workspace.pty.manage"],
  ["POST", ["/workspaces/{id}/ports/{port}/preview"], "workspace.ports.expose"],
  ["GET", ["/workspaces/{id}/ports/{port}/connect"], "workspace.ports.read"],
];

const environmentPath = "/projects/{project}/environments/{environment}";
const apiKeysPath = `${environmentPath}/api-keys`;

const otherRoutes: [route: string, family: string, permission: PermissionRule][] = [
  ["GET /api-key", "unprefixed", "none"],
  ["POST /public-access-tokens", "unprefixed", { any: ["session.input.send", "session.streams.read"] }],
  ["POST /v1/sessions/{id}/inputs/{stream}", "public", "none"],
  ["POST /v1/sessions/by-external-id/inputs/{stream}", "public", "none"],
  ["GET /v1/sessions/{id}/outputs/{stream}/read", "public", "none"],
  ["GET /v1/sessions/by-external-id/outputs/{stream}/read", "public", "none"],
  ["POST /v1/tokens/{id}/complete", "public", "none"],
  ["POST /v1/tokens/{id}/callback/{secret}", "public", "none"],
  ["GET /auth/methods", "public", "none"],
  ["POST /auth/github/start", "public", "none"],
  ["POST /auth/github/invite/start", "public", "none"],
  ["POST /auth/github/finish", "public", "none"],
  ["POST /auth/magic-link/start", "public", "none"],
  ["POST /auth/magic-link/invite/start", "public", "none"],
  ["POST /auth/magic-link/finish", "public", "none"],
  ["GET /dev/login", "root", "none"],
  ["POST /auth/device/start", "public", "none"],
  ["POST /auth/device/token", "public", "none"],
  ["GET /auth/device/status", "account", "none"],
  ["POST /auth/device/approve", "account", "none"],
  ["POST /auth/device/deny", "account", "none"],
  ["POST /auth/logout", "public", "none"],
  ["GET /me", "account", "none"],
  ["POST /organizations", "account", "none"],
  ["GET /projects", "account", "none"],
  ["GET /projects/{project}", "account", "none"],
  ["POST /projects", "account", "projects.manage"],
  ["PATCH /projects/{project}", "account", "projects.manage"],
  ["DELETE /projects/{project}", "account", "projects.manage"],
  [`GET ${environmentPath}`, "account", "none"],
  ["POST /projects/{project}/environments", "account", "projects.manage"],
  [`PATCH ${environmentPath}`, "account", "projects.manage"],
  [`DELETE ${environmentPath}`, "account", "projects.manage"],
  [`GET ${apiKeysPath}`, "account", "api_keys.manage"],
  [`POST ${apiKeysPath}`, "account", "api_keys.manage"],
  [`DELETE ${apiKeysPath}/{id}`, "account", "api_keys.manage"],
  ["GET /members", "account", "members.manage"],
  ["PATCH /members/{userID}", "account", "members.manage"],
  ["DELETE /members/{userID}", "account", "members.manage"],
  ["GET /invitations", "account", "members.manage"],
  ["POST /invitations", "account", "members.manage"],
  ["DELETE /invitations/{id}", "account", "members.manage"],
];

function expectedRoutes(): Map<string, { family: string; permission: PermissionRule }> {
  const routes = new Map<string, { family: string; permission: PermissionRule }>();
  for (const [methods, paths, ...permissions] of [...environmentRoutes, ...liveRoutes]) {
    for (const path of paths) {
      methods.split(" ").forEach((method, at) => routes.set(`${method} ${path}`, { family: "environment", permission: permissions[at]! }));
    }
  }
  for (const [route, family, permission] of otherRoutes) routes.set(route, { family, permission });
  return routes;
}

test("the table holds exactly the routes of the contract, with their permissions", () => {
  const actual = new Map<string, { family: string; permission: PermissionRule }>(
    apiEndpointList.flatMap(({ method, path, byExternalId, family, permission }) => {
      const paths = byExternalId ? [path, path.replace("{id}", "by-external-id")] : [path];
      return paths.map((each) => [`${method} ${each}`, { family, permission }] as const);
    }),
  );
  const expected = expectedRoutes();
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [route, rule] of expected) expect(actual.get(route), route).toEqual(rule);
});

test("environment routes exist un-prefixed for API keys and prefixed for user sessions", () => {
  const list = apiEndpointList.find((endpoint) => endpoint.id === "sessions.close")!;
  expect(routePaths(list)).toEqual([
    { path: "/api/sessions/{id}/close", caller: "api_key", byExternalId: false },
    { path: `/api${environmentPath}/sessions/{id}/close`, caller: "user_session", byExternalId: false },
    { path: "/api/sessions/by-external-id/close", caller: "api_key", byExternalId: true },
    { path: `/api${environmentPath}/sessions/by-external-id/close`, caller: "user_session", byExternalId: true },
  ]);
});

test("every streaming route of http §1.7 names its events", () => {
  const events = Object.fromEntries(
    apiEndpointList.filter((endpoint) => endpoint.events).map((endpoint) => [endpoint.id, Object.keys(endpoint.events!)]),
  );
  const bytes = ["workspace_stream_chunk", "workspace_stream_terminal", "workspace_stream_lost", "workspace_stream_error"];
  expect(events).toEqual({
    "runs.events": ["run_event"],
    "runs.logs": ["run_log", "run_log_record"],
    "deployments.events": ["deployment_event"],
    "execs.stdout": bytes,
    "execs.stderr": bytes,
    "ptys.output": bytes,
  });
});
