import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { mountReconcilers } from "../reconcilers/mount-loops.ts";
import { newArtifact, eachStep, succeeded } from "./engine.fixture.ts";
import { deleteWorkspace } from "./delete-workspace.ts";
import { endMount, loseMountLease, readyMount } from "./end-mount.ts";
import { materializeWorkspace } from "./materialize-workspace.ts";
import { type HeldMount, type Mounts, openMounts } from "./mounts.fixture.ts";
import { renewLeases } from "./renew-leases.ts";
import { stopWorkspace } from "./stop-workspace.ts";

let mounts: Mounts;
beforeAll(async () => {
  mounts = await openMounts();
});
afterAll(() => mounts.engine.close());

const environmentId = () => mounts.engine.scope.environmentId;
const materialize = (id: string) => materializeWorkspace(mounts.engine.context, environmentId(), id);
const stop = (id: string, key?: string) =>
  stopWorkspace(mounts.engine.context, { environmentId: environmentId(), id, body: key === undefined ? {} : { idempotency_key: key } });
const head = (id: string) =>
  mounts.engine.one<{ current_version_id: string; dirty_state: string; auto_stop_at: string | null }>(
    "select current_version_id, dirty_state, auto_stop_at from workspaces where id = $1",
    [id],
  );
const loop = (name: string) => mountReconcilers(mounts.engine.context).find((one) => one.name === name)!;

describe("materializeWorkspace()", () => {
  test("makes one mount, which the next call finds, and a worker takes it", async () => {
    const id = await mounts.workspace();
    const first = await materialize(id);
    const again = await materialize(id);
    expect(first).toMatchObject({ created: true, mount: { state: "requested", claim_attempt: 0, workspace_id: id } });
    expect(again).toMatchObject({ created: false, mount: { id: !isRefusal(first) && first.mount.id } });
    const held = await mounts.claim();
    expect(held).toMatchObject({
      workspaceId: id,
      lease: { image: { ref: "helmr/node:24" }, workspace: { base: null, mount_path: "/workspace" } },
    });
    expect(await mounts.claim()).toBeUndefined();
    expect(await readyMount(mounts.engine.context, held!.call)).toEqual({ state: "mounted" });
    // Idle from now on.
    expect((await head(id)).auto_stop_at).not.toBeNull();
    await mounts.unmount(held!);
  });

  test("refuses what is not there and what is not active", async () => {
    expect(await materialize("01980a00-0000-7000-8000-000000000001")).toMatchObject({ status: 404 });
    const id = await mounts.workspace();
    await deleteWorkspace(mounts.engine.context, { environmentId: environmentId(), id, force: false });
    expect(await materialize(id)).toMatchObject({ code: "workspace_not_active" });
  });
});

describe("stopWorkspace()", () => {
  test("before a worker took it: over at once", async () => {
    const id = await mounts.workspace();
    await materialize(id);
    expect(await stop(id)).toMatchObject({ mount: { state: "unmounted" } });
    expect(await stop(id)).toEqual({ mount: undefined });
    expect(await mounts.claim()).toBeUndefined();
  });

  test("tells the holder with every renewal; the captured tree becomes the head", async () => {
    const held = await mounts.mounted();
    const before = await head(held.workspaceId);
    expect(await stop(held.workspaceId)).toMatchObject({ mount: { state: "unmounting" } });
    const renewed = await renewLeases(mounts.engine.context, mounts.worker, {
      epoch: mounts.worker.epoch,
      leases: [{ leaseId: held.call.leaseId, fence: held.call.fence, activeMs: null, openCalls: [] }],
    });
    expect(renewed).toMatchObject({ held: [{ directives: [{ type: "unmount", lease_id: held.call.leaseId }] }] });
    expect(await mounts.unmount(held, true)).toEqual({ state: "unmounted" });
    const after = await head(held.workspaceId);
    expect(after.current_version_id).not.toBe(before.current_version_id);
    expect(after).toMatchObject({ dirty_state: "clean", auto_stop_at: null });
    expect(await mounts.engine.invariants()).toEqual([]);
  });

  test("with a key is carried out once", async () => {
    const held = await mounts.mounted();
    expect(await stop(held.workspaceId, "k")).toMatchObject({ mount: { id: held.call.mountId, state: "unmounting" } });
    await mounts.unmount(held);
    const next = await mounts.mounted(held.workspaceId);
    expect(await stop(held.workspaceId, "k")).toMatchObject({ mount: { id: held.call.mountId, state: "unmounted" } });
    expect(await mounts.state(next.call.mountId)).toEqual({ state: "mounted" });
    await mounts.unmount(next);
  });
});

describe("endMount()", () => {
  test("a tree that cannot be had, a machine that did not come up", async () => {
    const held = await mounts.mounted();
    const failed = { status: "failed" as const, reason: "monitor_died", message: "gone" };
    expect(
      await endMount(mounts.engine.context, held.call, { end: failed, workspace: { status: "capture_failed", message: "no" } }),
    ).toEqual({
      state: "failed",
    });
    expect(await head(held.workspaceId)).toMatchObject({ dirty_state: "capture_failed" });
    expect(await mounts.engine.one("select error from workspace_mounts where id = $1", [held.call.mountId])).toEqual({
      error: { reason: "monitor_died", message: "gone" },
    });
  });

  test("a foreign artifact is refused, and nothing has changed", async () => {
    const held = await mounts.mounted();
    const artifact = newArtifact("01980a00-0000-7000-8000-000000000001");
    const workspace = { ...mounts.engine.captured(), artifact } as Parameters<typeof endMount>[2]["workspace"];
    expect(await endMount(mounts.engine.context, held.call, { end: { status: "unmounted" }, workspace })).toMatchObject({ status: 400 });
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "mounted" });
    await mounts.unmount(held);
  });

  test("each step may fail and be repeated: one version, the lease given back", { timeout: 90_000 }, async () => {
    let workspace = mounts.engine.captured();
    const failures = await eachStep<HeldMount>(mounts.engine, {
      setup: async () => {
        workspace = mounts.engine.captured();
        return mounts.mounted();
      },
      act: async (held) => endMount(mounts.engine.context, held.call, { end: { status: "unmounted" }, workspace }),
      check: async (held, result) => {
        expect(result).toEqual({ state: "unmounted" });
        const versions = await mounts.engine.sql("select id from workspace_versions where workspace_id = $1", [held.workspaceId]);
        expect(versions).toHaveLength(2);
        expect(await mounts.engine.one("select state from leases where id = $1", [held.call.leaseId])).toEqual({ state: "released" });
      },
    });
    expect(failures).toBeGreaterThan(5);
  });
});

