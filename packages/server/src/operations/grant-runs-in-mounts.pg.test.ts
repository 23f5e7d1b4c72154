import { randomUUID } from "node:crypto";
import type { ClaimRequest, RunLease } from "@helmr/protocol/worker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert, required } from "../assert.ts";
import { mountReconcilers } from "../reconcilers/mount-loops.ts";
import { answerProgramCall } from "./answer-program-call.ts";
import { cancelRun } from "./cancel-run.ts";
import { openClaimDesk } from "./claim-leases.ts";
import { loseMountLease } from "./end-mount.ts";
import { eachStep, failed, succeeded } from "./engine.fixture.ts";
import { explainRun } from "./explain-run.ts";
import { grantRunsInMounts } from "./grant-runs-in-mounts.ts";
import { loseLease } from "./lose-lease.ts";
import { type HeldMount, type Mounts, openMounts } from "./mounts.fixture.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { parkRun } from "./park-run.ts";
import { renewLeases } from "./renew-leases.ts";
import { reportExec } from "./report-exec.ts";
import { startAttempt } from "./start-attempt.ts";
import { stopWorkspace } from "./stop-workspace.ts";

let mounts: Mounts;
beforeAll(async () => {
  mounts = await openMounts();
});
afterAll(() => mounts.engine.close());

const context = () => mounts.engine.context;
const queued = (runId: string) =>
  mounts.engine.one<{ gate: string; mount_id: string | null }>("select gate, mount_id from run_queue where run_id = $1", [runId]);
const workspace = (id: string) =>
  mounts.engine.one<{ current_version_id: string; dirty_state: string; auto_stop_at: string | null }>(
    "select current_version_id, dirty_state, auto_stop_at from workspaces where id = $1",
    [id],
  );
const mount = (id: string) =>
  mounts.engine.one<{ state: string; base_version_id: string }>("select state, base_version_id from workspace_mounts where id = $1", [id]);
const runState = (id: string) => mounts.engine.one<{ state: string }>("select state from runs where id = $1", [id]);

async function inMount(runId: string): Promise<RunLease> {
  const [lease] = await grantRunsInMounts(context(), mounts.worker, [runId]);
  assert(lease?.kind === "run", "The run was not granted");
  return lease;
}

/** A mount, and a run that executes in its machine. */
async function executing(held?: HeldMount) {
  const mounted = held ?? (await mounts.mounted());
  const { run } = await mounts.engine.start({ workspace_id: mounted.workspaceId });
  const lease = await inMount(run.id);
  const call = mounts.engine.call(mounts.worker, lease);
  expect(await startAttempt(context(), call)).toEqual({ state: "started" });
  return { held: mounted, run, lease, call };
}

async function directives(held: HeldMount) {
  const renewed = await renewLeases(context(), mounts.worker, {
    epoch: mounts.worker.epoch,
    leases: [{ leaseId: held.call.leaseId, fence: held.call.fence, activeMs: null, openCalls: [] }],
  });
  return "held" in renewed ? renewed.held[0]?.directives : renewed;
}

const settled = () => context().gates.settled();

