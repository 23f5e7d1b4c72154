/** The command as an operator runs it: a process with its configuration in the environment. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DeviceStore } from "../chunks/sealed-store.fixture.ts";
import { generateKeyRing, keyRingText, withNewRoot } from "../key-ring.ts";
import { type Engine, openEngine } from "../operations/engine.fixture.ts";
import { openKeys } from "../secrets.ts";

const oldRing = generateKeyRing();
const ring = withNewRoot(oldRing, "content");
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
});
afterAll(() => engine.close());

function run(keyRing: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const environment = {
    HELMR_DATABASE_URL: engine.databaseUrl,
    HELMR_STATE_DIR: "/nowhere",
    HELMR_BLOB_DIR: engine.blobDirectory,
    HELMR_KEY_RING: keyRing,
  };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(import.meta.dirname, "rotate-content.ts")],
      { env: environment, timeout: 30_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

test("says what it could not read and exits with 1; then with 0 and nothing but the new key", async () => {
  const [task] = await engine.sql<{ id: string }>("select task_artifact_id as id from deployments");
  const missing = await run(keyRingText(ring));
  expect(missing).toMatchObject({ code: 1, stdout: expect.stringContaining(`"unreadable":1`) });
  expect(missing.stderr).toContain(`task artifact ${task!.id} of organization ${engine.scope.orgId} was left as it is: Object orgs/`);

  const devices = new DeviceStore({ blobs: engine.context.blobs, keys: openKeys(oldRing), orgId: engine.scope.orgId });
  const stored = await devices.store(randomBytes(100_000));
  await engine.sql("update artifacts set digest = $2, manifest_key = $3 where id = $1", [task!.id, stored.digest, stored.manifest_key]);
  // The manifest is bound to its artifact: this one belongs to another.
  expect((await run(keyRingText(ring))).stderr).toContain("it does not open");
  const id = stored.artifact_id;
  await engine.sql(
    "insert into artifacts (id, org_id, kind, state, manifest_key, digest, length_bytes, stored_bytes) select $1, org_id, kind, state, manifest_key, digest, 100000, 1 from artifacts where id = $2",
    [id, task!.id],
  );
  await engine.sql("update deployments set task_artifact_id = $1", [id]);
  const done = await run(keyRingText(ring));
  expect(done).toMatchObject({ code: 0, stderr: `${id}: 1 artifacts sealed again\n` });
  expect(JSON.parse(done.stdout)).toMatchObject({ resealed: 1, unreadable: 0, remaining: { [ring.content[0].id]: 1 } });
  expect(JSON.parse((await run(keyRingText(ring))).stdout)).toMatchObject({ resealed: 0, moved: 0 });
});