describe("loseMountLease()", () => {
  test("the mount is lost with what was written, its execs too; the holder is stale from then on", async () => {
    const held = await mounts.mounted();
    const exec = await mounts.exec(held.workspaceId);
    expect(await loseMountLease(mounts.engine.context, held.call.leaseId, "fenced")).toBe(true);
    expect(await loseMountLease(mounts.engine.context, held.call.leaseId, "fenced")).toBe(false);
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "lost" });
    expect(await head(held.workspaceId)).toMatchObject({ dirty_state: "dirty_state_lost" });
    expect(await mounts.engine.one("select state from workspace_execs where id = $1", [exec.id])).toEqual({ state: "lost" });
    expect(await mounts.unmount(held)).toEqual({ stale: true });
    expect(await readyMount(mounts.engine.context, held.call)).toEqual({ stale: true });
    expect(await mounts.engine.invariants()).toEqual([]);
  });
});

describe("a mount and a run of the same workspace", () => {
  test("an exec runs in the machine of a run, and ends with it", async () => {
    const id = await mounts.workspace();
    const { run } = await mounts.engine.start({ workspace_id: id });
    const { call } = await mounts.engine.execute(mounts.worker, run.id);
    const exec = await mounts.exec(id);
    expect(exec).toMatchObject({ state: "queued" });
    await mounts.engine.complete(call, succeeded);
    await loop("settle-execs").run();
    expect(await mounts.engine.one("select state from workspace_execs where id = $1", [exec.id])).toEqual({ state: "lost" });
  });

  test("an exec that came before the run's machine was up is bound to it", async () => {
    const id = await mounts.workspace();
    const { run } = await mounts.engine.start({ workspace_id: id });
    const exec = await mounts.exec(id);
    expect(exec).toMatchObject({ state: "materializing", mount_id: null });
    const { call } = await mounts.engine.execute(mounts.worker, run.id);
    expect(await mounts.engine.one("select state, number from workspace_execs where id = $1", [exec.id])).toEqual({
      state: "queued",
      number: 1,
    });
    await mounts.engine.complete(call, succeeded);
  });

  test("an exec that waits when a mount ends gets a mount of its own", async () => {
    const held = await mounts.mounted();
    await stop(held.workspaceId);
    const exec = await mounts.exec(held.workspaceId);
    expect(exec).toMatchObject({ state: "materializing", mount_id: null });
    await mounts.unmount(held);
    const next = await mounts.claim();
    expect(next?.workspaceId).toBe(held.workspaceId);
    await readyMount(mounts.engine.context, next!.call);
    expect(await mounts.engine.one("select mount_id from workspace_execs where id = $1", [exec.id])).toEqual({
      mount_id: next!.call.mountId,
    });
    await mounts.unmount(next!);
  });
});

describe("the loops", () => {
  test("stop an idle mount when its time has come, and no other", async () => {
    const idle = await mounts.mounted();
    const busy = await mounts.mounted();
    await mounts.exec(busy.workspaceId);
    await mounts.engine.sql("update workspaces set auto_stop_at = now() - interval '1 second' where id = $1", [idle.workspaceId]);
    expect(await loop("stop-idle-mounts").nextDueMs!()).toBeLessThanOrEqual(0);
    await loop("stop-idle-mounts").run();
    expect(await mounts.state(idle.call.mountId)).toEqual({ state: "unmounting" });
    expect(await mounts.state(busy.call.mountId)).toEqual({ state: "mounted" });
    await Promise.all([mounts.unmount(idle), mounts.unmount(busy)]);
  });

  test("give a mount to an exec that nothing brings one", async () => {
    const id = await mounts.workspace();
    const exec = await mounts.exec(id);
    await mounts.engine.sql("delete from workspace_mounts where workspace_id = $1", [id]);
    await loop("settle-execs").run();
    const held = await mounts.claim();
    expect(held?.workspaceId).toBe(id);
    await readyMount(mounts.engine.context, held!.call);
    await mounts.engine.sql("update workspace_execs set mount_id = null, number = null where id = $1", [exec.id]);
    await loop("settle-execs").run();
    expect(await mounts.engine.one("select mount_id from workspace_execs where id = $1", [exec.id])).toEqual({
      mount_id: held!.call.mountId,
    });
    await mounts.unmount(held!);
  });

  test("forced deletion asks the holder to unmount", async () => {
    const held = await mounts.mounted();
    const first = await deleteWorkspace(mounts.engine.context, { environmentId: environmentId(), id: held.workspaceId, force: true });
    expect(first).toMatchObject({ pending: true });
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "unmounting" });
    await mounts.unmount(held, true);
    expect(
      await deleteWorkspace(mounts.engine.context, { environmentId: environmentId(), id: held.workspaceId, force: true }),
    ).toMatchObject({
      pending: false,
    });
  });
});
