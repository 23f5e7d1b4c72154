/** What the commands print that read or change one thing by one request: text to the letter, JSON by value, requests by line. */
import { apiEndpoints } from "@helmr/protocol/api";
import { describe, expect, test } from "vitest";
import { testEnvironment, testKey } from "../testing/environment.ts";

const env = testEnvironment();

const ids = {
  session: "01980a00-0000-7000-8000-000000000003",
  run: "01980a00-0000-7000-8000-000000000004",
  deployment: "01980a00-0000-7000-8000-000000000005",
  workspace: "01980a00-0000-7000-8000-000000000007",
  version: "01980a00-0000-7000-8000-000000000008",
  mount: "01980a00-0000-7000-8000-000000000009",
  record: "01980a00-0000-7000-8000-00000000000c",
  token: "01980a00-0000-7000-8000-00000000000d",
  exec: "01980a00-0000-7000-8000-00000000000e",
  pty: "01980a00-0000-7000-8000-00000000000f",
  other: "01980a00-0000-7000-8000-000000000015",
};

interface Case {
  argv: string[];
  route: string;
  answer: unknown;
  /** Sent body; absent: none. */
  body?: unknown;
  query?: Record<string, string>;
  text: string;
  /** What --json prints; absent: the command has no --json. */
  json?: unknown;
  status?: number;
}

const example = (resource: keyof typeof apiEndpoints, verb: string): never =>
  (apiEndpoints[resource] as unknown as Record<string, { example: { response: unknown } }>)[verb]!.example.response as never;

const deployment = example("deployments", "get") as { id: string };
const sandbox = example("sandboxes", "get") as object;
const task = example("tasks", "get") as object;
const session = example("sessions", "get") as object;
const run = example("runs", "get") as object;
const cancelled = example("runs", "cancel") as { operation: { id: string } };
const stream = example("streams", "list") as object;
const appended = example("streams", "appendInput") as { record: object };
const token = { id: ids.token, status: "pending", timeout_at: "2026-06-06T09:30:00.125Z", tags: ["approval", "night"] };
const workspace = (example("workspaces", "get") as { workspace: object }).workspace;
const mount = example("workspaces", "connect") as object;
const version = (example("versions", "get") as { version: object }).version;
const fileEntry = { path: "src/main.ts", kind: "file", size_bytes: 512, mode: 420, mod_time: "2026-06-06T09:30:00.125Z" };
const entries = [
  { ...fileEntry, name: "main.ts" },
  { path: "src/lib", name: "lib", kind: "directory", size_bytes: 4096, mode: 493 },
  { path: "src/link", name: "link", kind: "symlink", size_bytes: 3, mode: 511, link_target: "lib" },
];
const difference = {
  from_version_id: ids.version,
  to_version_id: ids.other,
  path: ".",
  changes: [
    { path: "a", change: "added", after: fileEntry },
    { path: "b", change: "removed", before: fileEntry },
    { path: "c", change: "changed", before: fileEntry, after: fileEntry },
  ],
};
const exec = (example("execs", "get") as { exec: object }).exec;
const secret = example("secrets", "get") as object;

