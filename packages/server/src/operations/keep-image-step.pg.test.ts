import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuildCall } from "./end-build.ts";
import { completeBuild } from "./end-build.ts";
import { type Engine, eachStep, openEngine, taskDeclaration, type TestWorker, uploadSource } from "./engine.fixture.ts";
import { grantBuildLeases } from "./grant-leases.ts";
import { deliverBuildSecrets, findImageSteps, keepImageStep, type NewImageStep } from "./keep-image-step.ts";
import { collectGarbage } from "../reconcilers/collect-garbage.ts";
import { putSecret } from "./put-secret.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  worker = await engine.worker();
});
afterAll(() => engine.close());

async function building(): Promise<BuildCall> {
  const deployment = await uploadSource(engine);
  const [lease] = await grantBuildLeases(engine.context, worker, 1);
  if (lease?.kind !== "build" || lease.deployment.id !== deployment.id) throw new TypeError("another build was leased");
  return { worker, deploymentId: deployment.id, leaseId: lease.lease_id, fence: lease.fence };
}

const end = (call: BuildCall) =>
  completeBuild(engine.context, call, { reportThrough: 0, result: { status: "failed", failure: { kind: "bad_request", message: "end" } } });

let count = 0;
const keyOf = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
function step(change: Partial<NewImageStep> = {}): NewImageStep {
  count += 1;
  return {
    key: keyOf(`step ${count}`),
    place: `tools ${count}`,
    inputs: { parent: "p", command: "npm ci" },
    artifact: engine.artifact(),
    config: { env: { A: "b" }, workdir: "/app", user: "node" },
    ...change,
  };
}

describe("steps of images", () => {
  test("one that was kept is found by any later build of the project, and the first artifact counts", async () => {
    const call = await building();
    const one = step();
    const kept = await keepImageStep(engine.context, call, one);
    expect(kept).toMatchObject({ step: { key: one.key, artifact: { artifact_id: one.artifact.artifact_id }, config: one.config } });
    const again = await keepImageStep(engine.context, call, { ...one, artifact: engine.artifact() });
    expect(again).toEqual(kept);
    const found = await findImageSteps(engine.context, call, [
      { key: one.key, place: one.place },
      { key: keyOf("unknown"), place: one.place },
    ]);
    expect(found).toMatchObject({ found: [{ key: one.key }], previous: [{ place: one.place, inputs: one.inputs }] });
    await end(call);
  });

  test("nobody without the lease keeps or finds any, and none with artifacts elsewhere", async () => {
    const call = await building();
    const one = step();
    const late = { ...call, fence: call.fence + 1 };
    expect(await keepImageStep(engine.context, late, one)).toEqual({ stale: true });
    expect(await findImageSteps(engine.context, late, [one])).toEqual({ stale: true });
    expect(await deliverBuildSecrets(engine.context, late, ["x"])).toEqual({ stale: true });
    const misplaced = step({ artifact: engine.artifact({ manifest_key: "orgs/x/manifests/y" }) });
    expect(await keepImageStep(engine.context, call, misplaced)).toMatchObject({ message: expect.stringContaining("not its own") });
    await end(call);
  });

  test("a deployment has the image that was kept, and no other artifact", async () => {
    const call = await building();
    const one = step();
    await keepImageStep(engine.context, call, one);
    const result = (artifactId: string) => ({
      status: "built" as const,
      index: {
        tasks: [taskDeclaration("hello")],
        sandboxes: [{ id: "box", image: "tools", workspacePath: "/workspace", resources: {}, network: { internet: true } }],
        images: { tools: { id: "tools", steps: [{ kind: "from" as const, ref: "debian" }] } },
        queues: [],
        streams: [],
      },
      task_tree: engine.artifact(),
      images: [{ image: "tools", digest: one.key, artifact_id: artifactId, config: { env: {}, workdir: "/w", user: "" } }],
    });
    const id = one.artifact.artifact_id;
    expect(await completeBuild(engine.context, call, { reportThrough: 0, result: result(id) })).toEqual({
      state: "deployed",
      warm: [{ image: one.key, milli_cpu: 2000, memory_mib: 2048 }],
    });
    const sandbox = await engine.one("select image_artifact_id, image_ref from deployment_sandboxes where deployment_id = $1", [
      call.deploymentId,
    ]);
    expect(sandbox).toEqual({ image_artifact_id: id, image_ref: one.key });
    const other = await building();
    const foreign = engine.artifact().artifact_id;
    expect(await completeBuild(engine.context, other, { reportThrough: 0, result: result(foreign) })).toEqual({ state: "failed" });
  });

  test("one that was not used for a month is forgotten", async () => {
    const call = await building();
    const [old, used] = [step(), step()];
    for (const one of [old, used]) await keepImageStep(engine.context, call, one);
    await engine.sql("update image_steps set used_at = now() - interval '31 days' where key = $1", [old.key]);
    await collectGarbage(engine.context).run();
    expect(await findImageSteps(engine.context, call, [old, used])).toMatchObject({ found: [{ key: used.key }], previous: [] });
    await end(call);
  });

  test("each step may fail: it is kept once", async () => {
    await eachStep(engine, {
      setup: async () => ({ call: await building(), one: step() }),
      act: ({ call, one }) => keepImageStep(engine.context, call, one),
      async check({ call, one }, result) {
        expect(result).toMatchObject({ step: { artifact: { artifact_id: one.artifact.artifact_id } } });
        await end(call);
      },
    });
  });
});

test("secrets of the environment, each by itself", async () => {
  const call = await building();
  await putSecret(engine.context.db, engine.context.keys, { scope: engine.scope, name: "TOKEN", value: "the value" });
  expect(await deliverBuildSecrets(engine.context, call, ["TOKEN", "NONE"])).toEqual({
    values: [{ name: "TOKEN", value: "the value" }],
    unavailable: [{ name: "NONE", message: expect.stringContaining("secret not found") }],
  });
});
