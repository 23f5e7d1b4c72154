import { afterAll, beforeAll, expect, test } from "vitest";
import { type Engine, openEngine, type TestWorker } from "./engine.fixture.ts";
import { grantBlobs } from "./grant-blobs.ts";
import { loseLease } from "./lose-lease.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
});
afterAll(() => engine.close());

test("a holder gets objects of its organization, and only packs and manifests", async () => {
  const { run } = await engine.start();
  const { lease } = await engine.execute(worker, run.id);
  const fenced = { leaseId: lease.lease_id, fence: lease.fence };
  const { packs, manifest_key } = engine.artifact();
  const key = packs[0]!.object_key;
  const granted = await grantBlobs(engine.context, worker, { ...fenced, gets: [manifest_key], puts: [{ object_key: key, size_bytes: 5 }] });
  expect(granted).toMatchObject([
    { object_key: manifest_key, method: "GET", url: expect.stringContaining(manifest_key) },
    { object_key: key, method: "PUT", url: expect.stringContaining("size=5") },
  ]);
  for (const foreign of [
    `orgs/01980a00-0000-7000-8000-000000000001/packs/${packs[0]!.pack_id}`,
    `orgs/${engine.scope.orgId}/sources/x`,
    `orgs/${engine.scope.orgId}/packs/../x`,
    "packs",
    `${key}/x`,
  ]) {
    expect(await grantBlobs(engine.context, worker, { ...fenced, gets: [foreign], puts: [] })).toMatchObject({ status: 403 });
  }
  expect(await grantBlobs(engine.context, worker, { ...fenced, fence: 9, gets: [key], puts: [] })).toEqual({ stale: true });
  expect(await grantBlobs(engine.context, await engine.worker(), { ...fenced, gets: [key], puts: [] })).toEqual({ stale: true });
  await loseLease(engine.context, { id: lease.lease_id, kind: "run" }, "fenced");
  expect(await grantBlobs(engine.context, worker, { ...fenced, gets: [key], puts: [] })).toEqual({ stale: true });
});
