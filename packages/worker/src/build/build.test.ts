import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "@helmr/test/services";
import type { BuildLease } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { HeldLease } from "../control/held-lease.ts";
import { tar } from "../images/layers/layer.fixture.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import type { GuestBehaviour } from "../testing/fake-guest.ts";
import { buildLeaseOfTest } from "../testing/leases.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { type TestHost, testHost } from "../testing/worker-host.ts";
import { Build } from "./build.ts";

const root = temporaryDirectory("builds");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());

let plane: TestControlPlane;
let host: TestHost;
let count = 0;
beforeEach(async () => {
  storage = storageKeysOfTest();
  plane = await TestControlPlane.start();
});
afterEach(async () => {
  host.client.close();
  await plane.api.close();
});

const source = randomBytes(700_000);
let storage = storageKeysOfTest();
const index = {
  tasks: [{ id: "hello", file: "hello.ts", module: "hello.mjs", exportName: "hello", sandbox: "box", secrets: [] }],
  sandboxes: [],
  images: {},
  queues: [],
  streams: [],
};

async function prepare(
  build: GuestBehaviour["build"],
  change: Partial<BuildLease["deployment"]> = {},
  behaviour: GuestBehaviour = {},
  archive: Buffer = source,
) {
  count += 1;
  host = await testHost(plane, { home: join(root, String(count)), chunks });
  host.driver.behaviour = { build, ...behaviour };
  // The same on every worker.
  host.builtInImage = join(root, "base-image", "image.ext4");
  const base = buildLeaseOfTest({}, storage);
  const hash = createHash("sha256").update(archive).digest("hex");
  const lease: BuildLease = {
    ...base,
    needs: { milli_cpu: 1000, memory_mib: 256, disk_mib: 64 },
    deployment: { ...base.deployment, content_hash: `sha256:${hash}`, source_bytes: archive.length, ...change },
  };
  plane.sources.set(lease.deployment.id, archive);
  const held = new HeldLease(lease, performance.now());
  return { held, lease, build: new Build(host, held) };
}

async function play(...parts: Parameters<typeof prepare>) {
  const made = await prepare(...parts);
  await made.build.execute();
  made.held.release();
  return { ...made, completion: plane.builds[0] };
}

function expectClean(): void {
  expect(readdirSync(host.leasesDirectory)).toEqual([]);
  for (const machine of host.driver.machines) expect(machine.stops).toBeGreaterThan(0);
}

describe("a build that works", () => {
  test("sends the source, passes phases and lines on, stores the tree", async () => {
    let got = Buffer.alloc(0);
    const { completion, lease } = await play(async (guest, bytes) => {
      got = Buffer.from(bytes);
      guest.send({ type: "build.phase", phase: "unpacking", message: "Unpacking the source" });
      await guest.write("buildLog", Buffer.from("one\r\ntwo\nlast without an end"));
      return { status: "built", index, dependencies: "none" };
    });
    expect(got.equals(source)).toBe(true);
    expect(completion).toMatchObject({
      lease_id: lease.lease_id,
      report_through: plane.buildEvents.length,
      result: { status: "built", index, images: [] },
    });
    const said = plane.buildEvents.filter((event) => event.kind !== "deployment.preparing").map((event) => [event.kind, event.message]);
    expect(said).toEqual([
      ["deployment.phase", "Unpacking the source"],
      ["deployment.log", "one"],
      ["deployment.log", "two"],
      ["deployment.log", "last without an end"],
      ["deployment.storing", "Storing the task tree"],
    ]);
    const { spec, guest } = host.driver.last;
    expect(spec.disks.workspace?.sizeBytes).toBe(64 * 2 ** 20);
    expect(guest.received.find((message) => message.type === "attach")).toMatchObject({
      disks: { workspace: { path: "/opt/helmr-task" }, task: false },
    });
    if (completion?.result.status !== "built") throw new TypeError("not built");
    expect(host.bases.has(lease.storage.org_id, completion.result.task_tree.digest)).toBe(true);
    expectClean();
  });

  test("a long log arrives whole, with lost answers on the way", async () => {
    let faults = 4;
    plane.api.fault = (path) => (path.endsWith("/report") && faults-- > 0 ? "lost" : undefined);
    await play(async (guest) => {
      for (let line = 0; line < 3_000; line += 1) await guest.write("buildLog", Buffer.from(`line ${line} ${"x".repeat(200)}\n`));
      return { status: "built", index, dependencies: "none" };
    });
    const lines = plane.buildEvents.filter((event) => event.kind === "deployment.log");
    expect(lines).toHaveLength(3_000);
    expect(lines.at(-1)?.message).toMatch(/^line 2999 /);
    expectClean();
  });
});