const cases: Record<string, Case> = {
  "deployment list": {
    argv: ["deployment", "list"],
    route: "GET /api/deployments",
    answer: { deployments: [deployment] },
    text: `${ids.deployment}\t20260606.1\tdeployed\n`,
    json: { deployments: [deployment] },
  },
  "deployment get": {
    argv: ["deployment", "get", ids.deployment],
    route: `GET /api/deployments/${ids.deployment}`,
    answer: deployment,
    text: `Deployment: ${ids.deployment}\nVersion:    20260606.1\nStatus:     deployed\n`,
    json: deployment,
  },
  "deployment promote": {
    argv: ["deployment", "promote", "20260606.1", "--reason", "roll back"],
    route: "POST /api/deployments/20260606.1/promote",
    answer: deployment,
    body: { reason: "roll back" },
    text: "20260606.1\n",
  },
  "sandbox list": {
    argv: ["sandbox", "list"],
    route: "GET /api/sandboxes",
    answer: { sandboxes: [sandbox] },
    text: `default\t${"3f".repeat(32)}\thelmr.runtime.v1\t/workspace\n`,
    json: { sandboxes: [sandbox] },
  },
  "sandbox get": {
    argv: ["sandbox", "get", "default"],
    route: "GET /api/sandboxes/default",
    answer: sandbox,
    text: `Sandbox:    default\nFingerprint:${"3f".repeat(32)}\nRuntime ABI:helmr.runtime.v1\nMount:      /workspace\n`,
    json: sandbox,
  },
  "task list": {
    argv: ["task", "list"],
    route: "GET /api/tasks",
    answer: { tasks: [task] },
    text: "hello\ttasks/hello.ts\thello\n",
    json: { tasks: [task] },
  },
  "task get": {
    argv: ["task", "get", "hello"],
    route: "GET /api/tasks/hello",
    answer: { ...task, bundle_digest: "sha256:aa" },
    text: "Task:       hello\nFile:       tasks/hello.ts\nExport:     hello\nBundle:     sha256:aa\n",
    json: { ...task, bundle_digest: "sha256:aa" },
  },
  "session list": {
    argv: ["session", "list", "--external-id", "order-4711"],
    route: "GET /api/sessions",
    query: { external_id: "order-4711" },
    answer: { sessions: [session, { ...session, current_run_id: undefined }] },
    text: `${ids.session}\thello\topen\tidle\t${ids.run}\n${ids.session}\thello\topen\tidle\t\n`,
    json: { sessions: [session, { ...session, current_run_id: undefined }] },
  },
  "session get": {
    argv: ["session", "get", ids.session],
    route: `GET /api/sessions/${ids.session}`,
    answer: session,
    text: `Session:   ${ids.session}\nTask:      hello\nStatus:    open\nActivity:  idle\nRun:       ${ids.run}\nWorkspace: ${ids.workspace}\n`,
    json: session,
  },
  "session get, blocked": {
    argv: ["session", "get", ids.session],
    route: `GET /api/sessions/${ids.session}`,
    answer: {
      ...session,
      activity: "queued",
      blocked: { code: "no_worker", message: "no worker of the group for 40 s", details: { released_by: "a worker that joins" } },
    },
    text: `Session:   ${ids.session}\nTask:      hello\nStatus:    open\nActivity:  queued\nRun:       ${ids.run}\nWorkspace: ${ids.workspace}\nBlocked:   no worker of the group for 40 s (no_worker); a worker that joins\n`,
  },
  "session close": {
    argv: ["session", "close", ids.session, "--reason", "done"],
    route: `POST /api/sessions/${ids.session}/close`,
    body: { reason: "done" },
    answer: { ...session, status: "closed" },
    text: `operation: close\nsession_id: ${ids.session}\nsession_status: closed\nsession_activity: idle\nrun_id: ${ids.run}\n`,
    json: { ...session, status: "closed" },
  },
  "session cancel": {
    argv: ["session", "cancel", ids.session],
    route: `POST /api/sessions/${ids.session}/cancel`,
    body: {},
    answer: { ...session, status: "cancelled", current_run_id: undefined },
    text: `operation: cancel\nsession_id: ${ids.session}\nsession_status: cancelled\nsession_activity: idle\n`,
  },
  "session stream list": {
    argv: ["session", "stream", "list", ids.session],
    route: `GET /api/sessions/${ids.session}/streams`,
    answer: stream,
    text: "approvals\tinput\t1\n",
    json: stream,
  },
  "session stream input send": {
    argv: [
      "session",
      "stream",
      "input",
      "send",
      ids.session,
      "approvals",
      "--data-json",
      '{"a": 1.50}',
      "--correlation-id",
      "q",
      "--idempotency-key",
      "k",
    ],
    route: `POST /api/sessions/${ids.session}/inputs/approvals`,
    answer: appended,
    status: 201,
    body: { data: { a: 1.5 }, correlation_id: "q", idempotency_key: "k" },
    text: `${ids.record} 1\n`,
    json: appended,
  },
  "session stream input list": {
    argv: ["session", "stream", "input", "list", ids.session, "approvals", "--cursor", "4", "--limit", "2"],
    route: `GET /api/sessions/${ids.session}/inputs/approvals`,
    query: { cursor: "4", limit: "2" },
    answer: { records: [appended.record, appended.record] },
    text: `${JSON.stringify(appended.record)}\n${JSON.stringify(appended.record)}\n`,
    json: { records: [appended.record, appended.record] },
  },
  "session stream output list": {
    argv: ["session", "stream", "output", "list", ids.session, "progress"],
    route: `GET /api/sessions/${ids.session}/outputs/progress`,
    query: {},
    answer: { records: [] },
    text: "",
    json: { records: [] },
  },
  "run list": {
    argv: ["run", "list", "--session", ids.session],
    route: "GET /api/runs",
    query: { status: "all", session_id: ids.session },
    answer: {
      runs: [
        run,
        {
          ...run,
          task_id: "a-longer-name",
          status: "waiting",
          pending_wait: { id: ids.other, kind: "token", created_at: "2026-06-06T09:30:00Z" },
        },
      ],
    },
    text: "RUN ID        TASK           STATUS     WAIT\n01980a00-000  hello          succeeded\n01980a00-000  a-longer-name  waiting    token:01980a00-000\n",
  },
  "run list, none": {
    argv: ["run", "list"],
    route: "GET /api/runs",
    query: { status: "all" },
    answer: { runs: [] },
    text: "RUN ID  TASK  STATUS  WAIT\n",
    json: { runs: [] },
  },
  "run list, lines": {
    argv: ["run", "list", "--jsonl"],
    route: "GET /api/runs",
    answer: { runs: [run, run] },
    text: `${JSON.stringify(run)}\n${JSON.stringify(run)}\n`,
  },
  "run get": {
    argv: ["run", "get", ids.run],
    route: `GET /api/runs/${ids.run}`,
    answer: run,
    text: `ID:       ${ids.run}\nTask:     hello\nStatus:   succeeded\nExit:     0\nCreated:  2026-06-06T09:30:00Z\nUpdated:  2026-06-06T09:30:00Z\n`,
    json: run,
  },
  "run get, waiting": {
    argv: ["run", "get", ids.run],
    route: `GET /api/runs/${ids.run}`,
    answer: {
      ...run,
      status: "waiting",
      exit_code: null,
      created_at: "2026-06-06T11:30:00.5+02:00",
      pending_wait: { id: ids.other, kind: "timer", created_at: "2026-06-06T09:30:00Z" },
      blocked: { code: "wait_timer", message: "waits until noon", details: {} },
    },
    text: `ID:       ${ids.run}\nTask:     hello\nStatus:   waiting\nCreated:  2026-06-06T11:30:00+02:00\nUpdated:  2026-06-06T09:30:00Z\nWait:     timer:${ids.other}\nBlocked:  waits until noon (wait_timer)\n`,
  },
  "run cancel": {
    argv: ["run", "cancel", ids.run, "--reason", "no longer needed", "--force", "--idempotency-key", " k "],
    route: `POST /api/runs/${ids.run}/cancel`,
    answer: cancelled,
    body: { reason: "no longer needed", force: true, idempotency_key: "k" },
    text: `run_id: ${ids.run}\nrun_status: cancelled\nsession_id: ${ids.session}\noperation_id: ${cancelled.operation.id}\noperation_status: applied\n`,
    json: cancelled,
  },
  "token create": {
    argv: [
      "token",
      "create",
      "--timeout",
      "24h",
      "--metadata-json",
      '{"a":1}',
      "--tag",
      "approval",
      "--tag",
      "night",
      "--idempotency-key",
      "k",
    ],
    route: "POST /api/tokens",
    status: 201,
    answer: { ...token, callback_url: "https://h/cb", public_access_token: "hlmr_public_access_0f" },
    body: { timeout: "24h", metadata: { a: 1 }, tags: ["approval", "night"], idempotency_key: "k" },
    text: `Token:       ${ids.token}\nStatus:      pending\nTimeout:     2026-06-06T09:30:00Z\nCallback:    https://h/cb\nPublicToken: hlmr_public_access_0f\n`,
    json: { ...token, callback_url: "https://h/cb", public_access_token: "hlmr_public_access_0f" },
  },
  "token get": {
    argv: ["token", "get", ids.token],
    route: `GET /api/tokens/${ids.token}`,
    answer: { ...token, timeout_at: null },
    text: `Token:       ${ids.token}\nStatus:      pending\nTimeout:     -\n`,
    json: { ...token, timeout_at: null },
  },
  "token complete": {
    argv: ["token", "complete", ids.token, "--data-json", "null"],
    route: `POST /api/tokens/${ids.token}/complete`,
    answer: { status: "already_completed", token: { ...token, status: "completed" } },
    body: { data: null },
    text: `token_id: ${ids.token}\ntoken_status: completed\ncompletion_status: already_completed\n`,
    json: { status: "already_completed", token: { ...token, status: "completed" } },
  },
  "token cancel": {
    argv: ["token", "cancel", ids.token],
    route: `POST /api/tokens/${ids.token}/cancel`,
    answer: { ...token, status: "cancelled" },
    body: {},
    text: `${ids.token} cancelled\n`,
    json: { ...token, status: "cancelled" },
  },
  "token list": {
    argv: ["token", "list", "--status", "pending", "--limit", "5"],
    route: "GET /api/tokens",
    query: { status: "pending", limit: "5" },
    answer: { tokens: [token, { ...token, tags: undefined }], next_cursor: ids.token },
    text: `${ids.token}\tpending\t2026-06-06T09:30:00Z\tapproval,night\n${ids.token}\tpending\t2026-06-06T09:30:00Z\t\n`,
    json: { tokens: [token, { ...token, tags: undefined }] },
  },
  "workspace create": {
    argv: [
      "workspace",
      "create",
      "--sandbox",
      "default",
      "--external-id",
      "repo-42",
      "--metadata-json",
      "{}",
      "--tag",
      "t",
      "--idempotency-key",
      "k",
      "--idempotency-key-ttl",
      "1h",
    ],
    route: "POST /api/workspaces",
    status: 201,
    answer: { workspace, is_cached: true },
    body: { sandbox_id: "default", external_id: "repo-42", metadata: {}, tags: ["t"], idempotency_key: "k", idempotency_key_ttl: "1h" },
    text: `workspace_id: ${ids.workspace}\nstate: active\nsandbox_id: default\n`,
    json: { workspace, is_cached: true },
  },
  "workspace list": {
    argv: ["workspace", "list"],
    route: "GET /api/workspaces",
    answer: { workspaces: [workspace] },
    text: `${ids.workspace}\tactive\tdefault\t${ids.version}\n`,
    json: { workspaces: [workspace] },
  },
  "workspace get": {
    argv: ["workspace", "get", ids.workspace],
    route: `GET /api/workspaces/${ids.workspace}`,
    answer: { workspace },
    text: `workspace_id: ${ids.workspace}\nstate: active\nsandbox_id: default\n`,
    json: { workspace },
  },
  "workspace update": {
    argv: ["workspace", "update", ids.workspace, "--metadata-json", '{"a":null}'],
    route: `PATCH /api/workspaces/${ids.workspace}`,
    answer: { workspace },
    body: { metadata: { a: null } },
    text: `workspace_id: ${ids.workspace}\nstate: active\nsandbox_id: default\n`,
    json: { workspace },
  },
  "workspace delete": {
    argv: ["workspace", "delete", ids.workspace, "--yes"],
    route: `DELETE /api/workspaces/${ids.workspace}`,
    answer: { workspace },
    text: `${ids.workspace} deleted\n`,
  },
  "workspace materialize": {
    argv: ["workspace", "materialize", ids.workspace],
    route: `POST /api/workspaces/${ids.workspace}/materialize`,
    status: 201,
    answer: { ...mount, state: "requested" },
    body: {},
    text: `${ids.mount} ${ids.workspace} requested\n`,
    json: { ...mount, state: "requested" },
  },
  "workspace connect": {
    argv: ["workspace", "connect", ids.workspace],
    route: `POST /api/workspaces/${ids.workspace}/connect`,
    answer: mount,
    body: {},
    text: `${ids.mount} ${ids.workspace} mounted\n`,
    json: mount,
  },
  "workspace files": {
    argv: ["workspace", "files", ids.workspace, "src", "--version", ids.version],
    route: `GET /api/workspaces/${ids.workspace}/files`,
    query: { path: "src", limit: "500", source: "version", version_id: ids.version },
    answer: { path: "src", entries },
    text: `0644\t512\t2026-06-06T09:30:00Z\tsrc/main.ts\n0755\t4096\t\tsrc/lib/\n0777\t3\t\tsrc/link -> lib\n`,
    json: { path: "src", entries },
  },
  "workspace versions": {
    argv: ["workspace", "versions", ids.workspace, "--kind", "system", "--limit", "5"],
    route: `GET /api/workspaces/${ids.workspace}/versions`,
    query: { kind: "system", limit: "5" },
    answer: { versions: [{ ...version, message: "of a run" }] },
    text: `${ids.version}\tready\tsystem\t2026-06-06T09:30:00Z\tof a run\n`,
    json: { versions: [{ ...version, message: "of a run" }] },
  },
  "workspace diff": {
    argv: ["workspace", "diff", ids.workspace, "--from", ids.version, "--from-workspace", ids.other],
    route: `GET /api/workspaces/${ids.workspace}/diff`,
    query: { from: ids.version, from_workspace_id: ids.other, limit: "500" },
    answer: difference,
    text: "A a\nD b\nM c\n",
    json: difference,
  },
  "workspace fork": {
    argv: ["workspace", "fork", ids.workspace, "--version", ids.version, "--external-id", "x", "--tag", "t", "--idempotency-key", " k "],
    route: `POST /api/workspaces/${ids.workspace}/fork`,
    status: 201,
    answer: { workspace },
    body: { version_id: ids.version, external_id: "x", tags: ["t"], idempotency_key: "k" },
    text: `workspace_id: ${ids.workspace}\nstate: active\nsandbox_id: default\n`,
    json: { workspace },
  },
  "workspace capture": {
    argv: ["workspace", "capture", ids.workspace, "--expect", ids.version, "--message", "now", "--idempotency-key", "k"],
    route: `POST /api/workspaces/${ids.workspace}/capture`,
    status: 201,
    answer: { version: { ...version, id: ids.record }, pause_ms: 12, stored_bytes: 4096 },
    body: { expected_version_id: ids.version, message: "now", idempotency_key: "k" },
    text: `${ids.record} ${ids.workspace} captured\n`,
    json: { version: { ...version, id: ids.record }, pause_ms: 12, stored_bytes: 4096 },
  },
  "workspace restore": {
    argv: ["workspace", "restore", ids.workspace, ids.version, "--expect", ids.other, "--message", "back"],
    route: `POST /api/workspaces/${ids.workspace}/restore`,
    status: 201,
    answer: { version: { ...version, id: ids.record } },
    body: { version_id: ids.version, expected_version_id: ids.other, message: "back" },
    text: `${ids.record} ${ids.workspace} restored\n`,
    json: { version: { ...version, id: ids.record } },
  },
  "workspace stop": {
    argv: ["workspace", "stop", ids.workspace, "--idempotency-key", "k"],
    route: `POST /api/workspaces/${ids.workspace}/stop`,
    answer: { workspace_id: ids.workspace, state: "no_active_mount" },
    body: { idempotency_key: "k" },
    text: `${ids.workspace} no_active_mount\n`,
    json: { workspace_id: ids.workspace, state: "no_active_mount" },
  },
  "workspace exec --detach": {
    argv: ["workspace", "exec", ids.workspace, "--detach", "--cwd", "/tmp", "--set-env", "A=b=c", "--set-env", "E=", "--", "ls", "--json"],
    route: `POST /api/workspaces/${ids.workspace}/execs`,
    status: 201,
    answer: { exec: { ...exec, state: "queued" } },
    body: { command: ["ls", "--json"], cwd: "/tmp", env: { A: "b=c", E: "" }, detached: true },
    text: `workspace_id: ${ids.workspace}\nexec_id: ${ids.exec}\nstate: queued\n`,
  },
  "workspace exec list": {
    argv: ["workspace", "exec", "list", ids.workspace],
    route: `GET /api/workspaces/${ids.workspace}/execs`,
    answer: { execs: [exec] },
    text: `${ids.exec}\texited\t/workspace\n`,
    json: { execs: [exec] },
  },
  "workspace exec get": {
    argv: ["workspace", "exec", "get", ids.workspace, ids.exec],
    route: `GET /api/workspaces/${ids.workspace}/execs/${ids.exec}`,
    answer: { exec },
    text: `Exec:      ${ids.exec}\nWorkspace: ${ids.workspace}\nState:     exited\nExit:      0\n`,
    json: { exec },
  },
  "workspace pty create": {
    argv: ["workspace", "pty", "create", ids.workspace, "--cwd", "/tmp", "--cols", "100", "--rows", "30"],
    route: `POST /api/workspaces/${ids.workspace}/pty`,
    status: 201,
    answer: example("ptys", "create"),
    body: { cwd: "/tmp", cols: 100, rows: 30 },
    text: `workspace_id: ${ids.workspace}\npty_id: ${ids.pty}\n`,
    json: example("ptys", "create"),
  },
  "workspace pty close": {
    argv: ["workspace", "pty", "close", ids.workspace, ids.pty],
    route: `POST /api/workspaces/${ids.workspace}/pty/${ids.pty}/close`,
    answer: example("ptys", "close"),
    body: {},
    text: `${ids.pty} closing\n`,
    json: example("ptys", "close"),
  },
  "secret list": {
    argv: ["secret", "list"],
    route: "GET /api/secrets",
    answer: { secrets: [{ ...secret, updated_at: "2026-06-07T09:30:00.5Z" }] },
    text: "GITHUB_TOKEN\t2026-06-07T09:30:00Z\t2026-06-06T09:30:00Z\n",
    json: { secrets: [{ ...secret, updated_at: "2026-06-07T09:30:00.5Z" }] },
  },
  "secret get": {
    argv: ["secret", "get", "GITHUB_TOKEN"],
    route: "GET /api/secrets/GITHUB_TOKEN",
    answer: secret,
    text: "Name: GITHUB_TOKEN\nProject: 01980a00-0000-7000-8000-000000000001\nEnvironment: 01980a00-0000-7000-8000-000000000002\nCreated: 2026-06-06T09:30:00Z\nUpdated: 2026-06-06T09:30:00Z\n",
    json: secret,
  },
  "secret set": {
    argv: ["secret", "set", "GITHUB_TOKEN", "s3cret"],
    route: "PUT /api/secrets/GITHUB_TOKEN",
    answer: secret,
    body: { value: "s3cret" },
    text: "GITHUB_TOKEN\n",
    json: secret,
  },
  "secret delete": {
    argv: ["secret", "delete", "GITHUB_TOKEN", "--yes"],
    route: "DELETE /api/secrets/GITHUB_TOKEN",
    status: 204,
    answer: undefined,
    text: "GITHUB_TOKEN\n",
  },
};

