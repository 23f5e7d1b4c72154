import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { deleteWorkspace } from "./delete-workspace.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";
import { forkWorkspace } from "./fork-workspace.ts";
import { removeDeletedWorkspaces, retireVersions } from "./retire-versions.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

/** A workspace with versions of these ages in days, oldest first; the first one is the empty tree. */
async function aged(...days: number[]): Promise<{ workspaceId: string; versions: string[] }> {
  let workspaceId: string | undefined;
  for (const _ of days) {
    const { session, run } = await engine.start(workspaceId === undefined ? {} : { workspace_id: workspaceId });
    workspaceId = session.workspace_id;
    await engine.complete((await engine.execute(worker, run.id)).call, undefined, { workspace: engine.captured() });
  }
  const rows = await engine.sql<{ id: string }>("select id from workspace_versions where workspace_id = $1 order by created_at, id", [
    workspaceId,
  ]);
  const versions = rows.map(({ id }) => id);
  for (const [index, age] of [1_000, ...days].entries())
    await engine.sql("update workspace_versions set created_at = now() - $2 * interval '1 day' where id = $1", [versions[index], age]);
  return { workspaceId: workspaceId as string, versions };
}

const rules = { versionsKeptMs: 30 * 86_400_000, failedVersionsKeptMs: 7 * 86_400_000, versionsKeptMin: 2 };
const states = async (versions: string[]) => {
  const rows = await engine.sql<{ id: string; state: string; kept: boolean }>(
    "select id, state, artifact_id is not null as kept from workspace_versions where id = any($1)",
    [versions],
  );
  return versions.map((id) => rows.find((row) => row.id === id)).map((row) => (row?.kept ? row.state : `${row?.state} without content`));
};

test("old versions let go of their content; the newest, the head, the explicit and the recently failed ones do not", async () => {
  const { workspaceId, versions } = await aged(100, 90, 80, 70, 60);
  await engine.sql("update workspace_versions set kind = 'user' where id = $1", [versions[2]]);
  await engine.sql("update workspace_versions set state = 'failed' where id = $1", [versions[4]]);
  await retireVersions(engine.context, rules, 2);
  expect(await states(versions)).toEqual([
    "ready without content",
    "deleted without content",
    "ready",
    "ready",
    "deleted without content",
    "ready",
  ]);
  expect(await engine.one("select current_version_id as head from workspaces where id = $1", [workspaceId])).toEqual({ head: versions[5] });
  expect(await engine.invariants()).toEqual([]);
  expect(await retireVersions(engine.context, rules)).toMatchObject({ changed: 0 });
});

test("what a live mount began from stays", async () => {
  const { workspaceId, versions } = await aged(100, 90, 80, 70);
  const { run } = await engine.start({ workspace_id: workspaceId });
  const { call } = await engine.execute(worker, run.id);
  await engine.sql("update workspace_mounts set base_version_id = $2 where workspace_id = $1 and state = 'mounted'", [
    workspaceId,
    versions[1],
  ]);
  await retireVersions(engine.context, rules);
  expect((await states(versions))[1]).toBe("ready");
  await engine.complete(call);
  await retireVersions(engine.context, rules);
  expect((await states(versions))[1]).toBe("deleted without content");
});

test("a deleted workspace is kept a while, then loses its versions; a fork of it keeps its own", async () => {
  const { workspaceId, versions } = await aged(3, 2, 1);
  const at = { environmentId: engine.scope.environmentId, id: workspaceId };
  const forked = await forkWorkspace(engine.context, at, { metadata: {}, tags: [] });
  assert(!isRefusal(forked), "It was forked");
  await deleteWorkspace(engine.context, { ...at, force: false });
  await removeDeletedWorkspaces(engine.context);
  expect(await states(versions)).not.toContain("undefined without content");
  await removeDeletedWorkspaces(engine.context, { keptMs: 0 });
  expect(
    await engine.one("select state, deleted_at is not null as gone, current_version_id from workspaces where id = $1", [workspaceId]),
  ).toEqual({
    state: "deleted",
    gone: true,
    current_version_id: null,
  });
  expect(await engine.sql("select id from workspace_versions where workspace_id = $1", [workspaceId])).toEqual([]);
  expect(await states([forked.workspace.current_version_id as string])).toEqual(["ready"]);
  expect(await deleteWorkspace(engine.context, { ...at, force: true })).toMatchObject({ workspace: { state: "deleted" }, pending: false });
  expect(await removeDeletedWorkspaces(engine.context, { keptMs: 0 })).toMatchObject({ changed: 0 });
});
