/** The collection against writers at every moment: nothing that is referred to disappears, nothing else survives. */
import { randomUUID } from "node:crypto";
import { utimes } from "node:fs/promises";
import type { NewArtifact } from "@helmr/protocol/worker";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { isRefusal } from "../outcome.ts";
import { artifactInsert } from "../store/artifact.ts";
import { checkArtifact } from "./check-artifact.ts";
import { giveUpStorage, markStorage, purgeStorage, refuseOrphans } from "./collect-storage.ts";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterEach(async () => expect(await engine.invariants()).toEqual([]));
afterAll(() => engine.close());

const pack = () => {
  const id = randomUUID();
  return { pack_id: id, object_key: `orgs/${engine.scope.orgId}/packs/${id}`, size_bytes: 100 };
};

/** Uploaded as a worker does it; nothing in the database names it. */
async function uploaded(packs: NewArtifact["packs"] = [pack()]): Promise<NewArtifact> {
  const artifact = engine.artifact({ packs });
  for (const { object_key } of packs) await engine.context.blobs.put(object_key, Buffer.alloc(100, 1));
  await engine.context.blobs.put(artifact.manifest_key, Buffer.from(artifact.artifact_id));
  return artifact;
}

async function commit(artifact: NewArtifact, workspaceId?: string): Promise<{ workspaceId: string; versionId: string }> {
  const { session, run } = await engine.start(workspaceId === undefined ? {} : { workspace_id: workspaceId });
  const versionId = randomUUID();
  const workspace = { status: "captured" as const, version_id: versionId, artifact, size_bytes: 1, entry_count: 1 };
  const done = await engine.complete((await engine.execute(worker, run.id)).call, undefined, { workspace });
  assert(!isRefusal(done), JSON.stringify(done));
  return { workspaceId: session.workspace_id, versionId };
}

const collect = async () => {
  await markStorage(engine.context, 3);
  const given = await giveUpStorage(engine.context, { graceMs: 0, batch: 1_000 });
  await purgeStorage(engine.context, 1_000);
  return given.changed;
};
const settle = async () => {
  for (let left = 5; left > 0 && (await collect()) > 0; left -= 1);
};

async function objects(): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const { key } of engine.context.blobs.list("orgs/")) if (!key.includes("/sources/")) keys.add(key);
  return keys;
}
const keysOf = (...artifacts: NewArtifact[]) =>
  new Set(artifacts.flatMap(({ manifest_key, packs }) => [manifest_key, ...packs.map(({ object_key }) => object_key)]));

test("what only a removed version had is gone, what another version shares stays", async () => {
  const [shared, own, other] = [pack(), pack(), pack()];
  const first = await uploaded([shared, own]);
  const second = await uploaded([shared, other]);
  const { workspaceId, versionId } = await commit(first);
  await commit(second, workspaceId);
  await settle();
  expect(await objects()).toEqual(keysOf(first, second));
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
  await settle();
  expect(await objects()).toEqual(keysOf(second));
  await engine.sql("delete from workspaces where id = $1", [workspaceId]).catch(() => undefined);
  await engine.sql("update workspaces set current_version_id = null where id = $1", [workspaceId]);
  await engine.sql("delete from workspace_versions where workspace_id = $1", [workspaceId]);
  await engine.sql("update workspaces set state = 'archived' where id = $1", [workspaceId]);
  await settle();
  expect(await objects()).toEqual(new Set());
  expect(
    await engine.one("select count(*)::int from artifact_packs p join artifacts a on a.id = p.artifact_id where a.state = 'deleted'"),
  ).toEqual({
    count: 0,
  });
});

