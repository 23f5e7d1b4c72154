/** For tests of mounts and of what runs in them: an engine with their hooks, a workspace, and a worker that takes the mount. */
import type { MountLease } from "@helmr/protocol/worker";
import { assert, required } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { isStale } from "../worker-actor.ts";
import { createWorkspace } from "./create-workspace.ts";
import { endMount, readyMount } from "./end-mount.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";
import { grantMountLeases } from "./grant-mount-leases.ts";
import { materializeWorkspace } from "./materialize-workspace.ts";
import { mountHooks } from "./mount-hooks.ts";
import { newExec, newPty, startExec } from "./start-exec.ts";

export interface HeldMount {
  workspaceId: string;
  lease: MountLease;
  call: { worker: TestWorker; mountId: string; leaseId: string; fence: number };
}

const plenty = { milliCpu: 64_000, memoryMib: 1_000_000, diskMib: 10_000_000 };

export async function openMounts() {
  const engine: Engine = await openEngine(mountHooks(() => engine.context));
  await engine.deploy();
  const worker = await engine.worker();
  const { context, scope } = engine;

  async function workspace(): Promise<string> {
    const body = { sandbox_id: "box", metadata: {}, tags: [] };
    const created = await createWorkspace(context, scope, body);
    assert(!isRefusal(created), "The workspace was refused");
    return created.workspace.id;
  }

  /** The oldest mount that waits, taken by the worker. */
  async function claim(): Promise<HeldMount | undefined> {
    const [lease] = await grantMountLeases(context, worker, plenty);
    if (lease?.kind !== "mount") return undefined;
    const call = { worker, mountId: lease.workspace.mount_id, leaseId: lease.lease_id, fence: lease.fence };
    return { workspaceId: lease.workspace.workspace_id, lease, call };
  }

  return {
    engine,
    worker,
    workspace,
    claim,
    /** Mounted and ready. */
    async mounted(workspaceId?: string): Promise<HeldMount> {
      const id = workspaceId ?? (await workspace());
      const ensured = await materializeWorkspace(context, scope.environmentId, id);
      assert(!isRefusal(ensured), "The mount was refused");
      const held = required(await claim(), "A requested mount is granted");
      assert(held.workspaceId === id, "Another mount was waiting");
      const ready = await readyMount(context, held.call);
      assert(!isStale(ready), "The mount was taken away");
      return held;
    },
    async exec(workspaceId: string, over: Partial<Parameters<typeof newExec>[2]> = {}) {
      const started = await startExec(context, newExec(scope.environmentId, workspaceId, { command: ["true"], detached: false, ...over }));
      assert(!isRefusal(started), `The exec was refused: ${JSON.stringify(started)}`);
      return started.exec;
    },
    async pty(workspaceId: string) {
      const started = await startExec(context, newPty(scope.environmentId, workspaceId, { cols: 80, rows: 24 }));
      assert(!isRefusal(started), "The terminal was refused");
      return started.exec;
    },
    unmount: (held: HeldMount, captured = false) =>
      endMount(context, held.call, {
        end: { status: "unmounted" },
        workspace: captured ? engine.captured() : { status: "unchanged" },
      }),
    state: (mountId: string) => engine.one<{ state: string }>("select state from workspace_mounts where id = $1", [mountId]),
  };
}

export type Mounts = Awaited<ReturnType<typeof openMounts>>;
