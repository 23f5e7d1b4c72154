import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { RunLease, StorageKeys } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { HeldLease } from "../control/held-lease.ts";
import { LeaseTable } from "../control/lease-table.ts";
import type { RunLimits } from "../limits.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import type { GuestBehaviour, Script } from "../testing/fake-guest.ts";
import { runLeaseOfTest } from "../testing/leases.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { type TestHost, storeTaskTree, testHost } from "../testing/worker-host.ts";
import { VmError } from "../vm/driver.ts";
import { Run } from "./run.ts";

const root = temporaryDirectory("runs");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());
let storage: StorageKeys;
const oracle = existsSync("/usr/bin/qemu-io");

let plane: TestControlPlane;
let host: TestHost;
let count = 0;

beforeEach(async () => {
  plane = await TestControlPlane.start();
  storage = storageKeysOfTest();
});
afterEach(async () => {
  host.client.close();
  await plane.api.close();
});

async function prepare(
  behaviour: GuestBehaviour,
  options: { limits?: Partial<RunLimits>; change?: Partial<RunLease>; cold?: boolean } = {},
) {
  count += 1;
  host = await testHost(plane, { home: join(root, String(count)), chunks, limits: options.limits });
  host.driver.behaviour = behaviour;
  const task = await storeTaskTree(host, plane, storage);
  if (options.cold !== true) await warmTemplate();
  const base = runLeaseOfTest({}, storage);
  const lease: RunLease = { ...base, task_tree: task, ...options.change, run: { ...base.run, ...options.change?.run } };
  const held = new HeldLease(lease, performance.now());
  const run = new Run(host, held);
  return { held, lease, run };
}

async function warmTemplate(): Promise<void> {
  const image = { ref: "helmr/node:24", path: host.builtInImage };
  const held = await host.templates.acquire(image, { vcpus: 1, memoryMib: 256 }, { signal: AbortSignal.timeout(5_000) });
  held.release();
}

/** Runs a script to the end of its lease. */
async function play(script: Script | GuestBehaviour, options: Parameters<typeof prepare>[1] = {}) {
  const made = await prepare(typeof script === "function" ? { script } : script, options);
  await made.run.execute();
  made.held.release();
  return { ...made, completion: plane.completions[0] };
}

/** Nothing of a run is left on the host when it is over. */
function expectClean(): void {
  expect(readdirSync(host.leasesDirectory)).toEqual([]);
  for (const machine of host.driver.machines) expect(machine.stops).toBeGreaterThan(0);
  expect(host.events.filter((one) => one.event === "background.failed")).toEqual([]);
}

