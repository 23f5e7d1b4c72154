/** Builds and runs in real machines, with the real guest in them; the control plane stands at the wire. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { until } from "@helmr/test/services";
import type { ArtifactRef, RunLease, StorageKeys } from "@helmr/protocol/worker";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Build } from "../build/build.ts";
import { HeldLease } from "../control/held-lease.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import { buildLeaseOfTest, runLeaseOfTest } from "../testing/leases.ts";
import { type RealHost, realHost } from "./real-host.fixture.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { Run } from "./run.ts";

const root = temporaryDirectory("vm-runs");
const storage: StorageKeys = storageKeysOfTest();
const needs = { milli_cpu: 1000, memory_mib: 512, disk_mib: 1024 };

/** Written like this because it is not this package that imports it. */
const sdk = ["@helmr", "sdk"].join("/");
const tasks = `
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { logger, metadata, sandbox, task } from "${sdk}";
const box = sandbox("box");
const anything = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
const declare = (id: string, run: (payload: any, ctx: any) => unknown) => task({ id, sandbox: box, payload: anything, run } as never);

export const hello = declare("hello", async (payload) => {
  console.log("hello " + payload.name);
  console.error("to stderr");
  logger.info("noted", { n: 1 });
  await metadata.set("seen", payload.name);
  writeFileSync("from-" + payload.name, "content of " + payload.name);
  return { files: readdirSync(".").sort(), cwd: process.cwd() };
});
export const fails = declare("fails", () => {
  writeFileSync("left", "by a failed run");
  throw new Error("on purpose");
});
export const waits = declare("waits", async (_payload, ctx) => {
  console.log("waiting");
  await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
  writeFileSync("tidied", "yes");
  console.log("tidied");
});
export const hangs = declare("hangs", () => {
  console.log("busy");
  for (;;) {}
});
export const eats = declare("eats", () => {
  const kept: Buffer[] = [];
  for (;;) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
});
export const fills = declare("fills", () => {
  for (let n = 0; ; n += 1) writeFileSync("big-" + n, Buffer.alloc(4 * 1024 * 1024, n));
});
export const reads = declare("reads", () => readFileSync("big-0").length);
export const talks = declare("talks", async (payload) => {
  const line = "0123456789abcdef".repeat(64) + "\\n";
  const block = line.repeat(64);
  for (let sent = 0; sent < payload.bytes; sent += block.length)
    if (!process.stdout.write(block)) await new Promise((resolve) => process.stdout.once("drain", resolve));
});
export const forks = declare("forks", () => {
  spawn("sh", ["-c", "while :; do sleep 1; done"], { detached: true, stdio: "ignore" }).unref();
  return "left a child";
});
export const exits = declare("exits", () => process.exit(7));
export const secrets = declare("secrets", () => {
  console.log("value " + process.env["TOKEN"] + " end");
  return readFileSync("/run/secret", "utf8");
});
export const panics = declare("panics", () => {
  console.log("about to panic");
  execFileSync("sh", ["-c", "echo c > /proc/sysrq-trigger"]);
});
`;

let plane: TestControlPlane;
let real: RealHost;
let tree: ArtifactRef;

beforeAll(async () => {
  plane = await TestControlPlane.start();
  plane.binary = true;
  real = await realHost(plane);
  tree = await buildProject();
  // So that no test waits for the template of its shape.
  await play("hello", { payload: { name: "warm" } });
});
afterAll(async () => {
  await real?.close();
  await plane?.api.close();
});
beforeEach(() => {
  plane.items.length = 0;
  plane.completions.length = 0;
});

/** The tasks above, built in a guest. */
async function buildProject(): Promise<ArtifactRef> {
  const files = {
    "package.json": JSON.stringify({ name: "p", type: "module", packageManager: "npm@11.0.0", dependencies: { [sdk]: "0.1.0" } }),
    "helmr.config.ts": `import { defineConfig } from "${sdk}"; export default defineConfig({ project: "p", dirs: ["./tasks"] });`,
    "tasks/all.ts": tasks,
  };
  const directory = join(root, "source");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  const tar = execFileSync("tar", ["-C", directory, "-cf", "-", "."], { maxBuffer: 1e9 });
  const lease = buildLeaseOfTest({ needs: { ...needs, memory_mib: 1024, disk_mib: 2048 } }, storage);
  lease.deployment = {
    ...lease.deployment,
    content_hash: `sha256:${createHash("sha256").update(tar).digest("hex")}`,
    source_bytes: tar.length,
  };
  plane.sources.set(lease.deployment.id, tar);
  const held = new HeldLease(lease, performance.now());
  await new Build(real.host, held).execute();
  held.release();
  const result = plane.builds.at(-1)?.result;
  if (result?.status !== "built")
    throw new TypeError(`The build ended otherwise: ${JSON.stringify(result)} ${JSON.stringify(plane.buildEvents.slice(-20))}`);
  expect(result.index.tasks.map((task) => task.id)).toContain("hello");
  const { artifact_id, manifest_key, digest, length_bytes } = result.task_tree;
  modules = new Map(result.index.tasks.map((task) => [task.id, task.module]));
  return { artifact_id, manifest_key, digest, length_bytes };
}
let modules: Map<string, string>;

