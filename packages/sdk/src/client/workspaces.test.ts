import { beforeEach, expect, test, vi } from "vitest";
import { HelmrApiError, WorkspaceStreamError, WorkspaceStreamTerminalError } from "../errors.ts";
import { type WireServer, eventStream, frame, json, raw, wireServer } from "../node/testing/wire-server.ts";
import {
  chunkExpected,
  execExpected,
  mountExpected,
  ptyExpected,
  time,
  wireChunk,
  wireExec,
  wireMount,
  wirePty,
  wireWorkspace,
  workspaceExpected,
} from "../node/testing/wire-examples.ts";
import type { WorkspaceExecHandle, WorkspaceStreamChunk } from "./exec-shapes.ts";
import { HelmrClient } from "./helmr-client.ts";
import type { WorkspaceHandle, WorkspacesApi } from "./workspace-shapes.ts";

vi.spyOn(console, "warn").mockImplementation(() => undefined);

let server: WireServer;
let workspaces: WorkspacesApi;
let handle: WorkspaceHandle;
beforeEach(async () => {
  server = await wireServer();
  ({ workspaces } = new HelmrClient({ url: server.url, apiKey: "hlmr_sk_x" }));
  handle = workspaces.open("w1");
});

const scope = { projectId: "p", environmentId: "e" };

test("create, retrieve, list, update and delete", async () => {
  const answer = json({ workspace: wireWorkspace });
  server.expect(json({ workspace: wireWorkspace, is_cached: true }, 201), answer, json({ workspaces: [wireWorkspace] }), answer, answer);
  const all = {
    sandboxId: "box",
    deploymentId: "d",
    externalId: "repo-42",
    metadata: { a: 1 },
    tags: ["x"],
    idempotencyKey: "as typed",
    idempotencyKeyTTL: "24h",
  };
  expect(await workspaces.create(all)).toEqual(workspaceExpected);
  expect(server.lastBody()).toEqual({
    sandbox_id: "box",
    deployment_id: "d",
    external_id: "repo-42",
    metadata: { a: 1 },
    tags: ["x"],
    idempotency_key: "as typed",
    idempotency_key_ttl: "24h",
  });
  expect(await workspaces.retrieve({ id: "w/1" }, scope)).toEqual(workspaceExpected);
  expect(await workspaces.list({ state: "active", externalId: "a b", tag: "x", limit: 2 })).toEqual([workspaceExpected]);
  expect(await handle.update({ metadata: {} })).toEqual(workspaceExpected);
  expect(server.lastBody()).toEqual({ metadata: {} });
  expect(await handle.delete()).toEqual(workspaceExpected);
  expect(server.lines()).toEqual([
    "POST /api/workspaces",
    "GET /api/projects/p/environments/e/workspaces/w%2F1",
    "GET /api/workspaces?state=active&external_id=a%20b&tag=x&limit=2",
    "PATCH /api/workspaces/w1",
    "DELETE /api/workspaces/w1",
  ]);
});

test("materialize, connect and stop", async () => {
  server.expect(
    json(wireMount, 201),
    json(wireMount),
    json({ workspace_id: "w1", state: "unmounting", mount: wireMount }),
    json({ workspace_id: "w1", state: "no_active_mount" }),
  );
  expect(await workspaces.materialize("w1")).toEqual(mountExpected);
  expect(server.lastBody()).toEqual({});
  expect(await handle.connect(scope)).toEqual(mountExpected);
  expect(server.lastBody()).toEqual({});
  expect(await handle.stop({ idempotencyKey: "k", idempotencyKeyTTL: "1h" })).toEqual({
    workspaceId: "w1",
    state: "unmounting",
    materialization: mountExpected,
  });
  expect(server.lastBody()).toEqual({ idempotency_key: "k", idempotency_key_ttl: "1h" });
  expect(await workspaces.stop("w1")).toEqual({ workspaceId: "w1", state: "no_active_mount", materialization: null });
  expect(server.lastBody()).toEqual({});
  expect(server.lines()).toEqual([
    "POST /api/workspaces/w1/materialize",
    "POST /api/projects/p/environments/e/workspaces/w1/connect",
    "POST /api/workspaces/w1/stop",
    "POST /api/workspaces/w1/stop",
  ]);
});