describe("dependencies", () => {
  const manifest = { name: "p", dependencies: { "is-odd": "3.0.1" } };
  const asks = () =>
    host.driver.machines.map(({ guest }) => {
      const start = guest.received.find((message) => message.type === "build.start");
      return start?.type === "build.start" ? [start.only, start.installDependencies] : undefined;
    });

  async function playWith(lock: string) {
    const archive = tar({ path: "package.json", data: JSON.stringify(manifest) }, { path: "package-lock.json", data: lock });
    const first = host?.driver.machines.length ?? 0;
    const played = await play(
      async (guest) => {
        const start = guest.received.find((message) => message.type === "build.start");
        return start?.type === "build.start" && start.only !== undefined
          ? { status: "installed" }
          : { status: "built", index, dependencies: "installed" };
      },
      { content_hash: `sha256:${createHash("sha256").update(archive).digest("hex")}`, source_bytes: archive.length },
      {},
      archive,
    );
    return { ...played, first };
  }

  test("of a lock file are installed once, by a machine of their own; a build finds them and says so", async () => {
    const { completion } = await playWith("lock one");
    expect(completion?.result).toMatchObject({ status: "built" });
    expect(asks()).toEqual([
      ["dependencies", true],
      [undefined, false],
    ]);
    const said = () =>
      plane.buildEvents
        .filter((event) => event.kind === "deployment.dependencies")
        .map((event) => event.attributes["reason"] ?? event.message);
    expect(said()).toEqual(["they were not installed before"]);
    expect(plane.imageSteps.size).toBe(1);
    expectClean();
    const kept = [...plane.imageSteps];
    const places = [...plane.imagePlaces];
    const blobs = [...plane.blobs];
    await plane.api.close();
    plane = await TestControlPlane.start();
    for (const [key, step] of kept) plane.imageSteps.set(key, step);
    for (const [place, inputs] of places) plane.imagePlaces.set(place, inputs);
    for (const [key, bytes] of blobs) plane.blobs.set(key, bytes);
    const again = await playWith("lock one");
    expect(again.completion?.result).toMatchObject({ status: "built" });
    expect(asks()).toEqual([[undefined, false]]);
    expect(said()).toEqual(["dependencies: cached"]);
    await plane.api.close();
    plane = await TestControlPlane.start();
    for (const [place, inputs] of places) plane.imagePlaces.set(place, inputs);
    await playWith("lock two");
    expect(said()).toEqual(["the lock file changed"]);
  });
});

describe("a build that does not", () => {
  test("the project is wrong: its failure is passed on", async () => {
    const failure = { kind: "task_parse_failed", message: "tasks/a.ts:3:7: Expected ;" } as const;
    const { completion } = await play(async () => ({ status: "failed", failure }));
    expect(completion?.result).toEqual({ status: "failed", failure });
    expectClean();
  });

  test.each([
    ["the machine dies", async () => host.driver.last.die({ reason: "monitor_died", exitCode: 1, signal: null, stderr: "" })],
    ["the guest answers something else", async () => ({ status: "surprise" })],
  ])("%s: interrupted", async (_, build) => {
    const { completion } = await play(async () => {
      const answer = await build();
      return answer ?? new Promise(() => {});
    });
    expect(completion?.result).toMatchObject({ status: "interrupted" });
    expectClean();
  });

  test("the source is corrupt or cannot be had: interrupted", async () => {
    const { completion } = await play(async () => ({}), { content_hash: `sha256:${"0".repeat(64)}` });
    expect(completion?.result).toMatchObject({ status: "interrupted", message: expect.stringMatching(/hash/) });
    expectClean();
  });

  test("it takes too long: failed, in bounded time", async () => {
    const { completion } = await play(() => new Promise(() => {}), { timeout_ms: 300 });
    expect(completion?.result).toMatchObject({ status: "failed", failure: { kind: "timeout" } });
    expectClean();
  });

  test("it is cancelled: failed, and says so", async () => {
    const { held, build } = await prepare(() => new Promise(() => {}));
    const running = build.execute();
    await until("the build", () => host.driver.machines[0]?.guest.has("build.start"));
    held.direct({ type: "cancel", lease_id: held.id, force: false, reason: "superseded" });
    await running;
    held.release();
    expect(plane.builds[0]?.result).toMatchObject({
      status: "failed",
      failure: { message: expect.stringMatching(/cancelled: superseded/) },
    });
    expectClean();
  });

  test("its lease is lost: nothing more is said", async () => {
    const { held, build } = await prepare(() => new Promise(() => {}));
    const running = build.execute();
    await until("the build", () => host.driver.machines[0]?.guest.has("build.start"));
    held.lose("stale");
    await running;
    expect(plane.builds).toEqual([]);
    expectClean();
  });
});