describe("a run that works", () => {
  test("goes from its lease to its completion: attached, started, output, result, a version of the workspace", async () => {
    const { completion, lease } = await play(async ({ write, log }) => {
      await write("stdout", "hello Ada\nunfinished");
      await write("stderr", "careful\n");
      await log("noted");
      return { output: { json: '{"greeting":"hello"}' }, activeMs: 12 };
    });
    expect(plane.text("stdout")).toBe("hello Ada\nunfinished");
    expect(plane.text("stderr")).toBe("careful\n");
    expect(JSON.parse(plane.text("logger"))).toMatchObject({ level: "info", message: "noted" });
    expect(completion).toMatchObject({
      attempt_id: lease.run.attempt_id,
      end: { status: "succeeded", exit_code: 0, output: { value: { greeting: "hello" } } },
      report_through: plane.items.length,
      workspace: { status: "captured", size_bytes: 0, entry_count: 0 },
    });
    expect(plane.started).toEqual([lease.run.id]);
    const { guest, spec } = host.driver.last;
    const [attach, start] = guest.received.filter((message) => message.type === "attach" || message.type === "run.start");
    expect(attach).toMatchObject({
      resumed: false,
      disks: { scratch: "disk", workspace: { path: "/workspace" }, task: true },
      hostname: `run-${lease.run.id.slice(-12)}`,
    });
    expect((attach as { leaseMs: number }).leaseMs).toBeGreaterThan(60_000);
    expect(start).toMatchObject({ module: "tasks/hello.mjs", exportName: "hello", payload: { name: "Ada" } });
    expect(guest.has("sync")).toBe(true);
    expect(spec.disks).toMatchObject({
      scratch: { format: "overlay" },
      workspace: { format: "overlay", sizeBytes: 64 * 2 ** 20 },
      task: { readOnly: true, format: "raw" },
    });
    expect(spec.template.spec.shape).toEqual({ vcpus: 1, memoryMib: 256 });
    expectClean();
  });

  test("without output has none", async () => {
    const { completion } = await play(async () => {});
    expect(completion?.end).toEqual({ status: "succeeded", exit_code: 0 });
  });

  test("the first line leaves the worker at once, and many lines leave together", async () => {
    let wroteAt = 0;
    await play(async ({ write, guest }) => {
      wroteAt = performance.now();
      await write("stdout", "first\n");
      await until("the first line", () => plane.items.length > 0);
      for (let line = 0; line < 2_000; line += 1) await write("stdout", `line ${line}\n`);
      await until("everything acknowledged", () => guest.acked("stdout") > 10_000);
    });
    expect(plane.itemTimes[0]! - wroteAt).toBeLessThan(100);
    expect(plane.items.length).toBeLessThan(500);
    expect(plane.text("stdout").split("\n")).toHaveLength(2_002);
  });

  test("secret values are masked in every way out", async () => {
    const secret = "correct-horse-battery";
    const run = { ...runLeaseOfTest().run, secrets: [{ name: "TOKEN", value: secret, env: "TOKEN" }] };
    const { completion } = await play(
      async ({ write, call }) => {
        await write("stdout", "it is correct-hor");
        await write("stdout", "se-battery.\n");
        await call({ kind: "metadata", operation: { op: "set", key: "k", json: JSON.stringify({ deep: [`x${secret}y`] }) } });
        await call({ kind: "stream.append", stream: "out", json: JSON.stringify(secret) });
        return { output: { json: JSON.stringify({ said: secret }) } };
      },
      { change: { run } },
    );
    expect(host.driver.last.guest.received.find((message) => message.type === "run.start")).toMatchObject({
      secrets: [{ name: "TOKEN", env: "TOKEN", value: secret }],
    });
    expect(plane.text("stdout")).toBe("it is ***.\n");
    expect(JSON.stringify([completion, plane.items, plane.calls])).not.toContain(secret);
    expect(JSON.stringify(plane.calls)).toContain("***");
  });

  test.skipIf(!oracle)("what the guest wrote is in the version, and the next run on this host needs nothing from the store", async () => {
    const first = await play(async () => {
      const disk = host.driver.last.spec.disks.workspace!;
      execFileSync("qemu-io", ["-f", "qcow2", "-c", "write -P 7 8m 1m", disk.path]);
    });
    if (first.completion?.workspace.status !== "captured") throw new TypeError("not captured");
    const { artifact } = first.completion.workspace;
    const gets = () => plane.api.calls.filter((call) => call.path.startsWith("/blobs/") && call.path.includes("/packs/")).length;
    const before = gets();
    const lease = runLeaseOfTest({}, storage);
    const second: RunLease = { ...lease, task_tree: first.lease.task_tree, workspace: { ...lease.workspace, base: artifact } };
    let seen = Buffer.alloc(0);
    host.driver.behaviour = {
      script: async () => {
        const { path } = host.driver.last.spec.disks.workspace!;
        seen = execFileSync("qemu-io", ["-f", "qcow2", "-r", "-c", "read -P 7 8m 1m", path]);
      },
    };
    const held = new HeldLease(second, performance.now());
    await new Run(host, held).execute();
    held.release();
    expect(seen.toString()).not.toMatch(/failed/);
    expect(gets()).toBe(before);
    expect(plane.completions[1]?.workspace).toMatchObject({ status: "captured" });
    const next = plane.completions[1]?.workspace;
    if (next?.status !== "captured") throw new TypeError("not captured");
    // Nothing was written, so the digest is that of its parent, and nothing but the manifest was stored.
    expect(next.artifact.digest).toBe(artifact.digest);
    expect(next.artifact.stored_bytes).toBeLessThan(4096);
  });

  test("a run that waits for its template says so in its log", async () => {
    const { run, held } = await prepare({ script: async () => {} }, { cold: true });
    let open: () => void = () => {};
    host.driver.templateGate = new Promise((resolve) => {
      open = resolve;
    });
    const running = run.execute();
    await until("the notice", () => plane.text("logger").includes("helmr/node:24"));
    expect(run.phase).toBe("preparing");
    open();
    await running;
    held.release();
    expect(plane.completions[0]?.end).toMatchObject({ status: "succeeded" });
    expect(host.templates.warmImages()).toEqual(["helmr/node:24"]);
  });
});