test("a pending stop is an error that says so", async () => {
  server.expect(json({ error: "workspace_operation_pending", code: "idempotency_pending" }, 202, { "retry-after": "1" }));
  await expect(handle.stop({ idempotencyKey: "k" })).rejects.toMatchObject({
    status: 202,
    message: expect.stringContaining("workspace_operation_pending"),
  });
});

test("files: source always travels, a blank list path does not", async () => {
  const entry = { path: "a.txt", kind: "file", size_bytes: 3, mode: 420 };
  server.expect(
    raw(new Uint8Array([0, 255, 10]), 200, { "content-type": "application/octet-stream" }),
    raw("live"),
    json({
      path: ".",
      entries: [
        { ...entry, name: "a.txt", mod_time: time },
        { ...entry, kind: "symlink", link_target: "b" },
      ],
      next_cursor: "a.txt",
    }),
    json({ path: "d", entries: [] }),
    json({ entry }),
  );
  const { files } = handle;
  expect(await files.read("dir/a b.txt")).toEqual(new Uint8Array([0, 255, 10]));
  expect(server.requests[0]?.headers.accept).toBe("application/octet-stream");
  await files.read("a", { source: "live", materializationId: "m1", ...scope });
  expect(await files.list()).toEqual({
    path: ".",
    entries: [
      { path: "a.txt", name: "a.txt", kind: "file", sizeBytes: 3, mode: 420, linkTarget: null, modTime: time },
      { path: "a.txt", name: null, kind: "symlink", sizeBytes: 3, mode: 420, linkTarget: "b", modTime: null },
    ],
    nextCursor: "a.txt",
  });
  await files.list("d", { source: "version", versionId: "v1", limit: 5, cursor: "d/a" });
  expect(await files.stat("a.txt", { source: "current" })).toEqual({
    path: "a.txt",
    name: null,
    kind: "file",
    sizeBytes: 3,
    mode: 420,
    linkTarget: null,
    modTime: null,
  });
  expect(server.lines()).toEqual([
    "GET /api/workspaces/w1/files/content?path=dir%2Fa%20b.txt&source=current",
    "GET /api/projects/p/environments/e/workspaces/w1/files/content?path=a&source=live&workspace_mount_id=m1",
    "GET /api/workspaces/w1/files?source=current",
    "GET /api/workspaces/w1/files?path=d&source=version&version_id=v1&limit=5&cursor=d%2Fa",
    "GET /api/workspaces/w1/files/stat?path=a.txt&source=current",
  ]);
});

test.each([
  [{ source: "version" }, 'source "version" needs a versionId'],
  [{ versionId: "v" }, 'versionId needs source: "version"'],
  [{ source: "live", versionId: "v" }, 'versionId needs source: "version"'],
  [{ materializationId: "m" }, 'materializationId needs source: "live"'],
])("files refuse %j before any request", async (options, message) => {
  await expect(handle.files.read("a", options as { source: "current" })).rejects.toThrow(message);
  await expect(handle.files.list("a", options as { source: "current" })).rejects.toThrow(message);
  await expect(handle.files.stat("a", options as { source: "current" })).rejects.toThrow(message);
  expect(server.requests).toEqual([]);
});

test("versions", async () => {
  const version = {
    id: "v1",
    workspace_id: "w1",
    kind: "system",
    state: "ready",
    content_digest: "sha256:x",
    size_bytes: 5,
    artifact_encoding: "blocks",
    artifact_entry_count: 2,
    created_at: time,
  };
  const expected = {
    id: "v1",
    workspaceId: "w1",
    parentVersionId: null,
    kind: "system",
    state: "ready",
    contentDigest: "sha256:x",
    sizeBytes: 5,
    artifactEncoding: "blocks",
    artifactEntryCount: 2,
    message: "",
    promotedAt: null,
    createdAt: time,
  };
  server.expect(json({ version }), json({ versions: [{ ...version, message: "m", promoted_at: time, parent_version_id: "v0" }] }));
  expect(await handle.versions.retrieve("v/1")).toEqual(expected);
  expect(await handle.versions.list({ kind: "user", limit: 3 })).toEqual([
    { ...expected, message: "m", promotedAt: time, parentVersionId: "v0" },
  ]);
  expect(server.lines()).toEqual(["GET /api/workspaces/w1/versions/v%2F1", "GET /api/workspaces/w1/versions?kind=user&limit=3"]);
});