describe("a run of a workspace that is mounted", () => {
  test("goes to the worker that holds the mount, and to no other", async () => {
    const held = await mounts.mounted();
    const { run } = await mounts.engine.start({ workspace_id: held.workspaceId });
    expect(await queued(run.id)).toEqual({ gate: "open", mount_id: held.call.mountId });
    expect(await explainRun(context(), run.id)).toMatchObject({
      code: "placement_pending",
      details: { mount_id: held.call.mountId, workspace_id: held.workspaceId },
    });
    const other = await mounts.engine.worker();
    expect(await mounts.engine.lease(other, [run.id])).toEqual([]);
    expect(await grantRunsInMounts(context(), other, [run.id])).toEqual([]);
    const offered = { milliCpu: 64_000, memoryMib: 1_000_000, diskMib: 10_000_000, slots: 16 };
    const free = { group: other.group, free: [offered], restores: [""], limit: 100 };
    expect((await context().dispatch.propose(free)).map((candidate) => candidate.runId)).not.toContain(run.id);
    const lease = await inMount(run.id);
    expect(lease).toMatchObject({
      in_mount: { lease_id: held.call.leaseId },
      needs: { milli_cpu: 0, memory_mib: 0, disk_mib: 0 },
      workspace: { workspace_id: held.workspaceId, mount_id: held.call.mountId },
      checkpoint: null,
    });
    // The same task tree that the mount's machine was booted with.
    expect(lease.task_tree).toEqual(held.lease.task_tree);
    expect(await mounts.engine.invariants()).toEqual([]);
    const call = mounts.engine.call(mounts.worker, lease);
    await startAttempt(context(), call);
    await mounts.engine.complete(call, succeeded);
    await mounts.unmount(held);
  });

  test("commits its tree while the mount lives on, and the next commit follows it", async () => {
    const { held, call } = await executing();
    const exec = await mounts.exec(held.workspaceId);
    expect(exec).toMatchObject({ state: "queued", mount_id: held.call.mountId });
    const captured = mounts.engine.captured();
    assert(captured.status === "captured", "It has a version");
    expect(await mounts.engine.complete(call, succeeded, { workspace: captured })).toEqual({ state: "finished" });
    expect(await workspace(held.workspaceId)).toMatchObject({ current_version_id: captured.version_id, auto_stop_at: null });
    expect(await mount(held.call.mountId)).toEqual({ state: "mounted", base_version_id: captured.version_id });
    // Another run at once, that fails: its tree follows as well.
    const second = await executing(held);
    const next = mounts.engine.captured();
    assert(next.status === "captured", "It has a version");
    expect(await mounts.engine.complete(second.call, failed, { workspace: next })).toEqual({ state: "finished" });
    const ended = { kind: "ended", exit_code: 0, signal: null, reason: "exited", stdout: 0, stderr: 0 } as const;
    const report = { lease_id: held.call.leaseId, fence: held.call.fence, exec_id: exec.id, report: ended };
    expect(await reportExec(context(), mounts.worker, report)).toEqual({ state: "ok" });
    expect((await workspace(held.workspaceId)).auto_stop_at).not.toBeNull();
    await mounts.unmount(held, true);
    const chain = await mounts.engine.sql<{ state: string; parent_version_id: string | null }>(
      "select state, parent_version_id from workspace_versions where workspace_id = $1 order by created_at",
      [held.workspaceId],
    );
    expect(chain.map((version) => version.state)).toEqual(["ready", "ready", "ready", "ready"]);
    expect(chain[2]?.parent_version_id).toBe(captured.version_id);
    expect(chain[3]?.parent_version_id).toBe(next.version_id);
    expect(await mounts.engine.invariants()).toEqual([]);
  });

  test("is given to a claim that has nothing free", async () => {
    const held = await mounts.mounted();
    const { run } = await mounts.engine.start({ workspace_id: held.workspaceId });
    const desk = openClaimDesk(context());
    const request: ClaimRequest = {
      epoch: mounts.worker.epoch,
      free: { milli_cpu: 0, memory_mib: 0, disk_mib: 0, slots: 0 },
      warm: { images: [], workspaces: [], checkpoints: [] },
      kinds: ["run", "build", "mount"],
      held: [held.call.leaseId],
      wait_ms: 20_000,
    };
    const answered = await desk.claim(mounts.worker, request, new AbortController().signal);
    expect(answered).toMatchObject([{ kind: "run", run: { id: run.id }, in_mount: { lease_id: held.call.leaseId } }]);
    desk.close();
    assert(Array.isArray(answered) && answered[0]?.kind === "run", "A run was granted");
    const call = mounts.engine.call(mounts.worker, answered[0]);
    await startAttempt(context(), call);
    await mounts.engine.complete(call, succeeded);
    await mounts.unmount(held);
  });

  test("each step of its life may fail and be repeated", async () => {
    await eachStep<{ held: HeldMount; runId: string; version: string }>(mounts.engine, {
      setup: async () => {
        const held = await mounts.mounted();
        const { run } = await mounts.engine.start({ workspace_id: held.workspaceId });
        return { held, runId: run.id, version: randomUUID() };
      },
      act: async ({ runId, version }) => {
        await grantRunsInMounts(context(), mounts.worker, [runId]);
        const {
          lease_id: leaseId,
          fence,
          attempt_id: attemptId,
        } = await mounts.engine.one<{ lease_id: string; fence: number; attempt_id: string }>(
          "select id as lease_id, fence::int, attempt_id from leases where run_id = $1",
          [runId],
        );
        const call = { worker: mounts.worker, runId, leaseId, fence, attemptId };
        await startAttempt(context(), call);
        const captured = { ...mounts.engine.captured(), version_id: version } as ReturnType<Mounts["engine"]["captured"]>;
        return mounts.engine.complete(call, succeeded, { workspace: captured });
      },
      check: async ({ held, version }, result) => {
        expect(result).toEqual({ state: "finished" });
        expect(await mount(held.call.mountId)).toEqual({ state: "mounted", base_version_id: version });
      },
    });
  });
});

