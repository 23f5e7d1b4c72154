/** http §11 (create, list, get, patch, delete) and §12 (versions) over HTTP. */
import { captured } from "@helmr/test/platform";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Api, openApi } from "./api-fixture.ts";

let api: Api;
beforeAll(async () => {
  api = await openApi();
});
afterAll(() => api.close());

const nowhere = "01980a00-0000-7000-8000-000000000001";

test("create, read, patch, archive", async () => {
  const created = await api.post("/api/workspaces", {
    sandbox_id: "box",
    external_id: "repo",
    metadata: { a: null },
    tags: ["b", "a"],
    idempotency_key: "k",
  });
  expect(created.status).toBe(201);
  const { workspace } = created.json;
  expect(workspace).toEqual({
    id: expect.any(String),
    project_id: api.plane.install.projectId,
    environment_id: api.plane.install.environmentId,
    deployment_sandbox_id: expect.any(String),
    sandbox_id: "box",
    sandbox_fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    external_id: "repo",
    current_version_id: expect.any(String),
    state: "active",
    desired_state: "active",
    dirty_state: "clean",
    metadata: { a: null },
    tags: ["a", "b"],
    last_activity_at: expect.any(String),
    created_at: expect.any(String),
    updated_at: expect.any(String),
  });
  expect(
    await api.post("/api/workspaces", {
      sandbox_id: "box",
      external_id: "repo",
      metadata: { a: null },
      tags: ["a", "b"],
      idempotency_key: "k",
    }),
  ).toMatchObject({ status: 201, json: { is_cached: true, workspace: { id: workspace.id } } });
  expect(await api.post("/api/workspaces", { sandbox_id: "box", idempotency_key: "k" })).toMatchObject({
    status: 409,
    json: { code: "idempotency_fingerprint_mismatch" },
  });
  expect((await api.post("/api/workspaces", { sandbox_id: "box", external_id: "repo" })).status).toBe(409);
  expect(await api.post("/api/workspaces", { sandbox_id: "none" })).toMatchObject({ status: 409, json: { code: "sandbox_not_deployed" } });
  expect((await api.get(`/api/workspaces/${workspace.id}`)).json).toEqual({ workspace });
  expect((await api.get("/api/workspaces?external_id=repo&tag=a&state=active")).json.workspaces).toHaveLength(1);
  expect((await api.send("PATCH", `/api/workspaces/${workspace.id}`, { metadata: { z: 1 } })).json.workspace).toMatchObject({
    metadata: { z: 1 },
    tags: ["a", "b"],
  });
  const { versions } = (await api.get(`/api/workspaces/${workspace.id}/versions`)).json;
  expect(versions).toMatchObject([
    {
      id: workspace.current_version_id,
      workspace_id: workspace.id,
      kind: "system",
      state: "ready",
      size_bytes: 0,
      artifact_encoding: "helmr.blocks.v1",
      artifact_entry_count: 0,
    },
  ]);
  expect((await api.get(`/api/workspaces/${workspace.id}/versions/${versions[0].id}`)).json).toEqual({ version: versions[0] });
  const archived = await api.send("DELETE", `/api/workspaces/${workspace.id}`);
  expect(archived).toMatchObject({ status: 200, json: { workspace: { state: "archived", archived_at: expect.any(String) } } });
  expect((await api.post("/api/sessions", { task_id: "hello", workspace_id: workspace.id })).status).toBe(409);
});

test.each([
  ["POST", "/api/workspaces", {}],
  ["POST", "/api/workspaces", { sandbox_id: " " }],
  ["POST", "/api/workspaces", { sandbox_id: "box", deployment_id: "x" }],
  ["POST", "/api/workspaces", { sandbox_id: "box", metadata: 1 }],
  ["POST", "/api/workspaces", { sandbox_id: "box", tags: [""] }],
  ["POST", "/api/workspaces", { sandbox_id: "box", idempotency_key_ttl: "x" }],
  ["POST", "/api/workspaces", { sandbox_id: "box", unknown: 1 }],
  ["POST", "/api/workspaces", { sandbox_id: "box", environment_id: nowhere }],
  ["GET", "/api/workspaces?state=gone", undefined],
  ["GET", "/api/workspaces?limit=201", undefined],
  ["GET", `/api/workspaces/${nowhere}/versions?kind=other`, undefined],
  ["GET", "/api/workspaces/x", undefined],
])("400 for %s %s %j", async (method, path, body) => {
  expect((await api.send(method, path, body)).status).toBe(400);
});

test("404 elsewhere", async () => {
  for (const [method, path, body] of [
    ["GET", ""],
    ["PATCH", "", {}],
    ["DELETE", ""],
    ["GET", "/versions"],
    ["GET", `/versions/${nowhere}`],
  ] as const) {
    expect((await api.send(method, `/api/workspaces/${nowhere}${path}`, body)).status, `${method} ${path}`).toBe(404);
  }
});

test("a run's tree becomes the next version; a busy workspace is deleted by force", async () => {
  const { session, run } = await api.start();
  const worker = await api.worker();
  const held = await api.take(worker, run.id);
  await held.started();
  const path = `/api/workspaces/${session.workspace_id}`;
  expect(await api.send("DELETE", path)).toMatchObject({ status: 409, json: { code: "workspace_mount_active" } });
  const tree = captured(held.lease.run.org_id);
  await held.complete({ status: "succeeded", exit_code: 0 }, { workspace: tree });
  const { versions } = (await api.get(`${path}/versions`)).json;
  expect(versions.map((version: { parent_version_id?: string }) => version.parent_version_id)).toEqual([versions[1].id, undefined]);
  expect((await api.get(path)).json.workspace).toMatchObject({
    current_version_id: versions[0].id,
    dirty_state: "clean",
    last_workspace_mount_id: expect.any(String),
  });
  expect((await api.get(`${path}/versions?limit=1`)).json.versions).toHaveLength(1);
  const next = await api.start({ workspace_id: session.workspace_id });
  await (await api.take(worker, next.run.id)).started();
  expect((await api.send("DELETE", `${path}?force=1`)).json.workspace.state).toBe("archived");
  expect((await api.run(next.run.id)).status).toBe("cancelled");
});