test("capture, restore, diff and fork", async () => {
  const version = { id: "v2", workspace_id: "w1", kind: "user", state: "ready", content_digest: "sha256:x", size_bytes: 5 };
  const wire = { ...version, artifact_encoding: "blocks", artifact_entry_count: 2, created_at: time };
  const entry = { path: "a", kind: "file", size_bytes: 1, mode: 420 };
  const diff = {
    from_version_id: "v1",
    to_version_id: "v2",
    path: ".",
    changes: [{ path: "a", change: "added", after: entry }],
    next_cursor: "a",
  };
  server.expect(json({ version: wire, pause_ms: 1.5, stored_bytes: 7 }, 201), json({ version: wire, is_unchanged: true }));
  const options = { message: "now", expectedVersionId: "v0", idempotencyKey: "k", idempotencyKeyTtl: "1h" };
  expect(await handle.versions.capture(options)).toEqual({
    version: expect.objectContaining({ id: "v2" }),
    isUnchanged: false,
    pauseMs: 1.5,
    storedBytes: 7,
  });
  expect(server.lastBody()).toEqual({ message: "now", expected_version_id: "v0", idempotency_key: "k", idempotency_key_ttl: "1h" });
  expect(await handle.versions.capture()).toMatchObject({ isUnchanged: true });
  expect(server.lastBody()).toEqual({});

  server.expect(
    json({ version: wire }, 201),
    json(diff),
    json({ to_version_id: "v2", path: "a", change: "added", format: "binary" }),
    json({ workspace: wireWorkspace }, 201),
    json({ workspace: wireWorkspace }, 201),
  );
  expect(await handle.versions.restore("v1", { expectedVersionId: "v0", message: "back" })).toMatchObject({ id: "v2", kind: "user" });
  expect(server.lastBody()).toEqual({ version_id: "v1", expected_version_id: "v0", message: "back" });
  expect(await handle.versions.diff({ from: "v1", fromWorkspaceId: "w0", to: "v2", path: "src", limit: 5, cursor: "src/a" })).toEqual({
    fromVersionId: "v1",
    toVersionId: "v2",
    path: ".",
    changes: [
      {
        path: "a",
        change: "added",
        before: null,
        after: { path: "a", name: null, kind: "file", sizeBytes: 1, mode: 420, linkTarget: null, modTime: null },
      },
    ],
    nextCursor: "a",
  });
  expect(await handle.versions.diffFile("a")).toEqual({
    fromVersionId: null,
    toVersionId: "v2",
    path: "a",
    change: "added",
    format: "binary",
    unified: null,
  });
  expect(
    await handle.fork({ versionId: "v1", externalId: "x", metadata: {}, tags: ["t"], idempotencyKey: "k", idempotencyKeyTTL: "1h" }),
  ).toEqual(workspaceExpected);
  expect(server.lastBody()).toEqual({
    version_id: "v1",
    external_id: "x",
    metadata: {},
    tags: ["t"],
    idempotency_key: "k",
    idempotency_key_ttl: "1h",
  });
  expect(await workspaces.fork("w/1")).toEqual(workspaceExpected);
  expect(server.lines()).toEqual([
    "POST /api/workspaces/w1/capture",
    "POST /api/workspaces/w1/capture",
    "POST /api/workspaces/w1/restore",
    "GET /api/workspaces/w1/diff?from=v1&from_workspace_id=w0&to=v2&path=src&limit=5&cursor=src%2Fa",
    "GET /api/workspaces/w1/diff/file?path=a",
    "POST /api/workspaces/w1/fork",
    "POST /api/workspaces/w%2F1/fork",
  ]);
});

