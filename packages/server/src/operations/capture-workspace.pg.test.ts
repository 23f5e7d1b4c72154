import { randomUUID } from "node:crypto";
import type { LiveRequest } from "@helmr/protocol/worker";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { LiveStream } from "../live-stream.ts";
import { isRefusal } from "../outcome.ts";
import { captureWorkspace } from "./capture-workspace.ts";
import { commitCapture } from "./commit-capture.ts";
import { stopWorkspace } from "./stop-workspace.ts";
import { eachStep } from "./engine.fixture.ts";
import { type HeldMount, type Mounts, openMounts } from "./mounts.fixture.ts";

let mounts: Mounts;
let forget = () => {};
beforeAll(async () => {
  mounts = await openMounts();
});
beforeEach(() => forget());
afterAll(() => mounts.engine.close());

type Body = Parameters<typeof captureWorkspace>[2];
const capture = (workspaceId: string, body: Body = {}) =>
  captureWorkspace(mounts.engine.context, { environmentId: mounts.engine.scope.environmentId, id: workspaceId }, body);

type CaptureRequest = Extract<LiveRequest, { kind: "capture" }>;
type Said = { result: unknown } | { code: string; message: string };

/** The worker's channel: what it is asked, and what it says. */
function worker(answer: (request: CaptureRequest, leaseId: string) => Promise<Said>): CaptureRequest[] {
  const asked: CaptureRequest[] = [];
  forget = mounts.engine.context.live.register(mounts.worker.workerId, {
    push: () => {},
    open(leaseId, request) {
      assert(request.kind === "capture", "Only captures are asked for");
      asked.push(request);
      const stream = new LiveStream(asked.length, { send: () => {}, bytes: () => {}, over: () => {} });
      void answer(request, leaseId).then((said) =>
        "result" in said ? stream.openedWith(said.result) : stream.fail(said.code, said.message),
      );
      return stream;
    },
  });
  return asked;
}

function tree(versionId: string = randomUUID(), message: string | null = null) {
  const made = mounts.engine.captured();
  assert(made.status === "captured", "The fixture makes a tree");
  return { versionId, artifact: made.artifact, sizeBytes: made.size_bytes, entryCount: made.entry_count, message };
}

/** A worker that does what it is asked, and says it until it is answered. */
const honest = (held: HeldMount) =>
  worker(async ({ version_id, message }) => {
    const made = tree(version_id, message);
    const say = () => commitCapture(mounts.engine.context, held.call, made);
    const committed = await say().catch(say);
    assert("state" in committed && committed.state === "captured", JSON.stringify(committed));
    return { result: { state: "captured", version_id, pause_ms: 3.5, stored_bytes: 100 } };
  });

const head = async (workspaceId: string) =>
  (await mounts.engine.one<{ id: string }>("select current_version_id as id from workspaces where id = $1", [workspaceId])).id;

test("a version is made of the live mount, again and again; the mount stays, and its end follows the last one", async () => {
  const held = await mounts.mounted();
  const { workspaceId } = held;
  const first = await head(workspaceId);
  const asked = honest(held);
  const captured = await capture(workspaceId, { message: "now", expected_version_id: first });
  assert(!isRefusal(captured), JSON.stringify(captured));
  expect(captured).toMatchObject({ unchanged: false, pauseMs: 3.5, storedBytes: 100 });
  expect(captured.version).toMatchObject({ kind: "user", state: "ready", parent_version_id: first, message: "now" });
  expect(asked).toMatchObject([{ version_id: captured.version.id, message: "now" }]);
  const second = await capture(workspaceId);
  assert(!isRefusal(second), JSON.stringify(second));
  expect(second.version.parent_version_id).toBe(captured.version.id);
  expect(await head(workspaceId)).toBe(second.version.id);
  expect(await mounts.state(held.call.mountId)).toEqual({ state: "mounted" });
  expect(await mounts.unmount(held, true)).toEqual({ state: "unmounted" });
  const last = await mounts.engine.one("select kind, state, parent_version_id from workspace_versions where id = $1", [
    await head(workspaceId),
  ]);
  expect(last).toEqual({ kind: "system", state: "ready", parent_version_id: second.version.id });
  expect(await mounts.engine.invariants()).toEqual([]);
});