test("within the grace period nothing is given up, and being referred to again takes the mark away", async () => {
  const reused = pack();
  const first = await uploaded([reused]);
  const { workspaceId, versionId } = await commit(first);
  await commit(await uploaded(), workspaceId);
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
  await markStorage(engine.context);
  await giveUpStorage(engine.context);
  expect(
    await engine.one("select state, unreferenced_since is not null as marked from artifacts where id = $1", [first.artifact_id]),
  ).toEqual({
    state: "ready",
    marked: true,
  });
  await engine.sql("update workspace_versions set state = 'ready', artifact_id = $2 where id = $1", [versionId, first.artifact_id]);
  await markStorage(engine.context);
  expect(await engine.one("select unreferenced_since from artifacts where id = $1", [first.artifact_id])).toEqual({
    unreferenced_since: null,
  });
});

test("a writer that names a pack while the collection decides: one of the two, never both", async () => {
  for (let round = 0; round < 12; round += 1) {
    const reused = pack();
    const first = await uploaded([reused]);
    const { versionId, workspaceId } = await commit(first);
    await commit(await uploaded(), workspaceId);
    await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
    await markStorage(engine.context);
    await giveUpStorage(engine.context, { graceMs: 0 });
    await markStorage(engine.context);
    const second = await uploaded([reused, pack()]);
    const { run } = await engine.start({ workspace_id: workspaceId });
    const { call } = await engine.execute(worker, run.id);
    const workspace = { status: "captured" as const, version_id: randomUUID(), artifact: second, size_bytes: 1, entry_count: 1 };
    const [completed] = await Promise.all([engine.complete(call, undefined, { workspace }), giveUpStorage(engine.context, { graceMs: 0 })]);
    await purgeStorage(engine.context);
    const kept = await engine.context.blobs.head(reused.object_key);
    const row = await engine.one<{ gone: boolean }>("select deleted_at is not null as gone from packs where id = $1", [reused.pack_id]);
    if (isRefusal(completed)) {
      expect(completed.message).toContain("no longer kept");
      expect(kept).toBeUndefined();
      await engine.complete(call);
    } else {
      expect(row.gone).toBe(false);
      expect(kept).toBeDefined();
    }
  }
});

test("a writer that has checked and not yet committed holds the collection off", async () => {
  const reused = pack();
  const first = await uploaded([reused]);
  const { versionId, workspaceId } = await commit(first);
  await commit(await uploaded(), workspaceId);
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
  await markStorage(engine.context);
  await giveUpStorage(engine.context, { graceMs: 0 });
  await markStorage(engine.context);
  const second = await uploaded([reused]);
  await engine.context.db.tx(async (tx) => {
    expect(await checkArtifact(tx, engine.scope.orgId, second)).toBeUndefined();
    // The lock says no, before anything of the writer can be seen.
    await giveUpStorage(engine.context, { graceMs: 0 });
    expect(await engine.one("select deleted_at from packs where id = $1", [reused.pack_id])).toEqual({ deleted_at: null });
    await artifactInsert(tx, engine.scope.orgId, "workspace", second);
  });
  await giveUpStorage(engine.context, { graceMs: 0 });
  expect(await engine.one("select deleted_at from packs where id = $1", [reused.pack_id])).toEqual({ deleted_at: null });
});

test("the other way round: a writer waits for the decision and is refused", async () => {
  const reused = pack();
  const first = await uploaded([reused]);
  const { versionId, workspaceId } = await commit(first);
  await commit(await uploaded(), workspaceId);
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
  await markStorage(engine.context);
  await giveUpStorage(engine.context, { graceMs: 0 });
  const decider = new pg.Client({ connectionString: engine.databaseUrl });
  await decider.connect();
  try {
    await decider.query("begin");
    await decider.query("select id from packs where id = $1 for update", [reused.pack_id]);
    await decider.query("update packs set deleted_at = now() where id = $1", [reused.pack_id]);
    const checking = engine.context.db.tx((tx) => checkArtifact(tx, engine.scope.orgId, engine.artifact({ packs: [reused] })));
    await decider.query("commit");
    expect(await checking).toContain("no longer kept");
  } finally {
    await decider.end();
  }
});