async function startExec(): Promise<WorkspaceExecHandle> {
  server.expect(json({ exec: wireExec }, 201));
  return await handle.exec(["npm", "test"]);
}

test("exec: create, retrieve, wait and list", async () => {
  server.expect(json({ exec: wireExec, is_cached: true }));
  const exec = await handle.exec(["npm", "test"], { cwd: "/workspace", env: { CI: "1" }, detached: true, idempotencyKey: "k" });
  expect(exec).toEqual(execExpected);
  expect(server.lastBody()).toEqual({
    command: ["npm", "test"],
    cwd: "/workspace",
    env: { CI: "1" },
    detached: true,
    idempotency_key: "k",
  });
  const ended = { ...wireExec, state: "exited", exit_code: 3, signal: "SIGTERM", exited_at: time };
  server.expect(
    json({ exec: wireExec }),
    json({ exec: wireExec }),
    json({ exec: ended }),
    json({ execs: [wireExec] }),
    json({ exec: wireExec }),
  );
  expect(await exec.retrieve()).toEqual(execExpected);
  expect(await exec.wait({ pollIntervalMs: 5 })).toEqual({
    ...execExpected,
    state: "exited",
    exitCode: 3,
    signal: "SIGTERM",
    exitedAt: time,
  });
  expect(await handle.execs.list({ state: "running", limit: 1 })).toEqual([execExpected]);
  expect(await handle.execs.retrieve("exec-1")).toEqual(execExpected);
  await expect(handle.exec([])).rejects.toThrow("The command of an exec needs at least the name of a program");
  expect(server.lines()).toEqual([
    "POST /api/workspaces/w1/execs",
    "GET /api/workspaces/w1/execs/exec-1",
    "GET /api/workspaces/w1/execs/exec-1",
    "GET /api/workspaces/w1/execs/exec-1",
    "GET /api/workspaces/w1/execs?state=running&limit=1",
    "GET /api/workspaces/w1/execs/exec-1",
  ]);
});

test("exec: a file system mode other than write throws", async () => {
  server.expect(json({ exec: { ...wireExec, filesystem_mode: "read" } }));
  await expect(handle.exec(["x"])).rejects.toThrow('The file system mode of exec exec-1 is "read"');
});

test("exec: kill, and a time limit", async () => {
  const exec = await startExec();
  server.expect(json({ exec: wireExec }), json({ exec: wireExec }), json({ exec: wireExec }, 201));
  expect(await exec.kill()).toEqual(execExpected);
  expect(server.lastBody()).toEqual({});
  await exec.kill("INT");
  expect(server.lastBody()).toEqual({ signal: "INT" });
  await handle.exec(["x"], { timeoutSeconds: 5 });
  expect(server.lastBody()).toEqual({ command: ["x"], timeout_seconds: 5 });
  expect(server.lines().slice(1, 3)).toEqual(Array(2).fill("POST /api/workspaces/w1/execs/exec-1/signal"));
});

test("files: what writes", async () => {
  const entry = { path: "a", kind: "file", size_bytes: 1, mode: 420 };
  const seen = { path: "a", name: null, kind: "file", sizeBytes: 1, mode: 420, linkTarget: null, modTime: null };
  server.expect(
    json({ path: "a b", size_bytes: 3 }),
    json({ entry }, 201),
    json({ entry }),
    raw("", 204),
    json({ path: ".", entries: 2, bytes: 9 }),
    raw("tar"),
  );
  expect(await handle.files.write("a b", "abc", { mode: 384 })).toEqual({ path: "a b", sizeBytes: 3 });
  expect(await handle.files.mkdir("a", { mode: 448 })).toEqual(seen);
  expect(server.lastBody()).toEqual({ path: "a", mode: 448 });
  expect(await handle.files.move("a", "b")).toEqual(seen);
  expect(server.lastBody()).toEqual({ from: "a", to: "b" });
  await handle.files.remove("a", { recursive: true });
  expect(await handle.files.upload(".", new Uint8Array([1]))).toEqual({ path: ".", entries: 2, bytes: 9 });
  expect(Buffer.from(await handle.files.download("a")).toString()).toBe("tar");
  expect(server.lines()).toEqual([
    "PUT /api/workspaces/w1/files/content?path=a%20b&mode=384",
    "POST /api/workspaces/w1/files/directory",
    "POST /api/workspaces/w1/files/move",
    "DELETE /api/workspaces/w1/files?path=a&recursive=1",
    "PUT /api/workspaces/w1/files/archive?path=.",
    "GET /api/workspaces/w1/files/archive?path=a",
  ]);
});

