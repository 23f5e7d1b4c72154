import pg from "pg";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assert } from "../assert.ts";
import { blobKey } from "../blobs/keys.ts";
import { isRefusal } from "../outcome.ts";
import { collectSources } from "./collect-sources.ts";
import { createDeployment, queueDeployment, storeSource } from "./create-deployment.ts";
import { type Engine, openEngine, sourceHash, sourceTar } from "./engine.fixture.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
});
afterAll(() => engine.close());

let count = 0;
async function archive() {
  const bytes = await sourceTar({ "package.json": String((count += 1)) });
  const digest = sourceHash(bytes);
  const input = () => ({
    scope: engine.scope,
    metadata: { content_hash: digest },
    source: Readable.from([bytes]),
    sdkVersion: undefined,
    cliVersion: undefined,
  });
  const isStored = async () => (await engine.context.blobs.head(blobKey.source(engine.scope.orgId, digest))) !== undefined;
  return { digest, input, isStored };
}
const collect = () => collectSources(engine.context, { graceMs: 0 });

test("an archive stays while a deployment refers to it, and goes after the last one; one that was never queued goes, too", async () => {
  const { digest, input, isStored } = await archive();
  const abandoned = await archive();
  const created = await createDeployment(engine.context, input());
  assert(!isRefusal(created), "It was created");
  await storeSource(engine.context, abandoned.input());
  await collect();
  expect(await isStored()).toBe(true);
  expect(await abandoned.isStored()).toBe(false);
  await engine.sql("delete from deployments where id = $1", [created.id]);
  await collectSources(engine.context);
  expect(await isStored()).toBe(true);
  await collect();
  expect(await isStored()).toBe(false);
  expect(await engine.sql("select digest from blobs where digest = $1", [digest])).toEqual([]);
});

test("an upload that was told the archive is there is not robbed of it", async () => {
  const { input, isStored } = await archive();
  await storeSource(engine.context, input());
  // Marked and old; then somebody uploads it again, and has not queued it yet.
  await collectSources(engine.context);
  const size = await storeSource(engine.context, input());
  assert(!isRefusal(size), "It was stored");
  const [removed] = await Promise.all([
    collectSources(engine.context, { graceMs: 60_000 }),
    queueDeployment(engine.context, { ...input(), size }),
  ]);
  expect(removed.more).toBe(false);
  expect(await isStored()).toBe(true);
  await collect();
  expect(await isStored()).toBe(true);
});

test("an upload waits for a removal that has begun, and stores the archive again", async () => {
  const { digest, input, isStored } = await archive();
  await storeSource(engine.context, input());
  const remover = new pg.Client({ connectionString: engine.databaseUrl });
  await remover.connect();
  try {
    await remover.query("begin");
    await remover.query("delete from blobs where digest = $1", [digest]);
    await engine.context.blobs.delete(blobKey.source(engine.scope.orgId, digest));
    const again = createDeployment(engine.context, input());
    await remover.query("commit");
    assert(!isRefusal(await again), "It was created");
  } finally {
    await remover.end();
  }
  expect(await isStored()).toBe(true);
  expect(await engine.one("select size_bytes > 0 as known from blobs where digest = $1", [digest])).toEqual({ known: true });
});