function leaseOf(
  task: string,
  change: { payload?: unknown; run?: Partial<RunLease["run"]>; workspace?: Partial<RunLease["workspace"]> } = {},
): RunLease {
  const lease = runLeaseOfTest({ needs, task_tree: tree }, storage);
  lease.image.config = { env: {}, workdir: "/workspace", user: "root" };
  lease.run = { ...lease.run, task_id: task, module: modules.get(task)!, export_name: task, payload: change.payload ?? {}, ...change.run };
  lease.workspace = { ...lease.workspace, size_mib: 256, ...change.workspace };
  return lease;
}

function begin(lease: RunLease) {
  const held = new HeldLease(lease, performance.now());
  const run = new Run(real.host, held);
  const done = run.execute().then(() => held.release());
  return { held, run, done };
}

async function play(...parts: Parameters<typeof leaseOf>) {
  const lease = leaseOf(...parts);
  await begin(lease).done;
  return plane.completions.find((completion) => completion.lease_id === lease.lease_id);
}

function versionOf(completion: Awaited<ReturnType<typeof play>>) {
  if (completion?.workspace.status !== "captured") throw new TypeError(`not captured: ${JSON.stringify(completion)}`);
  return completion.workspace;
}

function expectClean(): void {
  expect(readdirSync(real.host.leasesDirectory)).toEqual([]);
  expect(real.events.filter((one) => one.event === "background.failed")).toEqual([]);
}

describe("a task in a machine", () => {
  test("runs, is heard, and leaves a version that the next run finds", async () => {
    const first = await play("hello", { payload: { name: "Ada" } });
    expect(first?.end).toEqual({ status: "succeeded", exit_code: 0, output: { value: { files: ["from-Ada"], cwd: "/workspace" } } });
    expect(plane.text("stdout")).toBe("hello Ada\n");
    expect(plane.text("stderr")).toBe("to stderr\n");
    expect(JSON.parse(plane.text("logger"))).toMatchObject({ level: "info", fields: { n: 1 } });
    expect(plane.items.filter((item) => item.kind === "metadata")).toMatchObject([{ operation: { op: "set", key: "seen", value: "Ada" } }]);
    const version = versionOf(first);
    expect(version).toMatchObject({ entry_count: 1 });
    plane.items.length = 0;
    const second = await play("hello", { payload: { name: "Bob" }, workspace: { base: version.artifact } });
    expect(second?.end).toMatchObject({ output: { value: { files: ["from-Ada", "from-Bob"] } } });
    expect(versionOf(second)).toMatchObject({ entry_count: 2 });
    // A second version costs its change, not the disk.
    expect(versionOf(second).artifact.stored_bytes).toBeLessThan(200_000);
    expectClean();
  });

  test("of the same version twice at once does not disturb itself", async () => {
    const base = versionOf(await play("hello", { payload: { name: "Ada" } }));
    const both = await Promise.all(["One", "Two"].map((name) => play("hello", { payload: { name }, workspace: { base: base.artifact } })));
    expect(both.map((one) => one?.end)).toMatchObject([
      { output: { value: { files: ["from-Ada", "from-One"] } } },
      { output: { value: { files: ["from-Ada", "from-Two"] } } },
    ]);
    expectClean();
  });

  test("gets its secrets, and they are masked on the way out", async () => {
    const secrets = [
      { name: "TOKEN", value: "hunter2-is-long-enough", env: "TOKEN" },
      { name: "FILE", value: "another-secret-value", file: "/run/secret" },
    ];
    const completion = await play("secrets", { run: { secrets } });
    expect(plane.text("stdout")).toBe("value *** end\n");
    expect(completion?.end).toMatchObject({ status: "succeeded", output: { value: "***" } });
  });

  test("writes 100 MB of log that arrive whole", async () => {
    const bytes = 100 * 1024 * 1024;
    const completion = await play("talks", { payload: { bytes } });
    expect(completion?.end).toMatchObject({ status: "succeeded" });
    const received = plane.items.reduce(
      (sum, item) => sum + (item.kind === "log" && item.stream === "stdout" ? Buffer.byteLength(item.data, "base64") : 0),
      0,
    );
    expect(received).toBe(Math.ceil(bytes / (64 * 1025)) * 64 * 1025);
  });

  test("leaves children behind and is over all the same", async () => {
    expect((await play("forks"))?.end).toMatchObject({ status: "succeeded", output: { value: "left a child" } });
    expectClean();
  });
});