test("exec: stdin", async () => {
  const exec = await startExec();
  server.expect(json(wireChunk), json(wireChunk), json({ exec: { ...wireExec, stdin_closed_at: time } }));
  expect(await exec.stdin.write("grüße", { offset: 2 })).toEqual(chunkExpected);
  expect(server.lastBody()).toEqual({ offset: 2, data: Buffer.from("grüße").toString("base64") });
  const large = new Uint8Array(200_000).map((_byte, at) => at % 251);
  await exec.stdin.write(large, { offset: 0 });
  expect(Buffer.from((server.lastBody() as { data: string }).data, "base64").equals(large)).toBe(true);
  expect(await exec.stdin.close()).toEqual({ ...execExpected, stdinClosedAt: time });
  expect(server.lastBody()).toEqual({});
  expect(server.lines().slice(1)).toEqual([
    "POST /api/workspaces/w1/execs/exec-1/stdin",
    "POST /api/workspaces/w1/execs/exec-1/stdin",
    "POST /api/workspaces/w1/execs/exec-1/stdin/close",
  ]);
  for (const offset of [-1, 1.5, Number.NaN, 2 ** 53])
    await expect(exec.stdin.write("x", { offset })).rejects.toThrow("offset must be a whole number that is not negative");
});

const chunk = (from: number, to: number): string =>
  frame(to, "workspace_stream_chunk", { ...wireChunk, offset_start: from, offset_end: to });
const terminal = (state: string, event = "workspace_stream_terminal"): string =>
  frame(9, event, { resource_kind: "workspace_exec", resource_id: "exec-1", stream: "stdout", state, cursor: 9 });

async function collect(stream: AsyncIterable<WorkspaceStreamChunk>): Promise<[number, number][]> {
  const offsets: [number, number][] = [];
  for await (const { offsetStart, offsetEnd } of stream) offsets.push([offsetStart, offsetEnd]);
  return offsets;
}

test("byte streams: list and stream to the end", async () => {
  const exec = await startExec();
  server.expect(json({ chunks: [wireChunk] }), eventStream([": hi\n\n", chunk(3, 6), chunk(6, 9), terminal("exited")], { ending: "stay" }));
  expect(await exec.stdout.list({ cursor: 3, limit: 1 })).toEqual([chunkExpected]);
  expect(await collect(exec.stderr.stream({ cursor: 3, limit: 7, follow: false }))).toEqual([
    [3, 6],
    [6, 9],
  ]);
  expect(server.lines().slice(1)).toEqual([
    "GET /api/workspaces/w1/execs/exec-1/stdout?cursor=3&limit=1",
    "GET /api/workspaces/w1/execs/exec-1/stderr?follow=1&cursor=3&limit=7",
  ]);
});

test("a byte stream reconnects after a second from the last byte", async () => {
  const exec = await startExec();
  server.expect(
    eventStream([chunk(0, 4)], { ending: "cut" }),
    raw("", 500),
    eventStream([chunk(4, 6)]),
    eventStream([terminal("terminated")]),
  );
  const from = Date.now();
  expect(await collect(exec.stdout.stream())).toEqual([
    [0, 4],
    [4, 6],
  ]);
  expect(Date.now() - from).toBeGreaterThanOrEqual(2_900);
  expect(
    server
      .lines()
      .slice(1)
      .map((line) => line.split("?")[1]),
  ).toEqual(["follow=1&cursor=0", "follow=1&cursor=4", "follow=1&cursor=4", "follow=1&cursor=6"]);
}, 15_000);