test("nothing to make: without a machine, before it runs, and when the worker says that nothing was written", async () => {
  const workspaceId = await mounts.workspace();
  const first = await head(workspaceId);
  expect(await capture(workspaceId)).toMatchObject({ unchanged: true, version: { id: first } });
  const held = await mounts.mounted(workspaceId);
  const asked = worker(() => Promise.resolve({ result: { state: "unchanged" } }));
  expect(await capture(workspaceId, { idempotency_key: "k" })).toMatchObject({ unchanged: true, version: { id: first } });
  expect(await capture(workspaceId, { idempotency_key: "k" })).toMatchObject({ unchanged: true, version: { id: first } });
  expect(asked).toHaveLength(1);
  await mounts.unmount(held);
  expect(await capture(workspaceId)).toMatchObject({ unchanged: true });
});

test("a repeat with its key finds the version that was made, also when the answer was lost before it came here", async () => {
  const held = await mounts.mounted();
  const { workspaceId } = held;
  let lost = true;
  const asked = worker(async ({ version_id, message }) => {
    await commitCapture(mounts.engine.context, held.call, tree(version_id, message));
    if (lost) return { code: "channel_lost", message: "the channel is gone" };
    return { result: { state: "captured", version_id, pause_ms: 1, stored_bytes: 1 } };
  });
  const body = { idempotency_key: "once", message: "m" };
  expect(await capture(workspaceId, body)).toMatchObject({ status: 503, code: "coordination_unavailable" });
  lost = false;
  const again = await capture(workspaceId, body);
  assert(!isRefusal(again), JSON.stringify(again));
  expect(again).toMatchObject({ unchanged: false, version: { id: asked[0]!.version_id, message: "m" } });
  expect(asked).toHaveLength(1);
  expect(await capture(workspaceId, { ...body, message: "other" })).toMatchObject({ code: "idempotency_fingerprint_mismatch" });
  const other = await capture(workspaceId, { idempotency_key: "another", idempotency_key_ttl: "1h" });
  expect(other).toMatchObject({ version: { parent_version_id: asked[0]!.version_id } });
  await mounts.unmount(held);
});

test("a request that failed is made again with the same version id", async () => {
  const held = await mounts.mounted();
  const failing = worker(() => Promise.resolve({ code: "failed", message: "no room" }));
  expect(await capture(held.workspaceId, { idempotency_key: "k" })).toMatchObject({
    status: 503,
    message: expect.stringContaining("no room"),
  });
  const asked = honest(held);
  expect(await capture(held.workspaceId, { idempotency_key: "k" })).toMatchObject({ version: { id: failing[0]!.version_id } });
  expect(asked).toMatchObject([{ version_id: failing[0]!.version_id }]);
  await mounts.unmount(held);
});

test("refused: another head, no such workspace, one that is archived or being unmounted, a worker that is away or talks nonsense", async () => {
  const held = await mounts.mounted();
  const { workspaceId } = held;
  expect(await capture(workspaceId, { expected_version_id: randomUUID() })).toMatchObject({ status: 409, code: "workspace_head_moved" });
  expect(await capture(randomUUID())).toMatchObject({ status: 404 });
  expect(await capture(workspaceId)).toMatchObject({ status: 503, code: "coordination_unavailable" });
  for (const [said, refusal] of [
    [{ code: "head_moved", message: "x" }, { code: "workspace_head_moved" }],
    [{ code: "ending", message: "x" }, { code: "workspace_mount_active" }],
    [{ result: { state: "what" } }, { status: 502 }],
  ] as const) {
    worker(() => Promise.resolve(said));
    expect(await capture(workspaceId)).toMatchObject(refusal);
    forget();
  }
  await mounts.engine.sql("update workspace_mounts set base_version_id = null where id = $1", [held.call.mountId]);
  expect(await capture(workspaceId)).toMatchObject({ code: "workspace_head_moved" });
  expect(await commitCapture(mounts.engine.context, held.call, tree())).toEqual({ state: "head_moved" });
  await stopWorkspace(mounts.engine.context, { environmentId: mounts.engine.scope.environmentId, id: workspaceId, body: {} });
  expect(await capture(workspaceId)).toMatchObject({ code: "workspace_mount_active" });
  await mounts.unmount(held);
  await mounts.engine.sql("update workspaces set state = 'archived' where id = $1", [workspaceId]);
  expect(await capture(workspaceId)).toMatchObject({ code: "workspace_not_active" });
});

test("each step of a request may fail; repeating it with its key gives the same answer", async () => {
  const failures = await eachStep(mounts.engine, {
    setup: async () => {
      const held = await mounts.mounted();
      forget();
      worker(() => Promise.resolve({ result: { state: "unchanged" } }));
      return held;
    },
    act: (held) => capture(held.workspaceId, { idempotency_key: "k" }),
    check: async (held, captured) => {
      expect(captured).toMatchObject({ unchanged: true, version: { id: await head(held.workspaceId) } });
      await mounts.unmount(held);
    },
  });
  expect(failures).toBeGreaterThan(8);
});
