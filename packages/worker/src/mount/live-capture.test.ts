import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { LiveUpMessage } from "@helmr/protocol/worker";
import { until } from "@helmr/test/services";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { ChunkWorker } from "../chunks/chunk-worker.ts";
import { HeldLease } from "../control/held-lease.ts";
import { TestControlPlane } from "../testing/control-plane.ts";
import { mountLeaseOfTest } from "../testing/leases.ts";
import { temporaryDirectory } from "../testing/temporary.ts";
import { storageKeysOfTest } from "../testing/tenant.ts";
import { type TestHost, testHost } from "../testing/worker-host.ts";
import { Mount } from "./mount.ts";

const root = temporaryDirectory("captures");
const chunks = new ChunkWorker();
afterAll(() => chunks.close());
let plane: TestControlPlane;
let host: TestHost;
let said: LiveUpMessage[];
let held: HeldLease;
let done: Promise<void>;
let calls = 0;

beforeEach(async () => {
  plane = await TestControlPlane.start();
  calls += 1;
  host = await testHost(plane, { home: join(root, String(calls)), chunks });
  said = [];
  host.live.connected({ text: (message) => said.push(message), bytes: () => {} });
  held = new HeldLease(mountLeaseOfTest({}, storageKeysOfTest()), performance.now());
  done = new Mount(host, held).execute();
  // Its workspace is known to the desk from then on.
  await until("it is mounted", async () => (await call({ kind: "file", operation: { kind: "stat", path: "." } })).type === "live.opened");
});
afterEach(async () => {
  held.direct({ type: "unmount", lease_id: held.id });
  await done;
  expect(readdirSync(host.leasesDirectory)).toEqual([]);
  host.client.close();
  await plane.api.close();
});

type Request = Parameters<typeof host.live.receive>[0] & { type: "live.open" };
type Answer = Extract<LiveUpMessage, { type: "live.opened" | "live.failed" }>;

async function call(request: Request["request"]): Promise<Answer> {
  calls += 1;
  const id = calls;
  host.live.receive({ type: "live.open", call: id, lease_id: held.id, request });
  return until(`call ${id} is answered`, () =>
    said.find((message): message is Answer => (message.type === "live.opened" || message.type === "live.failed") && message.call === id),
  );
}

const capture = (versionId: string = randomUUID()) => call({ kind: "capture", version_id: versionId, message: "m" });
const write = () => call({ kind: "file", operation: { kind: "mkdir", path: "d" } });
const copies = () => host.driver.last.copies;

test("costs what was written since the last one; nothing when nothing was", async () => {
  expect(await capture()).toMatchObject({ result: { state: "unchanged" } });
  await write();
  const id = randomUUID();
  expect(await capture(id)).toMatchObject({ result: { state: "captured", version_id: id, pause_ms: 2 } });
  expect(plane.captures).toMatchObject([{ version_id: id, message: "m", lease_id: held.id }]);
  expect(await capture()).toMatchObject({ result: { state: "unchanged" } });
  await write();
  await capture();
  expect(copies()).toEqual(["start", "copy"]);
  // Asked again after an answer that was lost.
  const last = plane.captures.at(-1)?.version_id ?? "";
  await write();
  expect(await capture(last)).toMatchObject({ result: { state: "captured", version_id: last } });
  expect(copies()).toHaveLength(2);
  held.direct({ type: "unmount", lease_id: held.id });
  await done;
  expect(plane.mountEnds).toMatchObject([{ workspace: { status: "captured" } }]);
});

test("what was captured is not stored again at the end", async () => {
  await write();
  await capture();
  held.direct({ type: "unmount", lease_id: held.id });
  await done;
  expect(plane.mountEnds).toMatchObject([{ workspace: { status: "unchanged" } }]);
});

test("a version that was not taken leaves the mount dirty, and the next copy begins from the start", async () => {
  await write();
  await capture();
  await write();
  plane.captureState = "head_moved";
  expect(await capture()).toMatchObject({ type: "live.failed", code: "head_moved" });
  plane.captureState = "captured";
  expect(await capture()).toMatchObject({ result: { state: "captured" } });
  expect(copies()).toEqual(["start", "copy", "start"]);
});

test("a guest that went on by itself, or does not answer, makes no version", async () => {
  await write();
  host.driver.behaviour.lateThaw = true;
  expect(await capture()).toMatchObject({ type: "live.failed", code: "failed" });
  host.driver.behaviour.lateThaw = false;
  host.driver.behaviour.silent = ["sync"];
  expect(await capture()).toMatchObject({ type: "live.failed", code: "failed" });
  host.driver.behaviour.silent = [];
  expect(plane.captures).toEqual([]);
  expect(await capture()).toMatchObject({ result: { state: "captured" } });
});

test("one at a time; a machine that ends gives up what is under way", async () => {
  await write();
  const [first, second] = [capture(), capture()];
  expect(await first).toMatchObject({ result: { state: "captured" } });
  expect(await second).toMatchObject({ result: { state: "unchanged" } });
  await write();
  host.driver.behaviour.silent = ["thaw"];
  const third = capture();
  await until("it stands still", () => host.driver.last.guest.has("sync"));
  held.direct({ type: "unmount", lease_id: held.id });
  expect(await third).toMatchObject({ type: "live.failed", code: "ending" });
  await done;
  host.driver.behaviour.silent = [];
  expect(plane.mountEnds).toMatchObject([{ workspace: { status: "captured" } }]);
});
