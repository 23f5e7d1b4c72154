/** Real packs and manifests, sealed as a worker seals them, stored again under a new key beside a working control plane. */
import { randomBytes, randomUUID } from "node:crypto";
import type { NewArtifact } from "@helmr/protocol/worker";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { BoundedCache } from "../bounded-cache.ts";
import { ChunkDevice } from "../chunks/chunk-device.ts";
import { openManifest } from "../chunks/open-chunks.ts";
import { DeviceStore } from "../chunks/sealed-store.fixture.ts";
import { generateKeyRing, withNewRoot } from "../key-ring.ts";
import { isRefusal } from "../outcome.ts";
import { type Keys, openKeys } from "../secrets.ts";
import { giveUpStorage, markStorage, purgeStorage } from "./collect-storage.ts";
import { createToken } from "./create-token.ts";
import { eachStep, taskDeclaration } from "./engine.fixture.ts";
import { parkRequest } from "./park-run.fixture.ts";
import { parkRun } from "./park-run.ts";
import { type ContentRotationOptions, rotateContent } from "./rotate-content.ts";
import { openSessions, type Sessions } from "./sessions.fixture.ts";

const oldRing = generateKeyRing();
const newRing = withNewRoot(oldRing, "content");
const oldKeys = openKeys(oldRing);
const bothKeys = openKeys(newRing);
const onlyNew = openKeys({ ...newRing, content: [newRing.content[0]] });
const newKeyId = newRing.content[0].id;
const oldKeyId = oldRing.content[0].id;

let sessions: Sessions;
let devices: DeviceStore;
beforeAll(async () => {
  sessions = await openSessions({ tasks: [taskDeclaration("hello")] });
  // What the fixture's deployment names was never stored.
  await sessions.sql("update artifacts set state = 'corrupt'");
  devices = new DeviceStore({ blobs: sessions.context.blobs, keys: oldKeys, orgId: sessions.scope.orgId });
});
afterEach(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.sql("update artifacts set state = 'corrupt' where state = 'ready'");
});
afterAll(() => sessions.close());

const rotate = (options?: ContentRotationOptions, keys: Keys = bothKeys) =>
  rotateContent({ db: sessions.context.db, blobs: sessions.context.blobs, keys }, options);

/** Its bytes, opened with these keys alone. */
async function bytesOf(artifactId: string, keys: Keys): Promise<Buffer> {
  const { blobs } = sessions.context;
  const { orgId } = sessions.scope;
  const row = await sessions.one<{ manifest_key: string; digest: string }>("select manifest_key, digest from artifacts where id = $1", [
    artifactId,
  ]);
  const fetch = async (key: string, range?: { start: number; end: number }) => {
    const found = await blobs.get(key, range && { start: range.start, endExclusive: range.end });
    assert(found, `Object ${key} is there`);
    return Buffer.concat((await found.bytes.toArray()) as Buffer[]);
  };
  const { idKey, contentKeys: content } = keys.storageKeys(orgId);
  const opening = { orgId, idKey, content };
  const manifest = openManifest(opening, { id: artifactId, digest: row.digest }, await fetch(row.manifest_key));
  return new ChunkDevice({ manifest, keys: opening, fetch, cache: new BoundedCache(0) }).read(0, manifest.lengthBytes);
}

const kinds = ["memory", "device", "scratch", "template"] as const;
interface Parked {
  runId: string;
  checkpointId: string;
  artifacts: Record<(typeof kinds)[number], NewArtifact>;
  workspace: NewArtifact;
  bytes: Record<(typeof kinds)[number] | "workspace", Buffer>;
}

async function parked(over: Partial<Parked["bytes"]> = {}): Promise<Parked> {
  const random = (size: number) => Buffer.concat([randomBytes(size), Buffer.alloc(200_000), randomBytes(size)]);
  const bytes = {
    memory: random(150_000),
    device: random(1_000),
    scratch: random(70_000),
    template: random(65_536),
    workspace: random(130_000),
    ...over,
  };
  const store = (name: keyof typeof bytes) => devices.store(bytes[name]);
  const program = await sessions.program();
  const { environmentId, orgId } = sessions.scope;
  const created = await createToken(sessions.context, {
    environmentId,
    timeoutMs: 60_000,
    tags: [],
    metadata: {},
    idempotencyKey: undefined,
  });
  assert(!isRefusal(created), "A token is created");
  const answer = await program.call({ kind: "wait", on: { kind: "token", token_id: created.token.id }, parkable: true });
  assert(answer.state === "waiting", "The wait is open");
  const artifacts = {
    memory: await store("memory"),
    device: await store("device"),
    scratch: await store("scratch"),
    template: await store("template"),
  };
  const workspace = await store("workspace");
  const request = parkRequest(orgId, answer.waitId, {
    artifacts,
    workspace: { status: "captured", version_id: randomUUID(), artifact: workspace, size_bytes: 10, entry_count: 1 },
  });
  expect(await parkRun(sessions.context, program.held, request)).toEqual({ state: "parked" });
  return { runId: program.runId, checkpointId: request.checkpointId, artifacts, workspace, bytes };
}