describe("program calls", () => {
  test("are relayed and answered; refusals reach the program", async () => {
    plane.answerCall = ({ call }) =>
      call.kind === "token.create"
        ? { state: "answered", value: { id: "t1" } }
        : { state: "refused", code: "stream_not_found", message: "no such stream" };
    const seen: unknown[] = [];
    await play(async ({ call }) => {
      seen.push(await call({ kind: "token.create", timeoutMs: 1000, tags: ["a"] }));
      seen.push(await call({ kind: "stream.append", stream: "nowhere", json: "1" }));
      seen.push(await call({ kind: "stream.append", stream: "out", json: "not json" }));
    });
    expect(seen).toEqual([
      { ok: true, value: { id: "t1" } },
      { ok: false, code: "stream_not_found", message: "no such stream" },
      { ok: false, code: "refused", message: "The value is no JSON" },
    ]);
    expect(plane.calls.map(({ call }) => call.kind)).toEqual(["token.create", "stream.append"]);
  });

  test("a wait that stays open is answered by a directive, once, and its time is not active", async () => {
    plane.answerCall = () => ({ state: "waiting", wait_id: crypto.randomUUID(), live_ms: 1000 });
    const { run, held } = await prepare({
      script: async ({ call }) => {
        const outcome = await call({ kind: "wait", on: { kind: "token", tokenId: "t" }, parkable: true });
        return { output: { json: JSON.stringify(outcome) }, activeMs: 5 };
      },
    });
    const running = run.execute();
    await until("the wait", () => held.report?.openCalls().length === 1);
    const activeBefore = held.report!.activeMs();
    const resolved = {
      type: "wait.resolved",
      lease_id: held.id,
      wait_id: crypto.randomUUID(),
      call_id: 1,
      outcome: { kind: "token", status: "completed", data: 5 },
    } as const;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(held.report!.activeMs() - activeBefore).toBeLessThan(50);
    held.direct(resolved);
    held.direct(resolved);
    await running;
    held.release();
    expect(plane.completions[0]?.end).toMatchObject({
      output: { value: { ok: true, value: { kind: "token", status: "completed", data: 5 } } },
    });
    expect(plane.completions[0]!.active_ms).toBeLessThan(120);
  });

  test("records of one stream keep their order even when an answer is slow", async () => {
    const order: unknown[] = [];
    let slow = true;
    plane.answerCall = ({ call }) => {
      order.push(call.kind === "stream.append" ? call.data : call.kind);
      return { state: "answered", value: null };
    };
    plane.api.fault = (path) => {
      if (!path.endsWith("/call") || !slow) return undefined;
      slow = false;
      return 503;
    };
    await play(async ({ call }) => {
      await Promise.all([1, 2, 3].map((n) => call({ kind: "stream.append", stream: "out", json: String(n) })));
    });
    expect(order).toEqual([1, 2, 3]);
  });

  test("metadata is reported in order with the log", async () => {
    await play(async ({ call, write }) => {
      await write("stdout", "a\n");
      await until("a", () => plane.items.length > 0);
      await call({ kind: "metadata", operation: { op: "increment", key: "n", amount: 2 } });
      await write("stdout", "b\n");
    });
    expect(plane.items.map((item) => (item.kind === "log" ? Buffer.from(item.data, "base64").toString() : item.operation))).toEqual([
      "a\n",
      { op: "increment", key: "n", amount: 2 },
      "b\n",
    ]);
  });
});

