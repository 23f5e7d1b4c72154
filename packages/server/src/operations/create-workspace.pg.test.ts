import { workspaceCreateBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { createWorkspace } from "./create-workspace.ts";
import { type Engine, eachStep, openEngine, taskDeclaration } from "./engine.fixture.ts";
import { listVersions, listWorkspaces, readVersion, updateWorkspace } from "./read-workspaces.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

const create = (body: object = {}) =>
  createWorkspace(engine.context, engine.scope, workspaceCreateBody.parse({ sandbox_id: "box", ...body }));
const created = async (body: object = {}) => {
  const result = await create(body);
  if (isRefusal(result)) throw new TypeError(result.message);
  return result;
};
const environmentId = () => engine.scope.environmentId;

test("has an empty version from the start", async () => {
  const { workspace } = await created({ metadata: { a: 1 }, tags: ["b"] });
  const versions = await listVersions(engine.context, { environmentId: environmentId(), id: workspace.id, kind: undefined, limit: 10 });
  if (isRefusal(versions)) throw new TypeError("no versions");
  expect(versions).toMatchObject([{ id: workspace.current_version_id, kind: "system", state: "ready", size_bytes: 0 }]);
  expect(await readVersion(engine.context, environmentId(), workspace.id, versions[0]!.id)).toEqual(versions[0]);
  const other = await created();
  expect(await readVersion(engine.context, environmentId(), other.workspace.id, versions[0]!.id)).toMatchObject({ status: 404 });
  expect(await engine.invariants()).toEqual([]);
});

test("sandboxes come from the current or the given deployment", async () => {
  const old = (await engine.one<{ id: string }>("select current_deployment_id as id from environments where id = $1", [environmentId()]))
    .id;
  await engine.deploy({
    tasks: [taskDeclaration("hello", { sandbox: "new" })],
    sandboxes: [{ id: "new", workspacePath: "/workspace", resources: {}, network: { internet: true } }],
  });
  expect(await create()).toMatchObject({ status: 409, code: "sandbox_not_deployed" });
  expect(await create({ deployment_id: old })).toMatchObject({ workspace: { sandbox_id: "box" } });
  expect(await create({ sandbox_id: "new", deployment_id: old })).toMatchObject({ code: "sandbox_not_deployed" });
  expect(await create({ deployment_id: "01980a00-0000-7000-8000-000000000001" })).toMatchObject({ code: "sandbox_not_deployed" });
  await engine.deploy();
});

test("a key gives the same workspace, an external id only one", async () => {
  const first = await created({ idempotency_key: "k", external_id: "repo" });
  expect(await created({ idempotency_key: "k", external_id: "repo" })).toMatchObject({
    cached: true,
    workspace: { id: first.workspace.id },
  });
  expect(await create({ idempotency_key: "k", external_id: "repo", tags: ["x"] })).toMatchObject({
    status: 409,
    code: "idempotency_fingerprint_mismatch",
  });
  expect(await create({ external_id: "repo" })).toMatchObject({ status: 409 });
  await engine.sql("update workspaces set idempotency_expires_at = now() where id = $1", [first.workspace.id]);
  expect(await created({ idempotency_key: "k" })).toMatchObject({ cached: false });
  const race = await Promise.all(Array.from({ length: 5 }, () => create({ external_id: "race" })));
  expect(race.filter((result) => !isRefusal(result))).toHaveLength(1);
});

test("lists and updates", async () => {
  const { workspace } = await created({ external_id: "listed", tags: ["main"] });
  const list = (over: object) =>
    listWorkspaces(engine.context, {
      environmentId: environmentId(),
      state: undefined,
      externalId: undefined,
      tag: undefined,
      limit: 100,
      ...over,
    });
  expect((await list({ externalId: "listed" })).map((row) => row.id)).toEqual([workspace.id]);
  expect((await list({ tag: "main" })).map((row) => row.id)).toEqual([workspace.id]);
  expect(await list({ state: "archived" })).toEqual([]);
  expect((await list({ limit: 1 }))[0]?.id).toBe(workspace.id);
  expect(await updateWorkspace(engine.context, environmentId(), workspace.id, { tags: ["z"] })).toMatchObject({
    tags: ["z"],
    metadata: {},
  });
  expect(await updateWorkspace(engine.context, "01980a00-0000-7000-8000-000000000001", workspace.id, { tags: [] })).toMatchObject({
    status: 404,
  });
});

test("each step may fail: one workspace comes of it", async () => {
  let number = 0;
  await eachStep(engine, {
    setup: async () => `step-${(number += 1)}`,
    act: (key) => created({ idempotency_key: key, external_id: key }),
    check: async (key) => expect(await engine.sql("select 1 from workspaces where external_id = $1", [key])).toHaveLength(1),
  });
});
