/** Parking and resuming of runs with fakes at the wires: the guest speaks its protocol, the machine's memory is a file that says which machine it was. */
import { randomUUID } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { RunLease, StorageKeys, WorkerBody } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { HeldLease } from "../control/held-lease.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import type { Script } from "../testing/fake-guest.ts";
import { resumedLeaseOfTest, runLeaseOfTest } from "../testing/leases.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { storeTaskTree, type TestHost, testHost } from "../testing/worker-host.ts";
import { VmError } from "../vm/driver.ts";
import { Run } from "./run.ts";

const root = temporaryDirectory("parks");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());

let storage: StorageKeys;
let plane: TestControlPlane;
let host: TestHost;
let count = 0;
const waitId = randomUUID();

beforeEach(async () => {
  plane = await TestControlPlane.start();
  storage = storageKeysOfTest();
  count += 1;
  host = await testHost(plane, { home: join(root, String(count)), chunks });
  plane.answerCall = () => ({ state: "waiting", wait_id: waitId, live_ms: 0 });
});
afterEach(async () => {
  host.client.close();
  await plane.api.close();
});

const onToken = { kind: "wait", on: { kind: "token", tokenId: "t" }, parkable: true } as const;
const waits: Script = async ({ write, call }) => {
  await write("stdout", "before\n");
  const outcome = await call(onToken);
  await write("stdout", "after\n");
  return { output: { json: JSON.stringify(outcome) } };
};

async function leaseOf(change: Partial<RunLease> = {}): Promise<RunLease> {
  const task = await storeTaskTree(host, plane, storage);
  return { ...runLeaseOfTest({}, storage), task_tree: task, ...change };
}

function begin(lease: RunLease) {
  const held = new HeldLease(lease, performance.now());
  const run = new Run(host, held);
  const done = run.execute().then(() => held.release());
  return { held, run, done };
}

function expectClean(): void {
  expect(readdirSync(host.leasesDirectory)).toEqual([]);
  for (const machine of host.driver.machines) expect(machine.stops).toBeGreaterThan(0);
}

async function parkOne(script: Script = waits): Promise<{ lease: RunLease; park: WorkerBody<"park"> }> {
  host.driver.behaviour = { script };
  const lease = await leaseOf();
  await begin(lease).done;
  expect(plane.parks).toHaveLength(1);
  return { lease, park: plane.parks[0]! };
}

describe("a run whose wait is over its window", () => {
  test("is parked: stood still, cut, stored and said; its machine ends and nothing is completed", async () => {
    const { lease, park } = await parkOne();
    const { guest } = host.driver.last;
    expect(guest.has("park.prepare")).toBe(true);
    expect(guest.has("park.abort")).toBe(false);
    expect(park).toMatchObject({
      attempt_id: lease.run.attempt_id,
      wait_id: waitId,
      report_through: plane.items.length,
      workspace: { status: "captured" },
      resume_state: { streams: [7, 0, 0], workspaceBytes: 64 * 2 ** 20 },
      key_id: lease.storage.current,
    });
    for (const artifact of [park.template, park.memory, park.device, park.scratch])
      expect(plane.blobs.has(artifact.manifest_key)).toBe(true);
    expect(plane.completions).toEqual([]);
    expect(host.checkpoints.ids()).toEqual([park.checkpoint_id]);
    expectClean();
  });

  test.each(["this host's copy", "the store"])("goes on from %s, and what it printed is heard once", async (from) => {
    const { lease, park } = await parkOne();
    if (from === "the store") await host.checkpoints.drop(park.checkpoint_id);
    await begin(resumedLeaseOfTest(plane, lease)).done;
    expect(host.events.find((one) => one.event === "run.resumed")?.attributes).toMatchObject({
      from: from === "the store" ? "store" : "host",
    });
    expect(plane.resumes).toMatchObject([{ checkpoint_id: park.checkpoint_id }]);
    expect(plane.started).toHaveLength(1);
    expect(plane.text("stdout")).toBe("before\nafter\n");
    const outcome = { ok: true, value: { kind: "token", status: "completed", data: "yes" } };
    expect(plane.completions).toMatchObject([
      { end: { status: "succeeded", output: { value: outcome } }, workspace: { status: "captured" } },
    ]);
    // It is used up.
    await until("the copy is gone", () => host.checkpoints.ids().length === 0, 5_000);
    expectClean();
  });

  test("parks again and again, each time against the same template", { timeout: 30_000 }, async () => {
    const rounds = 4;
    host.driver.behaviour = {
      script: async ({ call }) => {
        const answers = [];
        for (let round = 0; round < rounds; round += 1) answers.push(await call(onToken));
        return { output: { json: String(answers.length) } };
      },
    };
    let lease = await leaseOf();
    for (let round = 0; round < rounds; round += 1) {
      await begin(lease).done;
      expect(plane.parks).toHaveLength(round + 1);
      lease = resumedLeaseOfTest(plane, lease, { call_id: round + 1 });
      if (round % 2 === 1) for (const id of host.checkpoints.ids()) await host.checkpoints.drop(id);
    }
    await begin(lease).done;
    expect(plane.completions).toMatchObject([{ end: { status: "succeeded", output: { value: rounds } } }]);
    expect(new Set(plane.parks.map((park) => park.template.artifact_id)).size).toBe(1);
    expectClean();
  });

  test("is not parked while it also waits for something live, or asks for something", async () => {
    host.driver.behaviour = {
      script: async ({ call }) => {
        const live = call({ kind: "wait", on: { kind: "stream", stream: "answers" }, parkable: false });
        const token = call(onToken);
        await Promise.all([live, token]);
      },
    };
    plane.answerCall = ({ call_id: id }) => ({ state: "waiting", wait_id: waitId, ...(id === 2 ? { live_ms: 0 } : {}) });
    const { held, done } = begin(await leaseOf());
    await until("both are open", () => plane.calls.length === 2, 5_000);
    held.direct({ type: "wait.resolved", lease_id: held.id, wait_id: waitId, call_id: 2, outcome: { kind: "token", status: "completed" } });
    held.direct({
      type: "wait.resolved",
      lease_id: held.id,
      wait_id: waitId,
      call_id: 1,
      outcome: { kind: "stream", status: "completed" },
    });
    await done;
    expect(plane.parks).toEqual([]);
    expect(host.driver.last.guest.has("park.prepare")).toBe(false);
    expect(plane.completions).toMatchObject([{ end: { status: "succeeded" } }]);
  });
});