describe("how runs fail", () => {
  test.each([
    [
      { reason: "threw", exitCode: 1, message: "Error: no" },
      { failure_kind: "task_failed", reason: "threw", exit_code: 1, message: "Error: no" },
    ],
    [
      { reason: "out_of_memory", exitCode: null, signal: "SIGKILL" },
      { failure_kind: "task_failed", reason: "out_of_memory", signal: "SIGKILL" },
    ],
    [
      { reason: "disk_full", exitCode: 1 },
      { failure_kind: "task_failed", reason: "disk_full" },
    ],
    [
      { reason: "timeout", exitCode: null },
      { failure_kind: "max_duration", reason: "timeout" },
    ],
    [
      { reason: "exited", exitCode: 0 },
      { failure_kind: "task_failed", reason: "exited", exit_code: 0 },
    ],
    [
      { reason: "start_failed", exitCode: null, failureKind: "task_not_found", message: "no task" },
      { failure_kind: "task_not_found", reason: "start_failed" },
    ],
    [
      { reason: "start_failed", exitCode: null, failureKind: "task_failed", detail: "node_missing" },
      { failure_kind: "task_failed", reason: "node_missing" },
    ],
  ] as const)("the guest says %j", async (ended, end) => {
    const { completion } = await play(async ({ write }) => {
      await write("stderr", "last words\n");
      return ended;
    });
    expect(completion?.end).toMatchObject({ status: "failed", ...end });
    expect(completion?.workspace.status).toBe("captured");
    expect(plane.text("stderr")).toBe("last words\n");
    expectClean();
  });

  test.each([
    ["no JSON", "{", "output_invalid"],
    ["too large", JSON.stringify("x".repeat(262_144)), "output_invalid"],
    ["not storable", '"\\u0000"', "output_invalid"],
  ])("output that is %s", async (_, json, reason) => {
    const { completion } = await play(async () => ({ output: { json } }));
    expect(completion?.end).toMatchObject({ status: "failed", failure_kind: "task_failed", reason });
  });

  test.each([
    ["guest_panic", { reason: "guest_panic", console: "Attempted to kill init" }, "guest_died", /panicked: Attempted to kill init/],
    ["guest_shutdown", { reason: "guest_shutdown" }, "guest_died", /shut down/],
    [
      "a killed monitor",
      { reason: "monitor_died", exitCode: null, signal: "SIGKILL", stderr: "qemu: bad" },
      "monitor_died",
      /SIGKILL: qemu: bad/,
    ],
  ] as const)("%s ends the run with its own reason, and the output so far and the workspace are kept", async (_, exit, reason, message) => {
    const { completion } = await play(async ({ write, guest }) => {
      await write("stdout", "so far\n");
      await until("so far", () => guest.acked("stdout") === 7);
      host.driver.last.die(exit);
      await new Promise(() => {});
    });
    expect(completion?.end).toMatchObject({
      status: "failed",
      failure_kind: "worker_failed",
      reason,
      message: expect.stringMatching(message),
    });
    expect(completion?.workspace.status).toBe("captured");
    expect(plane.text("stdout")).toBe("so far\n");
    expectClean();
  });

  test("a guest that never answers is given up", async () => {
    const { completion } = await play({ silent: ["attach"] });
    expect(completion?.end).toMatchObject({
      status: "failed",
      failure_kind: "worker_failed",
      reason: "guest_silent",
      message: expect.stringMatching(/attach within 1000 ms/),
    });
    expect(completion?.workspace).toEqual({ status: "unchanged" });
    expect(plane.started).toEqual([]);
    expectClean();
  });

  test("a guest that breaks the protocol is stopped", async () => {
    const { completion } = await play(async ({ guest }) => {
      guest.raw(Buffer.from([255, 255, 255, 255, 1]));
      await new Promise(() => {});
    });
    expect(completion?.end).toMatchObject({ reason: "guest_violation" });
    expectClean();
  });

  test("a guest that does not enforce its time limit is stopped by the worker", async () => {
    const run = { ...runLeaseOfTest().run, active_ms_left: 100 };
    const { completion } = await play(() => new Promise(() => {}), { change: { run } });
    expect(completion?.end).toMatchObject({ failure_kind: "max_duration", reason: "timeout" });
    expect(completion!.active_ms).toBeLessThanOrEqual(100);
    expectClean();
  });

  test("a guest that cannot be made quiet is captured as it is", async () => {
    const { completion } = await play({ script: async () => {}, silent: ["sync"] });
    expect(completion?.end).toMatchObject({ status: "succeeded" });
    expect(completion?.workspace.status).toBe("captured");
  });

  test.each([
    ["a template that does not restore", () => new VmError("restore_failed", "bad state"), "restore_failed"],
    ["a worker whose disk is full", () => Object.assign(new Error("write"), { code: "ENOSPC" }), "worker_disk_full"],
    ["a bug", () => new TypeError("oops"), "internal"],
  ])("%s fails the start and says why", async (_, error, reason) => {
    const made = await prepare({});
    host.driver.onStart = () => {
      throw error();
    };
    await made.run.execute();
    made.held.release();
    expect(plane.completions[0]).toMatchObject({
      end: { status: "failed", failure_kind: "worker_failed", reason },
      workspace: { status: "unchanged" },
    });
    expect(host.templates.warmImages()).toEqual(reason === "restore_failed" ? [] : ["helmr/node:24"]);
    expectClean();
  });

  test("a task tree that is gone or corrupt is named", async () => {
    const missing = await prepare({});
    const [key] = [...plane.blobs.keys()].filter((name) => name.includes("/manifests/"));
    const good = plane.blobs.get(key!)!;
    plane.blobs.set(key!, Buffer.from(good.map((byte, at) => (at === good.length - 1 ? byte ^ 1 : byte))));
    await missing.run.execute();
    expect(plane.completions[0]?.end).toMatchObject({ reason: "manifest_corrupt" });
    plane.blobs.clear();
    const held = new HeldLease({ ...missing.lease, lease_id: crypto.randomUUID() }, performance.now());
    await new Run(host, held).execute();
    expect(plane.completions[1]?.end).toMatchObject({ reason: "blob_missing" });
    missing.held.release();
    held.release();
  });
});