test("a lost or failed source, an error frame and a 410 end a byte stream", async () => {
  const exec = await startExec();
  for (const [event, state] of [
    ["workspace_stream_terminal", "failed"],
    ["workspace_stream_lost", "lost"],
    ["workspace_stream_terminal", "lost"],
  ] as const) {
    server.expect(eventStream([terminal(state, event)]));
    const error: unknown = await collect(exec.stdout.stream()).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(WorkspaceStreamTerminalError);
    expect((error as WorkspaceStreamTerminalError).terminal).toEqual({
      resourceKind: "workspace_exec",
      resourceId: "exec-1",
      stream: "stdout",
      state,
      cursor: 9,
      error: null,
    });
  }
  server.expect(
    eventStream([frame(7, "workspace_stream_error", { code: "workspace_stream_cursor_expired", message: "earliest is 7", cursor: 7 })]),
  );
  const expired: unknown = await collect(exec.stdout.stream()).catch((caught: unknown) => caught);
  expect(expired).toBeInstanceOf(WorkspaceStreamError);
  expect(expired).toMatchObject({ code: "workspace_stream_cursor_expired", cursor: 7 });
  server.expect(json({ error: "gone", code: "workspace_stream_cursor_expired" }, 410));
  await expect(collect(exec.stdout.stream())).rejects.toBeInstanceOf(HelmrApiError);
  expect(server.requests.length).toBe(6);
});

test("a byte stream with a frame that nobody can read is an error, not an endless loop", async () => {
  const exec = await startExec();
  server.expect(eventStream([frame(4, "workspace_stream_chunk", "{")]));
  await expect(collect(exec.stdout.stream())).rejects.toThrow("is not JSON");
});

test("terminals", async () => {
  server.expect(json({ pty: wirePty }, 201));
  const pty = await handle.pty.create({ cwd: "/workspace", cols: 80, rows: 24, idempotencyKey: "k" });
  expect(pty).toEqual(ptyExpected);
  expect(server.lastBody()).toEqual({ cwd: "/workspace", cols: 80, rows: 24, idempotency_key: "k" });
  server.expect(
    json({ pty: wirePty }),
    json({ pty: wirePty }),
    json({ ptys: [wirePty] }),
    json(wireChunk),
    json({ pty: wirePty }),
    json({ pty: wirePty }),
    eventStream([chunk(0, 6), terminal("closed")]),
    json({ pty: wirePty }),
  );
  expect(await pty.retrieve()).toEqual(ptyExpected);
  expect(await handle.pty.retrieve("pty-1")).toEqual(ptyExpected);
  expect(await handle.pty.list({ state: "open", limit: 1 })).toEqual([ptyExpected]);
  expect(await pty.input("ls\n", { offset: 1 })).toEqual(chunkExpected);
  expect(server.lastBody()).toEqual({ offset: 1, data: "bHMK" });
  await pty.resize(100, 30);
  expect(server.lastBody()).toEqual({ cols: 100, rows: 30 });
  await pty.close();
  expect(server.lastBody()).toEqual({});
  expect(await collect(pty.output.stream())).toEqual([[0, 6]]);
  await handle.pty.create();
  expect(server.lastBody()).toEqual({ cols: 0, rows: 0 });
  expect(server.lines()).toEqual([
    "POST /api/workspaces/w1/pty",
    "GET /api/workspaces/w1/pty/pty-1",
    "GET /api/workspaces/w1/pty/pty-1",
    "GET /api/workspaces/w1/pty?state=open&limit=1",
    "POST /api/workspaces/w1/pty/pty-1/input",
    "POST /api/workspaces/w1/pty/pty-1/resize",
    "POST /api/workspaces/w1/pty/pty-1/close",
    "GET /api/workspaces/w1/pty/pty-1/output?follow=1&cursor=0",
    "POST /api/workspaces/w1/pty",
  ]);
});
