import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { commitCapture } from "./commit-capture.ts";
import { eachStep } from "./engine.fixture.ts";
import { type Mounts, openMounts } from "./mounts.fixture.ts";

let mounts: Mounts;
beforeAll(async () => {
  mounts = await openMounts();
});
afterAll(() => mounts.engine.close());

function tree(versionId: string = randomUUID(), message: string | null = null) {
  const made = mounts.engine.captured();
  assert(made.status === "captured", "The fixture makes a tree");
  return { versionId, artifact: made.artifact, sizeBytes: made.size_bytes, entryCount: made.entry_count, message };
}

const head = async (workspaceId: string) =>
  (await mounts.engine.one<{ id: string }>("select current_version_id as id from workspaces where id = $1", [workspaceId])).id;

test("by the holder of the mount only, once; a repeat is answered after the mount has ended, too", async () => {
  const held = await mounts.mounted();
  const { context } = mounts.engine;
  const made = tree();
  expect(await commitCapture(context, { ...held.call, fence: held.call.fence + 1 }, made)).toMatchObject({ stale: true });
  expect(await commitCapture(context, held.call, made)).toEqual({ state: "captured" });
  expect(await commitCapture(context, held.call, made)).toEqual({ state: "captured" });
  expect(await commitCapture(context, held.call, tree(made.versionId))).toEqual({ state: "taken" });
  const wrong = tree();
  expect(await commitCapture(context, held.call, { ...wrong, artifact: { ...wrong.artifact, manifest_key: "elsewhere" } })).toMatchObject({
    status: 400,
  });
  await mounts.exec(held.workspaceId);
  expect(await commitCapture(context, held.call, tree())).toEqual({ state: "captured" });
  const dirty = await mounts.engine.one("select dirty_state from workspaces where id = $1", [held.workspaceId]);
  expect(dirty).toEqual({ dirty_state: "dirty" });
  await mounts.unmount(held);
  expect(await commitCapture(context, held.call, made)).toEqual({ state: "captured" });
  expect(await commitCapture(context, held.call, tree())).toMatchObject({ stale: true });
});

test("of the machine that a run brought; the run's own tree follows it", async () => {
  const { engine } = mounts;
  const { session, run } = await engine.start();
  const { call } = await engine.execute(mounts.worker, run.id);
  const mount = await engine.one<{ id: string; lease_id: string }>(
    "select id, lease_id from workspace_mounts where workspace_id = $1 and state = 'mounted'",
    [session.workspace_id],
  );
  assert(mount, "An executing run has its workspace mounted");
  const holder = { worker: mounts.worker, mountId: mount.id, leaseId: call.leaseId, fence: call.fence };
  const made = tree();
  expect(await commitCapture(engine.context, holder, made)).toEqual({ state: "captured" });
  await engine.complete(call, undefined, { workspace: engine.captured() });
  const last = await engine.one("select state, parent_version_id from workspace_versions where id = $1", [
    await head(session.workspace_id),
  ]);
  expect(last).toEqual({ state: "ready", parent_version_id: made.versionId });
  expect(await engine.invariants()).toEqual([]);
});

test("each step may fail; repeating it makes one version", async () => {
  const failures = await eachStep(mounts.engine, {
    setup: async () => ({ held: await mounts.mounted(), made: tree() }),
    act: async ({ held, made }) => {
      const committed = await commitCapture(mounts.engine.context, held.call, made);
      expect(committed).toEqual({ state: "captured" });
      return committed;
    },
    check: async ({ held }) => {
      const rows = await mounts.engine.sql("select id from workspace_versions where workspace_id = $1", [held.workspaceId]);
      expect(rows).toHaveLength(2);
      await mounts.unmount(held);
    },
  });
  expect(failures).toBeGreaterThan(8);
});