test("an upload that nobody committed is refused and removed once it is old; a young one and a committed one stay", async () => {
  await settle();
  const abandoned = await uploaded();
  const young = await uploaded();
  const committed = await uploaded();
  await commit(committed);
  const old = new Date(Date.now() - 3 * 86_400_000);
  for (const key of [...keysOf(abandoned), ...keysOf(committed)]) await utimes(`${engine.blobDirectory}/${key}`, old, old);
  expect(await refuseOrphans(engine.context)).toMatchObject({ changed: 2 });
  const left = await objects();
  for (const key of keysOf(abandoned)) expect(left.has(key)).toBe(false);
  for (const key of [...keysOf(young), ...keysOf(committed)]) expect(left.has(key)).toBe(true);
  const late = await engine.context.db.tx((tx) => checkArtifact(tx, engine.scope.orgId, abandoned));
  expect(late).toContain("no longer kept");
  expect(await refuseOrphans(engine.context)).toMatchObject({ changed: 0 });
  await engine.context.blobs.delete(young.manifest_key);
  for (const { object_key } of young.packs) await engine.context.blobs.delete(object_key);
});

test("a crash between giving up and removing is finished by the next pass; tombstones go in the end", async () => {
  await settle();
  const artifact = await uploaded();
  const { versionId, workspaceId } = await commit(artifact);
  await commit(await uploaded(), workspaceId);
  await engine.sql("update workspace_versions set state = 'deleted', artifact_id = null where id = $1", [versionId]);
  await markStorage(engine.context);
  await giveUpStorage(engine.context, { graceMs: 0 });
  // The object is gone, the row was not told.
  await engine.context.blobs.delete(artifact.manifest_key);
  await settle();
  for (const key of keysOf(artifact)) expect(await engine.context.blobs.head(key)).toBeUndefined();
  expect(await engine.sql("select id from packs where deleted_at is not null and purged_at is null")).toEqual([]);
  await engine.sql("update packs set purged_at = now() - interval '8 days' where purged_at is not null");
  await engine.sql("update artifacts set purged_at = now() - interval '8 days' where purged_at is not null");
  await purgeStorage(engine.context);
  expect(await engine.sql("select id from packs where deleted_at is not null")).toEqual([]);
  expect(await engine.sql("select id from artifacts where state = 'deleted'")).toEqual([]);
});

test("an ended checkpoint lets go of its memory", async () => {
  const artifact = await uploaded();
  await engine.context.db.tx((tx) => artifactInsert(tx, engine.scope.orgId, "memory", artifact));
  const { run } = await engine.start();
  const { call } = await engine.execute(worker, run.id);
  const waitId = randomUUID();
  // Its wait does not matter here.
  const client = new pg.Client({ connectionString: engine.databaseUrl });
  await client.connect();
  try {
    await client.query("set session_replication_role = replica");
    await client.query(
      `insert into checkpoints (id, environment_id, run_id, attempt_id, wait_id, state, compatibility, memory_artifact_id, ended_at)
       values ($1, $2, $3, $4, $5, 'deleted', '{}', $6, now() - interval '2 hours')`,
      [randomUUID(), engine.scope.environmentId, run.id, call.attemptId, waitId, artifact.artifact_id],
    );
  } finally {
    await client.end();
  }
  await settle();
  expect(await engine.context.blobs.head(artifact.manifest_key)).toBeUndefined();
  await engine.complete(call);
});

test("an upload that is given up between its check and its commit is refused, and nothing names it", async () => {
  const artifact = await uploaded();
  let tries = 0;
  const wrong = await engine.context.db.tx(async (tx) => {
    tries += 1;
    const found = await checkArtifact(tx, engine.scope.orgId, artifact);
    if (found !== undefined) return found;
    await refuseOrphans(engine.context, { graceMs: 0, now: Date.now() + 1_000 });
    await artifactInsert(tx, engine.scope.orgId, "workspace", artifact);
    return undefined;
  });
  expect(tries).toBe(2);
  expect(wrong).toContain("no longer kept");
  expect(await engine.one("select state from artifacts where id = $1", [artifact.artifact_id])).toEqual({ state: "deleted" });
});
