import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { MountLease, RunLease, StorageKeys } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { HeldLease } from "../control/held-lease.ts";
import { Run } from "../run/run.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import type { Script } from "../testing/fake-guest.ts";
import { resumedLeaseOfTest, mountLeaseOfTest, runLeaseOfTest } from "../testing/leases.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { storeTaskTree, type TestHost, testHost } from "../testing/worker-host.ts";
import { Mount } from "./mount.ts";

const root = temporaryDirectory("seats");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());
let plane: TestControlPlane;
let host: TestHost;
let storage: StorageKeys;
let count = 0;

beforeEach(async () => {
  plane = await TestControlPlane.start();
  storage = storageKeysOfTest();
  count += 1;
  host = await testHost(plane, { home: join(root, String(count)), chunks });
});
afterEach(async () => {
  host.client.close();
  await plane.api.close();
});

interface Mounted {
  lease: MountLease;
  held: HeldLease;
  mount: Mount;
  done: Promise<void>;
}

async function mounted(script: Script): Promise<Mounted> {
  host.driver.behaviour = { script };
  const lease = mountLeaseOfTest({ task_tree: await storeTaskTree(host, plane, storage) }, storage);
  return begin(lease);
}

function begin(lease: MountLease): Mounted {
  const held = new HeldLease(lease, performance.now());
  const mount = new Mount(host, held);
  return { lease, held, mount, done: mount.execute() };
}

/** A run in that mount's machine. */
function runIn({ lease, mount }: Pick<Mounted, "lease" | "mount">, change: Partial<RunLease> = {}) {
  const base = runLeaseOfTest({}, storage);
  const runLease: RunLease = {
    ...base,
    task_tree: lease.task_tree ?? base.task_tree,
    workspace: lease.workspace,
    in_mount: { lease_id: lease.lease_id },
    ...change,
  };
  const held = new HeldLease(runLease, performance.now());
  return { lease: runLease, held, run: new Run(host, held, mount.seat) };
}

function unmount({ held, lease }: Mounted): void {
  held.direct({ type: "unmount", lease_id: lease.lease_id });
}

const guest = () => host.driver.last.guest;
const faults = () => host.events.filter((one) => one.event === "background.failed");

describe("a run in the machine of a mount", () => {
  test("boots nothing, commits its tree, and leaves the machine to the next one", async () => {
    const seen: string[] = [];
    const at = await mounted(async ({ write, start }) => {
      seen.push(start.run.attemptId);
      await write("stdout", `run ${seen.length}\n`);
    });
    const first = runIn(at);
    await first.run.execute();
    expect(host.driver.last.spec.disks.task).toMatchObject({ readOnly: true });
    expect(plane.completions[0]).toMatchObject({ end: { status: "succeeded" }, workspace: { status: "captured" } });
    expect(plane.text("stdout")).toBe("run 1\n");
    const second = runIn(at, { report: { accepted: 0, stdout: 0, stderr: 0, logger: 0 } });
    plane.items.length = 0;
    await second.run.execute();
    expect(plane.text("stdout")).toBe("run 2\n");
    expect(plane.completions[1]).toMatchObject({ workspace: { status: "captured" } });
    expect(seen).toEqual([first.lease.run.attempt_id, second.lease.run.attempt_id]);
    expect(host.driver.machines).toHaveLength(1);
    expect(host.driver.last.stops).toBe(0);
    expect(plane.mountEnds).toEqual([]);
    unmount(at);
    await at.done;
    // Nothing was written since the last version.
    expect(plane.mountEnds).toMatchObject([{ end: { status: "unmounted" }, workspace: { status: "unchanged" } }]);
    expect(readdirSync(host.leasesDirectory)).toEqual([]);
    expect(faults()).toEqual([]);
  });

  test("waits until the machine is mounted, and for the run before it", async () => {
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const at = await mounted(() => gate);
    const first = runIn(at);
    const firstDone = first.run.execute();
    await until("the first run", () => first.run.phase === "running");
    const second = runIn(at);
    const secondDone = second.run.execute();
    await until("its start", () => plane.started.length === 1);
    release();
    await Promise.all([firstDone, secondDone]);
    expect(plane.started).toEqual([first.lease.run.id, second.lease.run.id]);
    expect(plane.mountEnds).toEqual([]);
    unmount(at);
    await at.done;
  });

  test("keeps a worker that is to be left until it has ended; then the mount goes", async () => {
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const at = await mounted(() => gate);
    const { run } = runIn(at);
    const done = run.execute();
    await until("the run", () => run.phase === "running");
    expect(at.mount.isWaiting()).toBe(false);
    at.mount.parkSoon();
    release();
    await Promise.all([done, at.done]);
    expect(plane.said).toEqual(["complete", "mountEnded"]);
  });

  test("a cancelled program ends, and the mount does not", async () => {
    const at = await mounted(async ({ cancelled }) => {
      await cancelled;
      return { reason: "cancelled" };
    });
    const { run, held, lease } = runIn(at);
    const done = run.execute();
    await until("the run", () => run.phase === "running");
    held.direct({ type: "cancel", lease_id: lease.lease_id, force: false, reason: "enough" });
    await done;
    expect(plane.completions[0]).toMatchObject({ end: { status: "cancelled" }, workspace: { status: "captured" } });
    expect(host.driver.last.stops).toBe(0);
    unmount(at);
    await at.done;
  });
});

