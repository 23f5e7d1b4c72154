import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { deleteWorkspace } from "./delete-workspace.ts";
import { type Engine, eachStep, openEngine, type TestWorker } from "./engine.fixture.ts";
import { forkWorkspace } from "./fork-workspace.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

async function origin(): Promise<{ workspaceId: string; head: string; empty: string }> {
  const { session, run } = await engine.start();
  await engine.complete((await engine.execute(worker, run.id)).call, undefined, { workspace: engine.captured() });
  const [head, empty] = await engine.sql<{ id: string }>(
    "select id from workspace_versions where workspace_id = $1 order by created_at desc",
    [session.workspace_id],
  );
  return { workspaceId: session.workspace_id, head: head!.id, empty: empty!.id };
}

type ForkOptions = { version_id?: string; external_id?: string; idempotency_key?: string };
const fork = (workspaceId: string, body: ForkOptions = {}) =>
  forkWorkspace(engine.context, { environmentId: engine.scope.environmentId, id: workspaceId }, { metadata: {}, tags: [], ...body });

test("of the head, of an old version, of an archived workspace; both go on by themselves", async () => {
  const { workspaceId, head, empty } = await origin();
  for (const version_id of [undefined, head, empty]) {
    const forked = await fork(workspaceId, version_id === undefined ? {} : { version_id });
    assert(!isRefusal(forked), JSON.stringify(forked));
    const [own] = await engine.sql(
      "select artifact_id, content_digest, size_bytes, entry_count, state from workspace_versions where id = $1",
      [forked.workspace.current_version_id],
    );
    expect([own]).toEqual(
      await engine.sql("select artifact_id, content_digest, size_bytes, entry_count, state from workspace_versions where id = $1", [
        version_id ?? head,
      ]),
    );
  }
  await deleteWorkspace(engine.context, { environmentId: engine.scope.environmentId, id: workspaceId, force: false });
  const late = await fork(workspaceId);
  assert(!isRefusal(late), JSON.stringify(late));
  const { run } = await engine.start({ workspace_id: late.workspace.id });
  await engine.complete((await engine.execute(worker, run.id)).call, undefined, { workspace: engine.captured() });
  expect(await engine.invariants()).toEqual([]);
});

test("a tree that was set aside can be forked; what is gone cannot", async () => {
  const { workspaceId, head } = await origin();
  await engine.sql("update workspace_versions set state = 'failed', promoted_at = null where id = $1", [head]);
  expect(await fork(workspaceId, { version_id: head })).toMatchObject({ workspace: { state: "active" } });
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [head]);
  expect(await fork(workspaceId, { version_id: head })).toMatchObject({ code: "workspace_version_not_ready" });
  expect(await fork(workspaceId, { version_id: randomUUID() })).toMatchObject({ status: 404 });
  expect(await fork(randomUUID())).toMatchObject({ status: 404 });
  await engine.sql("update workspace_versions set state = 'ready', promoted_at = now() where id = $1", [head]);
});

test("a key is used once, also by two at once; an external id too", async () => {
  const { workspaceId } = await origin();
  const body = { idempotency_key: randomUUID(), external_id: randomUUID() };
  const both = await Promise.all([fork(workspaceId, body), fork(workspaceId, body)]);
  expect(new Set(both.map((result) => !isRefusal(result) && result.workspace.id)).size).toBe(1);
  expect(both.filter((result) => !isRefusal(result) && result.cached)).toHaveLength(1);
  expect(await fork(workspaceId, { external_id: body.external_id })).toMatchObject({ status: 409 });
  expect(await fork(workspaceId, { idempotency_key: body.idempotency_key })).toMatchObject({ code: "idempotency_fingerprint_mismatch" });
});

test("each step may fail; repeating it with its key forks once", async () => {
  const failures = await eachStep(engine, {
    setup: async () => ({ ...(await origin()), key: randomUUID() }),
    act: ({ workspaceId, key }) => fork(workspaceId, { idempotency_key: key }),
    check: async ({ workspaceId }, result) => {
      assert(typeof result === "object" && result !== null && !isRefusal(result), JSON.stringify(result));
      const made = await engine.one("select count(*)::int as count from workspace_versions where message like $1", [
        `forked from workspace ${workspaceId}%`,
      ]);
      expect(made).toEqual({ count: 1 });
    },
  });
  expect(failures).toBeGreaterThan(8);
});