describe("a mount and its run part", () => {
  test("a stop waits for the run, and nobody else gets in meanwhile", async () => {
    const { held, run, call } = await executing();
    const body = {};
    const stopped = await stopWorkspace(context(), { environmentId: mounts.engine.scope.environmentId, id: held.workspaceId, body });
    expect(stopped).toMatchObject({ mount: { state: "mounted" } });
    expect(await directives(held)).toEqual([]);
    expect((await runState(run.id)).state).toBe("executing");
    await mounts.engine.complete(call, succeeded, { workspace: mounts.engine.captured() });
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "unmounting" });
    expect(await directives(held)).toMatchObject([{ type: "unmount" }]);
    const next = await mounts.engine.start({ workspace_id: held.workspaceId });
    expect(await queued(next.run.id)).toEqual({ gate: "workspace", mount_id: null });
    await mounts.unmount(held);
    await settled();
    expect(await queued(next.run.id)).toEqual({ gate: "open", mount_id: null });
    const own = await mounts.engine.execute(mounts.worker, next.run.id);
    expect(own.lease.in_mount).toBeUndefined();
    await mounts.engine.complete(own.call, succeeded);
  });

  test("a run that was lost takes the machine with it: its program may still be there", async () => {
    const { held, run, lease } = await executing();
    expect(await loseLease(context(), { id: lease.lease_id, kind: "run" }, "fenced")).toBe(true);
    await settled();
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "unmounting" });
    expect((await runState(run.id)).state).toBe("finished");
    expect(await workspace(held.workspaceId)).toMatchObject({ dirty_state: "dirty" });
    await mounts.unmount(held, true);
    expect(await workspace(held.workspaceId)).toMatchObject({ dirty_state: "clean" });
  });

  test("one that had not begun is given to the same machine again", async () => {
    const held = await mounts.mounted();
    const { run } = await mounts.engine.start({ workspace_id: held.workspaceId });
    const lease = await inMount(run.id);
    expect(await loseLease(context(), { id: lease.lease_id, kind: "run" }, "fenced")).toBe(true);
    await settled();
    expect(await queued(run.id)).toEqual({ gate: "open", mount_id: held.call.mountId });
    const call = mounts.engine.call(mounts.worker, await inMount(run.id));
    await startAttempt(context(), call);
    await mounts.engine.complete(call, succeeded);
    await mounts.unmount(held);
  });

  test("a mount that is lost, or stops, sends the run that was on its way to a machine of its own", async () => {
    const lost = await mounts.mounted();
    const first = await mounts.engine.start({ workspace_id: lost.workspaceId });
    await loseMountLease(context(), lost.call.leaseId, "fenced");
    await settled();
    expect(await grantRunsInMounts(context(), mounts.worker, [first.run.id])).toEqual([]);
    expect(await queued(first.run.id)).toEqual({ gate: "open", mount_id: null });
    const own = await mounts.engine.execute(mounts.worker, first.run.id);
    await mounts.engine.complete(own.call, succeeded);
    const stopping = await mounts.mounted();
    const second = await mounts.engine.start({ workspace_id: stopping.workspaceId });
    await stopWorkspace(context(), { environmentId: mounts.engine.scope.environmentId, id: stopping.workspaceId, body: {} });
    expect(await grantRunsInMounts(context(), mounts.worker, [second.run.id])).toEqual([]);
    expect(await context().gates.admitWorkspace(stopping.workspaceId)).toBe(0);
    expect(await queued(second.run.id)).toEqual({ gate: "workspace", mount_id: null });
    await mounts.unmount(stopping);
    await settled();
    const next = await mounts.engine.execute(mounts.worker, second.run.id);
    await mounts.engine.complete(next.call, succeeded);
  });

  test("a mount that was lost under its run keeps what the run says aside", async () => {
    const { held, call } = await executing();
    await loseMountLease(context(), held.call.leaseId, "fenced");
    const head = await workspace(held.workspaceId);
    await mounts.engine.complete(call, succeeded, { workspace: mounts.engine.captured() });
    expect((await workspace(held.workspaceId)).current_version_id).toBe(head.current_version_id);
    const [aside] = await mounts.engine.sql("select state from workspace_versions where workspace_id = $1 and state = 'failed'", [
      held.workspaceId,
    ]);
    expect(aside).toEqual({ state: "failed" });
  });

  test("is not idle while a run is in it", async () => {
    const { held, call } = await executing();
    await mounts.engine.sql("update workspaces set auto_stop_at = now() - interval '1 second' where id = $1", [held.workspaceId]);
    await required(mountReconcilers(context())[0], "It stops idle mounts").run();
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "mounted" });
    expect((await workspace(held.workspaceId)).auto_stop_at).not.toBeNull();
    await mounts.engine.complete(call, succeeded);
    await mounts.unmount(held);
  });
});