describe("a park that does not come true", () => {
  test("because the wait was over first: the machine goes on with the outcome", async () => {
    const outcome = { kind: "token", status: "completed", data: "in time" };
    plane.answerPark = () => ({ state: "resolved", outcome });
    host.driver.behaviour = { script: waits };
    await begin(await leaseOf()).done;
    expect(host.driver.last.resumes).toBe(1);
    expect(host.driver.last.guest.has("park.abort")).toBe(true);
    expect(plane.completions).toMatchObject([{ end: { output: { value: { ok: true, value: outcome } } } }]);
    expect(host.checkpoints.ids()).toEqual([]);
    expectClean();
  });

  test("because it is resolved while its bytes are on their way: called off, answered once", async () => {
    host.driver.behaviour = { script: waits };
    const { held, done } = begin(await leaseOf());
    host.driver.onSnapshot = () => {
      held.direct({
        type: "wait.resolved",
        lease_id: held.id,
        wait_id: waitId,
        call_id: 1,
        outcome: { kind: "token", status: "completed" },
      });
    };
    await done;
    expect(plane.parks).toEqual([]);
    expect(plane.completions).toMatchObject([{ end: { status: "succeeded" } }]);
    expectClean();
  });

  test("because a snapshot fails: the run stays live, and a cancel still reaches it", async () => {
    host.driver.behaviour = {
      script: async ({ call, cancelled }) => {
        await Promise.race([call(onToken), cancelled]);
        return { reason: "cancelled" };
      },
    };
    host.driver.onSnapshot = () => {
      throw new VmError("snapshot_failed", "on purpose");
    };
    const { held, done } = begin(await leaseOf());
    await until("it was thawed", () => host.driver.last?.guest.has("park.abort") ?? false, 5_000);
    expect(host.events.filter((one) => one.event === "background.failed")).toMatchObject([
      { attributes: { message: expect.stringMatching(/on purpose/) } },
    ]);
    held.direct({ type: "cancel", lease_id: held.id, force: false, reason: "enough" });
    await done;
    expect(plane.parks).toEqual([]);
    expect(plane.completions).toMatchObject([{ end: { status: "cancelled" } }]);
    expectClean();
  });

  test("because the control plane gave up what it refers to: stored again, and parked with that", { timeout: 30_000 }, async () => {
    plane.parkStatus = 400;
    plane.answerPark = () => {
      if (plane.parks.length > 1) plane.parkStatus = 200;
      return plane.parks.length > 1 ? { state: "parked" } : { error: "the artifact is no longer kept", code: "bad_request" };
    };
    host.driver.behaviour = { script: waits };
    const { done } = begin(await leaseOf());
    await until("it was asked again", () => plane.parks.length === 2, 20_000);
    await done;
    const [first, second] = plane.parks;
    expect(second!.template.artifact_id).not.toBe(first!.template.artifact_id);
    expect(second!.template.digest).toBe(first!.template.digest);
    expectClean();
  });

  test("because a cancel comes while it is cut: the program reacts, and is not frozen again", async () => {
    host.driver.behaviour = {
      script: async ({ call, cancelled, write }) => {
        await Promise.race([call(onToken), cancelled]);
        await write("stdout", "tidied\n");
        return { reason: "cancelled" };
      },
    };
    const { held, done } = begin(await leaseOf());
    host.driver.onSnapshot = () => held.direct({ type: "cancel", lease_id: held.id, force: false, reason: "enough" });
    await done;
    const { guest } = host.driver.last;
    expect(guest.received.filter((message) => message.type === "park.prepare")).toHaveLength(1);
    expect(plane.parks).toEqual([]);
    expect(plane.text("stdout")).toBe("tidied\n");
    expect(plane.completions).toMatchObject([{ end: { status: "cancelled", forced: false } }]);
    expectClean();
  });

  test("because the control plane refuses it: live, and not asked again at once", async () => {
    plane.answerPark = () => ({ state: "refused", reason: "busy" });
    host.driver.behaviour = { script: waits };
    const { held, done } = begin(await leaseOf());
    await until("it was thawed", () => host.driver.last?.guest.has("park.abort") ?? false, 5_000);
    held.direct({ type: "wait.resolved", lease_id: held.id, wait_id: waitId, call_id: 1, outcome: { kind: "token", status: "completed" } });
    await done;
    expect(plane.parks).toHaveLength(1);
    expect(plane.completions).toMatchObject([{ end: { status: "succeeded" } }]);
  });
});

