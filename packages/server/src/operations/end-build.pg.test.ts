import type { ProjectIndex } from "@helmr/protocol/guest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isStale } from "../worker-actor.ts";
import { type BuildCall, completeBuild, reportBuild } from "./end-build.ts";
import { type Engine, eachStep, openEngine, taskDeclaration, type TestWorker, uploadSource } from "./engine.fixture.ts";
import { grantBuildLeases } from "./grant-leases.ts";
import { loseLease } from "./lose-lease.ts";
import { readSource } from "./read-source.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  worker = await engine.worker();
});
afterAll(() => engine.close());

const building = async () => {
  const deployment = await uploadSource(engine);
  return { deployment, ...(await leaseBuild(deployment.id)) };
};
const leaseBuild = async (id: string) => {
  const [lease] = await grantBuildLeases(engine.context, worker, 1);
  if (lease?.kind !== "build" || lease.deployment.id !== id) throw new TypeError("another build was leased");
  const call: BuildCall = { worker, deploymentId: id, leaseId: lease.lease_id, fence: lease.fence };
  return { lease, call };
};
const index = (shape: Partial<ProjectIndex> = {}): ProjectIndex => ({
  tasks: [taskDeclaration("hello")],
  sandboxes: [{ id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } }],
  images: {},
  queues: [],
  streams: [],
  ...shape,
});
const built = (shape?: Partial<ProjectIndex>) => ({
  status: "built" as const,
  index: index(shape),
  task_tree: engine.artifact(),
  images: [],
});
const complete = (call: BuildCall, result: Parameters<typeof completeBuild>[2]["result"], reportThrough = 0) =>
  completeBuild(engine.context, call, { reportThrough, result });
const events = (id: string) =>
  engine.sql<{ kind: string; message: string }>("select kind, message from deployment_events where deployment_id = $1 order by seq", [id]);
const stateOf = (id: string) => engine.one("select state, error->>'message' as error from deployments where id = $1", [id]);

describe("completeBuild()", () => {
  test("stores the catalog and deploys", async () => {
    const { deployment, call } = await building();
    const result = built({
      tasks: [
        taskDeclaration("hello", { queue: "q", schedule: { cron: "* * * * *", timezone: "UTC" }, secrets: [{ name: "s", env: "S" }] }),
      ],
      queues: [{ id: "q", concurrencyLimit: 2 }],
      streams: [{ direction: "input", name: "in", fingerprint: "f" }],
    });
    expect(await complete(call, result)).toEqual({ state: "deployed" });
    expect(await stateOf(deployment.id)).toEqual({ state: "deployed", error: null });
    const task = await engine.one(
      "select t.queue_name, t.concurrency_limit, t.secrets, b.sandbox_id, b.image_ref, b.milli_cpu, d.task_artifact_id from deployment_tasks t join deployment_sandboxes b on b.id = t.sandbox_id join deployments d on d.id = t.deployment_id where d.id = $1",
      [deployment.id],
    );
    expect(task).toEqual({
      queue_name: "q",
      concurrency_limit: 2,
      secrets: [{ name: "s", env: "S" }],
      sandbox_id: "box",
      image_ref: "helmr/node:24",
      milli_cpu: 2_000,
      task_artifact_id: result.task_tree.artifact_id,
    });
    expect(await engine.sql("select direction, name from deployment_streams where deployment_id = $1", [deployment.id])).toEqual([
      { direction: "input", name: "in" },
    ]);
    expect(await engine.sql("select task_id, cron from deployment_schedules where deployment_id = $1", [deployment.id])).toEqual([
      { task_id: "hello", cron: "* * * * *" },
    ]);
    expect((await events(deployment.id)).map((event) => event.kind)).toEqual([
      "deployment.queued",
      "deployment.building",
      "deployment.deployed",
    ]);
    expect(await complete(call, result)).toEqual({ state: "deployed" });
    expect(await engine.invariants()).toEqual([]);
  });

  test.each([
    ["a project rule", built0({ tasks: [taskDeclaration("a"), taskDeclaration("a")] }), /duplicate task id "a"/],
    [
      "an image that was not built",
      built0({
        sandboxes: [{ id: "box", image: "own", workspacePath: "/workspace", resources: {}, network: { internet: true } }],
        images: { own: { id: "own", steps: [] } },
      }),
      /uses image "own".*leave the image out/,
    ],
    [
      "a path that PostgreSQL cannot store",
      built0({ tasks: [taskDeclaration("hello", { file: "a\0b", queue: "none" })] }),
      /undefined queue "none"/,
    ],
  ])("%s fails the deployment with a sentence", async (_what, shape, message) => {
    const { deployment, call } = await building();
    expect(await complete(call, built(shape))).toEqual({ state: "failed" });
    expect(await stateOf(deployment.id)).toMatchObject({ state: "failed", error: expect.stringMatching(message) });
    expect((await events(deployment.id)).at(-1)).toMatchObject({ kind: "deployment.failed", message: expect.stringMatching(message) });
    expect(await engine.sql("select 1 from deployment_tasks where deployment_id = $1", [deployment.id])).toEqual([]);
  });

  test("artifacts elsewhere than the organization's fail it", async () => {
    const { deployment, call } = await building();
    expect(await complete(call, { ...built(), task_tree: engine.artifact({ manifest_key: "orgs/x/manifests/y" }) })).toEqual({
      state: "failed",
    });
    expect(await stateOf(deployment.id)).toMatchObject({ error: expect.stringContaining("not its own") });
  });

  test("a failure of the guest is shown as it is; the same content may be tried again", async () => {
    const { deployment, call } = await building();
    expect(
      await complete(call, { status: "failed", failure: { kind: "task_parse_failed", message: "tasks/a.ts:3:7 Expected ;\0" } }),
    ).toEqual({ state: "failed" });
    expect(await stateOf(deployment.id)).toEqual({ state: "failed", error: "tasks/a.ts:3:7 Expected ;\ufffd" });
  });

  test("an interrupted build is queued again, then fails", async () => {
    const { deployment, call } = await building();
    expect(await complete(call, { status: "interrupted", message: "the disk is full" })).toEqual({ state: "requeued" });
    const second = await leaseBuild(deployment.id);
    expect(await loseLease(engine.context, { id: second.lease.lease_id, kind: "build" }, "fenced")).toBe(true);
    expect(await complete(second.call, built())).toEqual({ stale: true });
    const third = await leaseBuild(deployment.id);
    expect(third.lease.deployment.attempt).toBe(3);
    expect(await complete(third.call, { status: "interrupted", message: "again" })).toEqual({ state: "failed" });
    expect(await stateOf(deployment.id)).toMatchObject({ state: "failed", error: "the build was interrupted 3 times: again" });
    expect(await engine.invariants()).toEqual([]);
  });
});