describe("a run that waits in the machine of a mount", () => {
  const onToken = { kind: "wait", on: { kind: "token", tokenId: "t" }, parkable: true } as const;
  const waits: Script = async ({ write, call }) => {
    await write("stdout", "before\n");
    await call(onToken);
    await write("stdout", "after\n");
  };
  beforeEach(() => {
    plane.answerCall = () => ({ state: "waiting", wait_id: randomUUID(), live_ms: 0 });
  });

  test("is parked with the mount, and goes on in a machine of its own", async () => {
    const at = await mounted(waits);
    const { run, lease } = runIn(at);
    await Promise.all([run.execute(), at.done]);
    const [park] = plane.parks;
    assert(park !== undefined && park.workspace.status === "captured", "It was parked");
    expect(plane.said).toEqual([]);
    expect(host.driver.last.stops).toBeGreaterThan(0);
    expect(host.checkpoints.ids()).toEqual([park.checkpoint_id]);
    expect(readdirSync(host.leasesDirectory)).toEqual([]);
    expect(faults()).toEqual([]);

    const { in_mount: _, ...own } = lease;
    const held = new HeldLease(resumedLeaseOfTest(plane, own), performance.now());
    await new Run(host, held).execute();
    expect(plane.text("stdout")).toBe("before\nafter\n");
    expect(plane.completions).toMatchObject([{ end: { status: "succeeded" }, workspace: { status: "captured" } }]);
  });

  test("stays where it is while somebody works beside it", async () => {
    const at = await mounted(waits);
    const { run } = runIn(at);
    const order = { lease_id: at.lease.lease_id, exec_id: randomUUID(), number: 1, command: ["sleep", "600"], cwd: "/workspace", env: {} };
    at.held.direct({ type: "process", ...order, started: false, input: { length: 0, closed: false }, closing: false });
    const done = run.execute();
    await until("it waits", () => run.isWaiting);
    run.parkSoon();
    expect(run.isParking).toBe(true);
    expect(guest().has("park.prepare")).toBe(false);
    at.held.lose("fenced");
    await Promise.all([done, at.done]);
    expect(plane.parks).toEqual([]);
  });
});

describe("what ends a machine with a run in it", () => {
  const never: Script = () => new Promise(() => {});

  async function running(): Promise<Mounted & { run: ReturnType<typeof runIn>; runDone: Promise<void> }> {
    const at = await mounted(never);
    const run = runIn(at);
    const runDone = run.run.execute();
    await until("the program", () => host.driver.machines.length > 0 && guest().has("run.start"));
    return { ...at, run, runDone };
  }

  test("the worker stops: the mount keeps the tree, and says so before the run says its end", async () => {
    const { run, runDone, done } = await running();
    run.run.interrupt("The worker was stopped");
    await Promise.all([runDone, done]);
    expect(plane.said).toEqual(["mountEnded", "complete"]);
    expect(plane.mountEnds[0]).toMatchObject({ end: { status: "unmounted" }, workspace: { status: "captured" } });
    expect(plane.completions[0]).toMatchObject({ end: { status: "failed", reason: "worker_stopped" }, workspace: { status: "unchanged" } });
    expect(readdirSync(host.leasesDirectory)).toEqual([]);
  });

  test("the machine dies", async () => {
    const { runDone, done } = await running();
    host.driver.last.die({ reason: "guest_panic", console: "Kernel panic - not syncing: test" });
    await Promise.all([runDone, done]);
    expect(plane.said).toEqual(["mountEnded", "complete"]);
    expect(plane.mountEnds[0]).toMatchObject({ end: { status: "failed" }, workspace: { status: "captured" } });
    expect(plane.completions[0]).toMatchObject({
      end: { status: "failed", failure_kind: "worker_failed" },
      workspace: { status: "unchanged" },
    });
  });

  test("the run's lease is lost: its program does not outlive it", async () => {
    const { run, runDone, done } = await running();
    run.held.lose("fenced");
    await Promise.all([runDone, done]);
    expect(plane.said).toEqual(["mountEnded"]);
    expect(plane.mountEnds[0]).toMatchObject({ workspace: { status: "captured" } });
    expect(host.driver.last.stops).toBeGreaterThan(0);
  });

  test("the mount's lease is lost: the run says that its machine is gone", async () => {
    const { held, runDone, done } = await running();
    held.lose("expired");
    await Promise.all([runDone, done]);
    expect(plane.said).toEqual(["complete"]);
    expect(plane.completions[0]).toMatchObject({
      end: { status: "failed", failure_kind: "worker_failed" },
      workspace: { status: "unchanged" },
    });
  });

  test("a mount that goes, or is not here, takes no run any more", async () => {
    const at = await mounted(never);
    unmount(at);
    const late = runIn(at);
    await late.run.execute();
    await at.done;
    expect(plane.started).toEqual([]);
    expect(plane.said).toEqual(["mountEnded", "complete"]);
    expect(plane.completions[0]).toMatchObject({ end: { status: "failed", failure_kind: "worker_failed", reason: "mount_gone" } });
    const held = new HeldLease(late.lease, performance.now());
    await new Run(host, held).execute();
    expect(plane.completions[1]).toMatchObject({ end: { reason: "mount_gone" } });
    expect(host.driver.machines.every((machine) => machine.stops > 0)).toBe(true);
  });
});