/** What the checkpoint and its version refer to now. */
const referred = (subject: Parked) =>
  sessions.one<Record<(typeof kinds)[number] | "workspace", string>>(
    `select memory_artifact_id as memory, device_artifact_id as device, scratch_artifact_id as scratch, template_artifact_id as template, v.artifact_id as workspace
       from checkpoints c join workspace_versions v on v.id = c.workspace_version_id where c.id = $1`,
    [subject.checkpointId],
  );

async function expectReadable(subject: Parked, keys: Keys): Promise<void> {
  for (const [kind, id] of Object.entries(await referred(subject)))
    expect((await bytesOf(id, keys)).equals(subject.bytes[kind as keyof Parked["bytes"]]), kind).toBe(true);
}

async function collect(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) {
    await markStorage(sessions.context);
    await giveUpStorage(sessions.context, { graceMs: 0, batch: 1_000 });
    await purgeStorage(sessions.context, 1_000);
  }
}

describe("rotateContent()", () => {
  test("what is parked is read with the new key alone, before and after the old bytes are collected; a repeat does nothing", async () => {
    const shared = randomBytes(300_000);
    const [one, other] = [await parked({ template: shared }), await parked({ template: Buffer.concat([shared, Buffer.alloc(70_000, 7)]) })];
    const first = await rotate({ page: 3 });
    expect(first).toMatchObject({ unreadable: [], remaining: { [newKeyId]: 10 } });
    expect(first.resealed + first.moved).toBe(10);
    for (const subject of [one, other]) await expectReadable(subject, onlyNew);
    // Who was told of the old ones reads on.
    expect((await bytesOf(one.artifacts.memory.artifact_id, oldKeys)).equals(one.bytes.memory)).toBe(true);
    // Chunks that both templates share are stored once: 4 of 64 KiB.
    const templates = [(await referred(one)).template, (await referred(other)).template];
    const packs = "select pack_id from artifact_packs where artifact_id = $1";
    expect((await sessions.sql(`${packs} intersect ${packs.replace("$1", "$2")}`, templates)).length).toBe(1);
    expect(await rotate()).toMatchObject({ resealed: 0, moved: 0, remaining: { [newKeyId]: 10 } });
    await collect();
    for (const subject of [one, other]) await expectReadable(subject, onlyNew);
    expect(await sessions.context.blobs.head(one.artifacts.memory.manifest_key)).toBeUndefined();
    for (const pack of one.artifacts.memory.packs) expect(await sessions.context.blobs.head(pack.object_key)).toBeUndefined();
  });

  test("what is stored under the old key, or refers to an old artifact again, while it runs is found by the next pass", async () => {
    await parked();
    let subject: Parked | undefined;
    const rotation = await rotate({ page: 1, onArtifact: async () => void (subject ??= await parked()) });
    expect(rotation).toMatchObject({ resealed: 10, remaining: { [newKeyId]: 10 } });
    assert(subject, "Something was parked meanwhile");
    await expectReadable(subject, onlyNew);
    // A worker that still knew the old template names it once more.
    await sessions.sql("update checkpoints set template_artifact_id = $2 where id = $1", [
      subject.checkpointId,
      subject.artifacts.template.artifact_id,
    ]);
    expect(await rotate()).toMatchObject({ resealed: 0, moved: 1, remaining: { [newKeyId]: 10 } });
    await expectReadable(subject, onlyNew);
  });

  test("what cannot be opened is named and left, the rest is done", async () => {
    const [missing, damaged] = [await parked(), await parked()];
    await sessions.context.blobs.delete(missing.artifacts.memory.packs[0]!.object_key);
    const manifest = damaged.artifacts.device.manifest_key;
    await sessions.context.blobs.delete(manifest);
    await sessions.context.blobs.put(manifest, randomBytes(500));
    const rotation = await rotate();
    expect(rotation.unreadable.map(({ artifactId }) => artifactId).sort()).toEqual(
      [missing.artifacts.memory.artifact_id, damaged.artifacts.device.artifact_id].sort(),
    );
    expect(rotation).toMatchObject({ resealed: 8, remaining: { [newKeyId]: 8 } });
    expect((await referred(missing)).memory).toBe(missing.artifacts.memory.artifact_id);
    // Without the old key nothing is guessed.
    const strange = await parked();
    const lost = await rotate({}, onlyNew);
    expect(lost.unreadable).toHaveLength(7);
    expect(lost.unreadable.map(({ reason }) => reason).join()).toContain(`The content key ${oldKeyId}`);
    await expectReadable(strange, oldKeys);
  });

  test("each statement may fail: what was referred to stays readable, and a repeat ends it", async () => {
    const small = (): Partial<Parked["bytes"]> => Object.fromEntries([...kinds, "workspace"].map((kind) => [kind, randomBytes(1_000)]));
    const failures = await eachStep(sessions, {
      setup: async () => {
        await sessions.sql("update artifacts set state = 'corrupt' where state = 'ready'");
        const subject = await parked(small());
        // One that matters is enough.
        await sessions.sql("update artifacts set state = 'corrupt' where state = 'ready' and id <> $1", [
          subject.artifacts.memory.artifact_id,
        ]);
        return subject;
      },
      act: () => rotate(),
      check: async (subject) => {
        const { memory } = await referred(subject);
        expect(memory).not.toBe(subject.artifacts.memory.artifact_id);
        expect((await bytesOf(memory, onlyNew)).equals(subject.bytes.memory)).toBe(true);
      },
    });
    expect(failures).toBeGreaterThan(20);
  });
});