describe("a checkpoint that cannot be restored", () => {
  async function broken(change: (park: WorkerBody<"park">) => void): Promise<WorkerBody<"restoreFailed"> | undefined> {
    const { lease, park } = await parkOne();
    await host.checkpoints.drop(park.checkpoint_id);
    change(park);
    await begin(resumedLeaseOfTest(plane, lease)).done;
    expect(plane.resumes).toEqual([]);
    expect(plane.completions).toEqual([]);
    expectClean();
    return plane.unrestored[0];
  }

  test("is said with its reason: an object is gone, a byte has changed, another template", async () => {
    const forget = (id: string) => {
      plane.blobs.delete(id);
      rmSync(join(host.home, "packs"), { recursive: true, force: true });
    };
    expect(await broken((park) => forget(park.memory.manifest_key))).toMatchObject({ reason: "missing" });
  });

  test("is said when a byte has changed", async () => {
    const said = await broken((park) => {
      const key = park.device.manifest_key;
      const bytes = Buffer.from(plane.blobs.get(key)!);
      bytes[bytes.length - 20] = (bytes[bytes.length - 20] as number) ^ 1;
      plane.blobs.set(key, bytes);
    });
    expect(said).toMatchObject({ reason: "corrupt" });
  });

  test("is said when this worker makes other machines", async () => {
    expect(await broken((park) => (park.compatibility = { templateKey: "of another guest" }))).toMatchObject({ reason: "incompatible" });
  });

  test("is said when its key is not delivered", async () => {
    const { lease, park } = await parkOne();
    await host.checkpoints.drop(park.checkpoint_id);
    const resumed = resumedLeaseOfTest(plane, lease);
    const [id = ""] = Object.keys(lease.storage.content_keys);
    resumed.storage = { ...lease.storage, current: "k9", content_keys: { k9: lease.storage.content_keys[id]! } };
    await begin(resumed).done;
    expect(plane.unrestored).toMatchObject([{ reason: "missing", message: expect.stringMatching(/key/) }]);
  });
});

test("a host that wants its memory back parks what waits before its window is over", async () => {
  plane.answerCall = () => ({ state: "waiting", wait_id: waitId, live_ms: 600_000 });
  host.driver.behaviour = { script: waits };
  const { run, done } = begin(await leaseOf());
  await until("it waits", () => run.isWaiting, 5_000);
  run.parkSoon();
  await done;
  expect(plane.parks).toHaveLength(1);
});
