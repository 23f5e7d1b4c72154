import { afterAll, beforeAll, expect, test } from "vitest";
import { deleteWorkspace } from "./delete-workspace.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const remove = (id: string, force = false) => deleteWorkspace(engine.context, { environmentId: engine.scope.environmentId, id, force });

test("an idle workspace is archived; twice is the same", async () => {
  const { session, run } = await engine.start();
  await engine.complete((await engine.execute(worker, run.id)).call);
  const first = await remove(session.workspace_id);
  expect(first).toMatchObject({
    pending: false,
    workspace: { state: "archived", desired_state: "archived", archived_at: expect.any(String) },
  });
  expect(await remove(session.workspace_id)).toEqual(first);
  expect(await remove("01980a00-0000-7000-8000-000000000001")).toMatchObject({ status: 404 });
});

test("a busy one is refused without force, in every state of its run", async () => {
  const { session, run } = await engine.start();
  expect(await remove(session.workspace_id)).toMatchObject({ status: 409, code: "workspace_mount_active" });
  const { call } = await engine.execute(worker, run.id);
  expect(await remove(session.workspace_id)).toMatchObject({ code: "workspace_mount_active" });
  expect(await remove(session.workspace_id, true)).toMatchObject({ pending: false, workspace: { state: "archived" } });
  expect(await engine.complete(call)).toEqual({ stale: true });
  expect(await engine.one("select outcome from runs where id = $1", [run.id])).toEqual({ outcome: "cancelled" });
  expect(await engine.invariants()).toEqual([]);
});

test("with a mount of its own it is deleting until that has ended", async () => {
  const { session, run } = await engine.start();
  await engine.complete((await engine.execute(worker, run.id)).call);
  await engine.sql(
    `insert into workspace_mounts (id, org_id, project_id, environment_id, workspace_id, deployment_sandbox_id, fence, state, worker_id)
     select gen_random_uuid(), org_id, project_id, environment_id, id, deployment_sandbox_id, 9, 'mounted', $2 from workspaces where id = $1`,
    [session.workspace_id, worker.workerId],
  );
  expect(await remove(session.workspace_id, true)).toMatchObject({ pending: true, workspace: { state: "deleting" } });
  expect(engine.hinted).toContain(`worker:${worker.workerId}`);
  await engine.sql("update workspace_mounts set state = 'unmounted' where workspace_id = $1", [session.workspace_id]);
  expect(await remove(session.workspace_id, true)).toMatchObject({ pending: false, workspace: { state: "archived" } });
});