function built0(shape: Partial<ProjectIndex>): Partial<ProjectIndex> {
  return shape;
}

describe("reportBuild()", () => {
  const event = (message: string, kind = "deployment.build.log") => ({
    kind,
    severity: "info" as const,
    message,
    attributes: { n: "\0" },
    age_ms: 0,
  });

  test("appends in order, accepts replays, refuses gaps and reserved kinds", async () => {
    const { deployment, call } = await building();
    expect(await reportBuild(engine.context, call, { first: 1, events: [event("one"), event("two\0")] })).toEqual({ accepted: 2 });
    expect(await reportBuild(engine.context, call, { first: 1, events: [event("one"), event("two"), event("three")] })).toEqual({
      accepted: 3,
    });
    expect(await reportBuild(engine.context, call, { first: 5, events: [event("five")] })).toEqual({ gap: true, expected: 4 });
    expect(await reportBuild(engine.context, call, { first: 4, events: [event("forged", "deployment.deployed")] })).toEqual({
      accepted: 4,
    });
    expect((await events(deployment.id)).map((row) => row.message).slice(2)).toEqual(["one", "two\ufffd", "three"]);
    expect(await complete(call, built(), 9)).toEqual({ gap: true, expected: 5 });
    expect(await complete(call, built(), 4)).toEqual({ state: "deployed" });
    expect(isStale(await reportBuild(engine.context, call, { first: 5, events: [event("late")] }))).toBe(true);
  });
});

test("the source is for the holder of the lease only", async () => {
  const { deployment, call } = await building();
  const source = await readSource(engine.context, call);
  expect(source).toMatchObject({ sizeBytes: deployment.source_size_bytes });
  if ("bytes" in source) source.bytes.destroy();
  expect(await readSource(engine.context, { ...call, fence: 7 })).toEqual({ stale: true });
  await complete(call, built());
  expect(await readSource(engine.context, call)).toEqual({ stale: true });
});

test("each step may fail: a build ends once", async () => {
  await eachStep(engine, {
    setup: async () => ({ ...(await building()), result: built() }),
    act: ({ call, result }) => complete(call, result),
    async check({ deployment }, result) {
      expect(result).toEqual({ state: "deployed" });
      expect(await engine.sql("select 1 from deployment_tasks where deployment_id = $1", [deployment.id])).toHaveLength(1);
    },
  });
});