describe("a run that waits in the machine of a mount", () => {
  async function waiting() {
    const at = await executing();
    const call = { kind: "wait", on: { kind: "timer", delay_ms: 600_000 }, parkable: true } as const;
    const answer = await answerProgramCall(context(), at.call, { callId: 1, call });
    assert("state" in answer && answer.state === "waiting", "The wait is open");
    return { ...at, request: parkRequest(mounts.engine.scope.orgId, answer.waitId) };
  }

  test("parks with the mount: both leases end, the workspace is free, and it comes back in a machine of its own", async () => {
    const { held, run, call, request } = await waiting();
    expect(await parkRun(context(), call, request)).toEqual({ state: "parked" });
    // The answer was lost.
    expect(await parkRun(context(), call, request)).toEqual({ state: "parked" });
    expect(await mounts.state(held.call.mountId)).toEqual({ state: "unmounted" });
    expect(await mounts.engine.sql("select state from leases where id = any($1)", [[held.call.leaseId, call.leaseId]])).toEqual([
      { state: "released" },
      { state: "released" },
    ]);
    assert(request.workspace.status === "captured", "It has a version");
    expect(await workspace(held.workspaceId)).toMatchObject({ current_version_id: request.workspace.version_id });
    expect(await mounts.engine.invariants()).toEqual([]);
    await cancelRun(context(), { environmentId: mounts.engine.scope.environmentId, runId: run.id, body: { force: true } });
    expect((await runState(run.id)).state).toBe("finished");
  });

  test("is refused while somebody works beside it", async () => {
    const { held, call, request } = await waiting();
    await mounts.exec(held.workspaceId);
    expect(await parkRun(context(), call, request)).toMatchObject({ state: "refused" });
    await mounts.engine.complete(call, succeeded);
    await mounts.unmount(held);
  });
});

test("a run of another deployment has the mount captured at once, and what is open in it ends with the reason", async () => {
  const held = await mounts.mounted();
  const terminal = await mounts.pty(held.workspaceId);
  await mounts.engine.deploy();
  const { run } = await mounts.engine.start({ workspace_id: held.workspaceId });
  expect(await mounts.state(held.call.mountId)).toEqual({ state: "unmounting" });
  expect(await directives(held)).toContainEqual({ type: "unmount", lease_id: held.call.leaseId });
  const ended = { kind: "ended", exit_code: null, signal: "SIGTERM", reason: "stopped", stdout: 0, stderr: 0 } as const;
  const report = { lease_id: held.call.leaseId, fence: held.call.fence, exec_id: terminal.id, report: ended };
  expect(await reportExec(context(), mounts.worker, report)).toEqual({ state: "ok" });
  expect(await mounts.engine.one("select state, error from workspace_execs where id = $1", [terminal.id])).toEqual({
    state: "closed",
    error: { message: "the workspace was unmounted: a run needed the workspace in a machine of its own", reason: "stopped" },
  });
  await mounts.unmount(held, true);
  await settled();
  const { call } = await mounts.engine.execute(mounts.worker, run.id);
  await mounts.engine.complete(call, succeeded);
  // The next mount is like the machine of that run: its next run may use it.
  const again = await mounts.mounted(held.workspaceId);
  const next = await executing(again);
  await mounts.engine.complete(next.call, succeeded);
  await mounts.unmount(again);
});
