/** http §9 row by row, over HTTP. */
import { randomBytes } from "node:crypto";
import { buildWith, contentHash, multipart, projectIndex, tarOf, taskDeclaration, upload, type WireAnswer } from "@helmr/test/platform";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Api, collect, type Json, openApi } from "./api-fixture.ts";

let api: Api;
beforeAll(async () => {
  api = await openApi({ tasks: [taskDeclaration("hello", { queue: "q", ttl: "1h" })], queues: [{ id: "q", concurrencyLimit: 4 }] });
});
afterAll(() => api.close());

const nowhere = "01980a00-0000-7000-8000-000000000001";
const source = () => tarOf({ "package.json": randomBytes(8).toString("hex") });
const send = async (parts: Parameters<typeof multipart>[0]): Promise<WireAnswer> => {
  const { body, headers } = multipart(parts);
  return api.plane.api.call("POST", "/api/deployments", { body, headers });
};

describe("POST deployments", () => {
  test("201 queued; the same content gives the same deployment", async () => {
    const bytes = await source();
    const created = await upload(api.plane.api, bytes);
    expect(created.status).toBe(201);
    expect(created.json).toEqual({
      id: expect.any(String),
      version: expect.stringMatching(/^\d{8}\.\d+$/),
      api_version: "2026-06-06",
      bundle_format_version: 2,
      worker_protocol_version: "helmr.worker.v1",
      project_id: api.plane.install.projectId,
      environment_id: api.plane.install.environmentId,
      content_hash: contentHash(bytes),
      deployment_source: { digest: contentHash(bytes), size_bytes: bytes.length, media_type: "application/x-tar" },
      status: "queued",
      tasks: [],
      created_at: expect.any(String),
      building_at: null,
      built_at: null,
      deployed_at: null,
      failed_at: null,
    });
    const again = await upload(api.plane.api, bytes);
    expect([again.status, again.json.id]).toEqual([201, created.json.id]);
    await buildWith(await api.worker(), projectIndex());
  });

  test.each([
    [
      "the parts the wrong way round",
      async (bytes: Buffer, metadata: string) => [
        { name: "deployment_source", filename: "x", value: bytes },
        { name: "metadata", value: metadata },
      ],
    ],
    ["no source", async (_: Buffer, metadata: string) => [{ name: "metadata", value: metadata }]],
    ["no metadata", async (bytes: Buffer) => [{ name: "deployment_source", filename: "x", value: bytes }]],
    [
      "a third part",
      async (bytes: Buffer, metadata: string) => [
        { name: "metadata", value: metadata },
        { name: "deployment_source", filename: "x", value: bytes },
        { name: "more", value: "x" },
      ],
    ],
    [
      "a wrong hash",
      async (bytes: Buffer) => [
        { name: "metadata", value: JSON.stringify({ content_hash: `sha256:${"0".repeat(64)}` }) },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "metadata that is no JSON",
      async (bytes: Buffer) => [
        { name: "metadata", value: "{" },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "an unknown field",
      async (bytes: Buffer) => [
        { name: "metadata", value: JSON.stringify({ content_hash: contentHash(bytes), extra: 1 }) },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "another api_version",
      async (bytes: Buffer) => [
        { name: "metadata", value: JSON.stringify({ content_hash: contentHash(bytes), api_version: "2020-01-01" }) },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "a scope",
      async (bytes: Buffer) => [
        { name: "metadata", value: JSON.stringify({ content_hash: contentHash(bytes), project_id: nowhere }) },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "metadata above 1 MiB",
      async (bytes: Buffer) => [
        { name: "metadata", value: JSON.stringify({ content_hash: contentHash(bytes), sdk_version: "x".repeat(1_100_000) }) },
        { name: "deployment_source", filename: "x", value: bytes },
      ],
    ],
    [
      "a source that is no tar",
      async () => [
        { name: "metadata", value: JSON.stringify({ content_hash: contentHash(Buffer.from("zip")) }) },
        { name: "deployment_source", filename: "x", value: "zip" },
      ],
    ],
  ])("400 for %s", async (_what, parts) => {
    const bytes = await source();
    const answer = await send(await parts(bytes, JSON.stringify({ content_hash: contentHash(bytes) })));
    expect([answer.status, typeof answer.json?.error], answer.text).toEqual([400, "string"]);
    const { deployments } = (await api.get("/api/deployments")).json;
    expect(deployments.map((deployment: Json) => deployment.content_hash)).not.toContain(contentHash(bytes));
  });

  test("400 for what is no multipart body, or a broken one", async () => {
    expect((await api.post("/api/deployments", { content_hash: "x" })).status).toBe(400);
    expect(
      (await api.plane.api.call("POST", "/api/deployments", { body: "x", headers: { "content-type": "multipart/form-data" } })).status,
    ).toBe(400);
    const { body, headers } = multipart([{ name: "metadata", value: "{}" }]);
    expect((await api.plane.api.call("POST", "/api/deployments", { body: body.subarray(0, 40), headers })).status).toBe(400);
  });

  test("blank versions mean the current ones", async () => {
    const bytes = await source();
    const metadata = {
      content_hash: contentHash(bytes),
      api_version: "",
      bundle_format_version: 0,
      worker_protocol_version: "",
      project_id: " ",
      sdk_version: "1.0.0",
      cli_version: "2.0.0",
    };
    const answer = await send([
      { name: "metadata", value: JSON.stringify(metadata) },
      { name: "deployment_source", filename: "x", value: bytes },
    ]);
    expect(answer).toMatchObject({
      status: 201,
      json: { api_version: "2026-06-06", bundle_format_version: 2, sdk_version: "1.0.0", cli_version: "2.0.0" },
    });
    await buildWith(await api.worker(), projectIndex());
  });
});

describe("a build", () => {
  test("queued → building → deployed, followed by push; then promoted by version", async () => {
    const created = (await upload(api.plane.api, await source())).json;
    const followed = collect(api, `/api/deployments/${created.id}/events`);
    const worker = await api.worker();
    const [lease] = await worker.claim({ kinds: ["build"], wait_ms: 5_000 });
    if (lease?.kind !== "build") throw new TypeError("no build");
    expect((await api.get(`/api/deployments/${created.id}`)).json).toMatchObject({ status: "building", building_at: expect.any(String) });
    const fenced = { lease_id: lease.lease_id, fence: lease.fence };
    const archive = await worker.wire.call(
      "GET",
      `/api/worker/builds/${created.id}/source?lease_id=${lease.lease_id}&fence=${lease.fence}`,
    );
    expect([archive.status, archive.headers["content-length"]]).toEqual([200, String(created.deployment_source.size_bytes)]);
    await worker.post(
      "buildReport",
      {
        ...fenced,
        first: 1,
        events: [{ kind: "deployment.build.log", severity: "info", message: "compiling", attributes: {}, age_ms: 0 }],
      },
      created.id,
    );
    const { newArtifact } = await import("@helmr/test/platform");
    const result = {
      status: "built" as const,
      index: projectIndex({ tasks: [taskDeclaration("fresh")] }),
      task_tree: newArtifact(lease.deployment.org_id),
      images: [],
    };
    expect(await worker.post("buildComplete", { ...fenced, report_through: 1, result }, created.id)).toEqual({ state: "deployed" });
    const { events, ended } = await followed;
    expect(ended).toBe(true);
    expect(events.map((event) => [event.event, event.data.kind, event.data.message])).toEqual([
      ["deployment_event", "deployment.queued", `deployment ${created.version} is queued`],
      ["deployment_event", "deployment.building", `deployment ${created.version} is being built`],
      ["deployment_event", "deployment.build.log", "compiling"],
      ["deployment_event", "deployment.deployed", `deployment ${created.version} is deployed: 1 task`],
    ]);
    expect(events[0]?.data).toMatchObject({
      id: "1",
      deployment_id: created.id,
      category: "deployment",
      trace: { trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) },
    });
    const page = (await api.get(`/api/deployments/${created.id}/events?limit=1&cursor=1`)).json;
    expect([page.events[0].id, page.cursor, page.next_cursor]).toEqual(["2", 1, 2]);

    const before = (await api.get("/api/tasks")).json.tasks.map((task: Json) => task.task_id);
    expect(before).toEqual(["hello"]);
    const promoted = await api.post(`/api/deployments/${created.version}/promote`, { reason: "new" });
    expect(promoted).toMatchObject({ status: 200, json: { id: created.id, status: "deployed", tasks: [] } });
    expect((await api.get("/api/deployments/current")).json.deployment).toMatchObject({
      id: created.id,
      tasks: [{ task_id: "fresh", queue_name: "task/fresh" }],
      build_manifest_digest: expect.any(String),
    });
    expect(await api.post("/api/sessions", { task_id: "hello" })).toMatchObject({ status: 409, json: { code: "task_not_deployed" } });
    await api.post(`/api/deployments/${api.deploymentId}/promote`, {});
  });

  test("a broken project fails with a sentence, and cannot be promoted", async () => {
    const created = (await upload(api.plane.api, await source())).json;
    const state = await buildWith(
      await api.worker(),
      projectIndex({
        sandboxes: [{ id: "box", workspacePath: "/workspace", resources: { memory: "1.5Gi" }, network: { internet: true } }],
      }),
    );
    expect(state).toBe("failed");
    expect((await api.get(`/api/deployments/${created.id}`)).json).toMatchObject({
      status: "failed",
      error: { message: expect.stringContaining('memory "1.5Gi"') },
      failed_at: expect.any(String),
    });
    expect(await api.post(`/api/deployments/${created.id}/promote`, {})).toMatchObject({
      status: 400,
      json: { error: "deployment is not deployable" },
    });
    const ended = await collect(api, `/api/deployments/${created.id}/events`);
    expect(ended.events.at(-1)?.data).toMatchObject({ kind: "deployment.failed", severity: "error" });
  });
});

describe("reads", () => {
  test("tasks and sandboxes of the current deployment", async () => {
    expect((await api.get("/api/tasks/hello")).json).toEqual({
      id: expect.any(String),
      task_id: "hello",
      file_path: "tasks/hello.ts",
      export_name: "hello",
      handler_entrypoint: "tasks/hello.mjs#hello",
      bundle_format_version: 2,
      queue_name: "q",
      concurrency_limit: 4,
      ttl: "1h",
      created_at: expect.any(String),
    });
    expect((await api.get("/api/tasks/none")).status).toBe(404);
    const [sandbox] = (await api.get("/api/sandboxes")).json.sandboxes;
    expect(sandbox).toMatchObject({
      deployment_id: api.deploymentId,
      sandbox_id: "box",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      workspace_mount_path: "/workspace",
      resource_floor: { milli_cpu: 2_000, memory_mib: 2_048, disk_mib: 0, execution_slots: 1 },
      network_policy: { internet: true },
      filesystem_format: "tar",
      contract_version: 1,
    });
    expect((await api.get("/api/sandboxes/box")).json).toEqual(sandbox);
    expect((await api.get("/api/sandboxes/none")).status).toBe(404);
  });

  test("lists are newest first, with tasks: []", async () => {
    const { deployments } = (await api.get("/api/deployments")).json;
    expect(deployments.every((deployment: Json) => deployment.tasks.length === 0)).toBe(true);
    const times = deployments.map((deployment: Json) => deployment.created_at);
    expect(times).toEqual([...times].sort((a, b) => Date.parse(b) - Date.parse(a)));
    expect((await api.get("/api/deployments?limit=1")).json.deployments).toHaveLength(1);
    for (const query of ["limit=0", "limit=201"]) expect((await api.get(`/api/deployments?${query}`)).status).toBe(400);
  });

  test("404 and 400", async () => {
    expect((await api.get(`/api/deployments/${nowhere}`)).status).toBe(404);
    expect((await api.get(`/api/deployments/${nowhere}/events`)).status).toBe(404);
    expect(await api.get("/api/deployments/20260101.1")).toMatchObject({ status: 400, json: { error: "invalid deployment id" } });
    expect((await api.post("/api/deployments/20200101.1/promote", {})).status).toBe(404);
    expect((await api.post("/api/deployments/what/promote", {})).status).toBe(400);
    expect((await api.send("POST", `/api/deployments/${api.deploymentId}/promote`)).status).toBe(400);
  });
});

test("a build whose worker dies is built again", async () => {
  const created = (await upload(api.plane.api, await source())).json;
  const first = await api.worker();
  const [lease] = await first.claim({ kinds: ["build"], wait_ms: 5_000 });
  expect(lease?.kind).toBe("build");
  first.kill();
  await until("the lease is expired", async () => {
    const { default: pg } = await import("pg");
    const client = new pg.Client({ connectionString: api.database.url });
    await client.connect();
    await client.query("update leases set deadline = now() - interval '1 second' where id = $1 and state = 'held'", [lease?.lease_id]);
    await client.end();
    api.plane.parts.engine.hints.send("reconcile:expire-leases");
    return (await api.get(`/api/deployments/${created.id}`)).json.status === "queued";
  });
  expect(await buildWith(await api.worker(), projectIndex())).toBe("deployed");
});