describe("cancel", () => {
  const cancel = (held: HeldLease, force: boolean) => held.direct({ type: "cancel", lease_id: held.id, force, reason: "no longer needed" });

  test("before the program runs ends the run without starting it", async () => {
    const { run, held } = await prepare({}, { cold: true });
    let open: () => void = () => {};
    host.driver.templateGate = new Promise((resolve) => {
      open = resolve;
    });
    const running = run.execute();
    cancel(held, false);
    await running;
    open();
    held.release();
    expect(plane.completions[0]).toMatchObject({ end: { status: "cancelled", forced: true }, workspace: { status: "unchanged" } });
    expect(plane.started).toEqual([]);
    expect(host.driver.machines).toEqual([]);
  });

  test("is passed on, and what the task does with its grace is kept", async () => {
    const { run, held } = await prepare({
      script: async ({ cancelled, write }) => {
        await write("stdout", "working\n");
        const { force } = await cancelled;
        await write("stdout", `tidied up, force ${force}\n`);
        return { reason: "cancelled", exitCode: null };
      },
    });
    const running = run.execute();
    await until("output", () => plane.text("stdout") !== "");
    cancel(held, false);
    cancel(held, false); // repeated with every renewal
    await running;
    held.release();
    expect(plane.completions[0]?.end).toEqual({ status: "cancelled", forced: false });
    expect(plane.text("stdout")).toBe("working\ntidied up, force false\n");
    expect(plane.completions[0]?.workspace.status).toBe("captured");
    expect(host.driver.last.guest.received.filter((message) => message.type === "run.cancel")).toHaveLength(1);
    expectClean();
  });

  test.each([
    ["gently and then with force", [false, true]],
    ["gently only", [false]],
    ["with force only", [true]],
  ])("of a guest that ignores it, %s, ends with the machine in bounded time", async (_, asked) => {
    const { run, held } = await prepare({ script: () => new Promise(() => {}) });
    const running = run.execute();
    await until("the run", () => run.phase === "running");
    const began = performance.now();
    for (const force of asked) cancel(held, force);
    await running;
    held.release();
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(plane.completions[0]).toMatchObject({ end: { status: "cancelled", forced: true }, workspace: { status: "captured" } });
    expectClean();
  });

  test("that the control plane knows of before the start", async () => {
    plane.attemptState = "cancelled";
    const { completion } = await play(async () => {});
    expect(completion).toMatchObject({ end: { status: "cancelled" }, workspace: { status: "unchanged" } });
    expect(host.driver.last.guest.has("run.start")).toBe(false);
  });
});

describe("the lease", () => {
  test("lost in the middle: the machine is killed and nothing more is said", async () => {
    const { run, held } = await prepare({
      script: async ({ write }) => {
        await write("stdout", "one\n");
        await new Promise(() => {});
      },
    });
    const running = run.execute();
    await until("output", () => plane.text("stdout") === "one\n");
    const calls = plane.api.calls.length;
    held.lose("stale");
    await running;
    expect(host.driver.last.stops).toBeGreaterThan(0);
    expect(plane.api.calls.length).toBe(calls);
    expect(plane.completions).toEqual([]);
    expectClean();
  });

  test("found stale by a report, by the start, by the completion: the same", async () => {
    for (const where of ["/attempt-started", "/report", "/complete"]) {
      const { run, held, lease } = await prepare({ script: async ({ write }) => write("stdout", "x\n") });
      plane.api.fault = (path) => {
        if (path.endsWith(where)) plane.stale.add(lease.lease_id);
        return undefined;
      };
      await run.execute();
      expect(held.lossReason).toBe("stale");
      expect(plane.completions).toEqual([]);
      expectClean();
    }
  });

  test("extended with each renewal, in the guest too", async () => {
    const { run, held, lease } = await prepare({ script: async ({ cancelled }) => (await cancelled, { reason: "cancelled" as const }) });
    const table = new LeaseTable({ client: host.client, epoch: 1, renewMs: 20, onDrain: () => {} });
    const running = run.execute();
    await until("the run", () => run.phase === "running");
    held.extend(90_000, performance.now());
    await until("lease.extend", () => host.driver.last.guest.has("lease.extend"));
    held.direct({ type: "cancel", lease_id: lease.lease_id, force: false, reason: "" });
    await running;
    held.release();
    table.stop();
  });
});