describe("commands that read or change one thing", () => {
  test.each(Object.entries(cases))("%s prints its text", async (_name, { argv, route, answer, body, query, text, status }) => {
    env.server.on(route, { status, body: answer });
    const result = await env.withKey(argv);
    expect(result).toEqual({ code: 0, stdout: text, stderr: "" });
    expect(env.server.requests).toHaveLength(1);
    const { headers, json, query: sentQuery, body: sentBody } = env.server.last;
    expect(`${env.server.last.method} ${env.server.last.path}`).toBe(route);
    if (query) expect(sentQuery).toEqual(query);
    if (body === undefined) expect(sentBody).toHaveLength(0);
    else expect(json).toEqual(body);
    expect(headers).toMatchObject({
      authorization: `Bearer ${testKey}`,
      accept: "application/json",
      "helmr-api-version": "2026-06-06",
      "helmr-client-version": "0.1.0",
      "helmr-cli-version": "0.1.0",
    });
    expect(headers["content-type"]).toBe(body === undefined ? undefined : "application/json");
  });

  const withJson = Object.entries(cases).filter(([, { json }]) => json !== undefined);
  test.each(withJson)("%s --json prints its JSON", async (_name, { argv, route, answer, json, status }) => {
    env.server.on(route, { status, body: answer });
    const result = await env.withKey([...argv, "--json"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toBe(`${JSON.stringify(JSON.parse(result.stdout))}\n`);
    expect(JSON.parse(result.stdout)).toEqual(JSON.parse(JSON.stringify(json)));
  });
});
