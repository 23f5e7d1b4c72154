import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { restoreVersion } from "./restore-version.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

interface Chain {
  workspaceId: string;
  /** Oldest first; the first one is the empty tree. */
  versions: string[];
}

/** A workspace that a run has left with a tree, twice. */
async function chain(): Promise<Chain> {
  let workspaceId = "";
  for (let turn = 0; turn < 2; turn += 1) {
    const { session, run } = await engine.start(workspaceId === "" ? {} : { workspace_id: workspaceId });
    workspaceId = session.workspace_id;
    await engine.complete((await engine.execute(worker, run.id)).call, undefined, { workspace: engine.captured() });
  }
  const rows = await engine.sql<{ id: string }>("select id from workspace_versions where workspace_id = $1 order by created_at", [
    workspaceId,
  ]);
  return { workspaceId, versions: rows.map(({ id }) => id) };
}

const restore = (workspaceId: string, versionId: string, expected?: string) =>
  restoreVersion(
    engine.context,
    { environmentId: engine.scope.environmentId, id: workspaceId },
    { version_id: versionId, ...(expected === undefined ? {} : { expected_version_id: expected }) },
  );

test("the head becomes a new version with the old content; its artifact is the same", async () => {
  const { workspaceId, versions } = await chain();
  const restored = await restore(workspaceId, versions[1]!, versions[2]);
  assert(!isRefusal(restored) && !restored.unchanged, "It was restored");
  expect(restored.version).toMatchObject({
    parent_version_id: versions[2],
    kind: "user",
    state: "ready",
    message: `restored from version ${versions[1]}`,
  });
  const artifacts = await engine.sql("select distinct artifact_id from workspace_versions where id = any($1)", [
    [versions[1], restored.version.id],
  ]);
  expect(artifacts).toHaveLength(1);
  expect(await engine.one("select current_version_id as id from workspaces where id = $1", [workspaceId])).toEqual({
    id: restored.version.id,
  });
  // The empty tree is one like others.
  expect(await restore(workspaceId, versions[0]!)).toMatchObject({ unchanged: false });
  expect(await engine.invariants()).toEqual([]);
});

test("refused: somebody else's version, one that is gone, a mounted workspace, an archived one", async () => {
  const { workspaceId, versions } = await chain();
  const other = await chain();
  expect(await restore(workspaceId, other.versions[1]!)).toMatchObject({ status: 404 });
  expect(await restore(randomUUID(), versions[1]!)).toMatchObject({ status: 404 });
  await engine.sql("update workspace_versions set state = 'deleted' where id = $1", [versions[1]]);
  expect(await restore(workspaceId, versions[1]!)).toMatchObject({ code: "workspace_version_not_ready" });
  const { run } = await engine.start({ workspace_id: other.workspaceId });
  const { call } = await engine.execute(worker, run.id);
  expect(await restore(other.workspaceId, other.versions[1]!)).toMatchObject({ code: "workspace_mount_active" });
  await engine.complete(call);
  await engine.sql("update workspaces set state = 'archived' where id = $1", [other.workspaceId]);
  expect(await restore(other.workspaceId, other.versions[1]!)).toMatchObject({ code: "workspace_not_active" });
});

test("two at once: one moves the head, the other one sees it moved", async () => {
  const { workspaceId, versions } = await chain();
  const results = await Promise.all([restore(workspaceId, versions[1]!, versions[2]), restore(workspaceId, versions[0]!, versions[2])]);
  expect(results.filter((result) => isRefusal(result))).toMatchObject([{ code: "workspace_head_moved" }]);
});

test("each step may fail; repeating it restores once", async () => {
  const failures = await eachStep(engine, {
    setup: chain,
    act: async ({ workspaceId, versions }) => {
      const result = await restore(workspaceId, versions[1]!);
      assert(!isRefusal(result), JSON.stringify(result));
      return result;
    },
    check: async ({ workspaceId }) => {
      expect(await engine.one("select count(*)::int as count from workspace_versions where workspace_id = $1", [workspaceId])).toEqual({
        count: 4,
      });
    },
  });
  expect(failures).toBeGreaterThan(8);
});