describe("an unreliable control plane", () => {
  test("away for a while during a run: everything arrives once it is back", async () => {
    const lines = Array.from({ length: 300 }, (_, line) => `line ${line}\n`);
    const { completion } = await play(async ({ write }) => {
      await write("stdout", lines.slice(0, 100).join(""));
      plane.api.fault = () => "refuse";
      await write("stdout", lines.slice(100).join(""));
      setTimeout(() => (plane.api.fault = () => undefined), 300);
    });
    expect(plane.text("stdout")).toBe(lines.join(""));
    expect(completion?.end).toMatchObject({ status: "succeeded" });
    expectClean();
  });

  test("every answer is lost once: nothing is said twice", async () => {
    const lost = new Map<string, number>();
    plane.api.fault = (path) => {
      const seen = lost.get(path) ?? 0;
      lost.set(path, seen + 1);
      return seen === 0 ? "lost" : undefined;
    };
    await play(async ({ write, call }) => {
      for (let line = 0; line < 50; line += 1) await write("stdout", `line ${line}\n`);
      await call({ kind: "metadata", operation: { op: "increment", key: "n", amount: 1 } });
    });
    expect(plane.text("stdout").split("\n")).toHaveLength(51);
    expect(plane.items.filter((item) => item.kind === "metadata")).toHaveLength(1);
    expect(plane.completions.length).toBeGreaterThanOrEqual(1);
    expectClean();
  });

  test("a blob store that fails now and then costs time only, one that refuses costs the version only", async () => {
    let faults = 3;
    plane.api.fault = (path) => (path.startsWith("/blobs/") && faults-- > 0 ? 503 : undefined);
    const first = await play(async () => {});
    expect(first.completion?.workspace.status).toBe("captured");
    const { run, held } = await prepare({ script: async () => {} });
    plane.api.fault = (path) =>
      path.includes("/manifests/") && !path.includes(first.lease.task_tree.artifact_id) && plane.api.calls.at(-1)?.path !== path
        ? 400
        : undefined;
    plane.api.fault = (path) => (path.startsWith("/blobs/") && run.phase === "ending" ? 400 : undefined);
    await run.execute();
    held.release();
    expect(plane.completions[1]).toMatchObject({
      end: { status: "succeeded" },
      workspace: { status: "capture_failed", message: expect.stringMatching(/refused with status 400/) },
    });
  });
});

describe("a lot of output", () => {
  test("passes whole, with bounded space, while the control plane is slow", async () => {
    plane.binary = true;
    const megabytes = 24;
    const block = Buffer.alloc(65_536, "0123456789abcdef\n");
    let most = 0;
    const { completion } = await play(
      async ({ write }) => {
        for (let sent = 0; sent < megabytes * 16; sent += 1) {
          await write("stdout", block);
          const spool = join(host.leasesDirectory, readdirSync(host.leasesDirectory)[0]!, "spool");
          most = Math.max(most, readdirSync(spool).length);
        }
      },
      { limits: { spoolBytesMax: 2 * 1024 * 1024 } },
    );
    expect(Buffer.byteLength(plane.text("stdout"))).toBe(megabytes * 16 * 65_536);
    expect(completion?.end).toMatchObject({ status: "succeeded" });
    // Segments of 8 MiB: the bound of 2 MiB leaves at most the present one and the one before.
    expect(most).toBeLessThanOrEqual(2);
    expectClean();
  }, 30_000);

  test("a spool that cannot be written ends the run with a reason", async () => {
    const { completion } = await play(async ({ write }) => {
      const spool = join(host.leasesDirectory, readdirSync(host.leasesDirectory)[0]!, "spool");
      rmSync(spool, { recursive: true });
      await write("stdout", "lost\n");
      await new Promise(() => {});
    });
    expect(completion?.end).toMatchObject({ status: "failed", failure_kind: "worker_failed", reason: "spool_failed" });
  });
});