describe("a task that ends badly", () => {
  test("throws: it fails with its message, and what it wrote is kept", async () => {
    const completion = await play("fails");
    expect(completion?.end).toMatchObject({
      status: "failed",
      failure_kind: "task_failed",
      exit_code: 1,
      message: expect.stringMatching(/on purpose/),
    });
    expect(versionOf(completion).entry_count).toBe(1);
    expect(plane.text("stderr")).toMatch(/on purpose/);
  });

  test("exits by itself: its exit code is kept", async () => {
    expect((await play("exits"))?.end).toMatchObject({ status: "failed", exit_code: 7, failure_kind: "task_failed" });
  });

  test("runs out of memory: the reason says so", async () => {
    expect((await play("eats"))?.end).toMatchObject({ status: "failed", failure_kind: "task_failed", reason: "out_of_memory" });
  });

  test("fills its disk: the reason says so, and the version is readable", async () => {
    const completion = await play("fills", { workspace: { size_mib: 64 } });
    expect(completion?.end).toMatchObject({ status: "failed", reason: "disk_full" });
    const next = await play("reads", { workspace: { size_mib: 64, base: versionOf(completion).artifact } });
    expect(next?.end).toMatchObject({ status: "succeeded", output: { value: 4 * 1024 * 1024 } });
  });

  test("takes too long: max_duration", async () => {
    expect((await play("hangs", { run: { active_ms_left: 2_000 } }))?.end).toMatchObject({
      status: "failed",
      failure_kind: "max_duration",
    });
  });

  test("brings its kernel down: the guest died, and what was said before is kept", async () => {
    const completion = await play("panics");
    // Without the right to do so it is an ordinary failure of the task.
    expect(completion?.end.status).toBe("failed");
    expect(plane.text("stdout")).toBe("about to panic\n");
    expectClean();
  });
});

describe("from outside", () => {
  test("a cancelled task may tidy up", async () => {
    const { held, done } = begin(leaseOf("waits"));
    await until("the task", () => plane.text("stdout") === "waiting\n", 30_000);
    held.direct({ type: "cancel", lease_id: held.id, force: false, reason: "enough" });
    await done;
    expect(plane.completions[0]).toMatchObject({ end: { status: "cancelled", forced: false }, workspace: { entry_count: 1 } });
    expect(plane.text("stdout")).toBe("waiting\ntidied\n");
  });

  test("a task that hears nothing is stopped with force", async () => {
    const { held, done } = begin(leaseOf("hangs"));
    await until("the task", () => plane.text("stdout") === "busy\n", 30_000);
    const began = performance.now();
    held.direct({ type: "cancel", lease_id: held.id, force: true, reason: "enough" });
    await done;
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(plane.completions[0]?.end).toMatchObject({ status: "cancelled" });
  });

  test("a monitor that is killed ends the run with that reason, and the next run finds a sound tree", async () => {
    const base = versionOf(await play("hello", { payload: { name: "Ada" } }));
    plane.items.length = 0;
    plane.completions.length = 0;
    const { done } = begin(leaseOf("hangs", { workspace: { base: base.artifact } }));
    await until("the task", () => plane.text("stdout") === "busy\n", 30_000);
    const [leftover] = await real.host.driver.findLeftovers(real.host.leasesDirectory);
    process.kill(leftover!.pid, "SIGKILL");
    await done;
    const [completion] = plane.completions;
    expect(completion?.end).toMatchObject({ status: "failed", failure_kind: "worker_failed", reason: "monitor_died" });
    const next = await play("hello", { payload: { name: "Bob" }, workspace: { base: versionOf(completion).artifact } });
    expect(next?.end).toMatchObject({ output: { value: { files: ["from-Ada", "from-Bob"] } } });
    expectClean();
  });

  test("a lost lease kills the machine and says nothing", async () => {
    const { held, done } = begin(leaseOf("hangs"));
    await until("the task", () => plane.text("stdout") === "busy\n", 30_000);
    held.lose("stale");
    await done;
    expect(plane.completions).toEqual([]);
    expect(await real.host.driver.findLeftovers(real.host.leasesDirectory)).toEqual([]);
    expectClean();
  });
});

test("every start says where its time went", async () => {
  real.events.length = 0;
  await play("hello", { payload: { name: "Ada" } });
  expect(real.events.filter((one) => one.event === "run.timeline")).toHaveLength(1);
});
