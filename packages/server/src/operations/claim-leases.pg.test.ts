import type { ClaimRequest, Lease, RunLease } from "@helmr/protocol/worker";
import { until } from "@helmr/test/services";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isStale } from "../worker-actor.ts";
import { type ClaimDesk, openClaimDesk } from "./claim-leases.ts";
import { type Engine, openEngine, taskDeclaration, type TestWorker, uploadSource } from "./engine.fixture.ts";
import { putSecret, deleteSecret } from "./put-secret.ts";

let engine: Engine;
let desk: ClaimDesk;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("keyed", { secrets: [{ name: "token", env: "TOKEN" }] }),
      taskDeclaration("large", { sandbox: "large" }),
    ],
    sandboxes: [
      { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } },
      {
        id: "large",
        workspacePath: "/data",
        resources: { cpu: 8, memory: "32Gi", disk: "20Gi" },
        network: { internet: true, allow: ["example.com"] },
      },
    ],
  });
});
afterAll(() => engine.close());
beforeEach(() => {
  desk = openClaimDesk(engine.context);
});
afterEach(async () => {
  desk.close();
  for (const { id } of await engine.sql<{ id: string }>("select id from runs where state <> 'finished'")) await finish(id);
});

const finish = async (id: string) => {
  const { cancelRun } = await import("./cancel-run.ts");
  await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: id, body: { force: true } });
};
const small = { milli_cpu: 4_000, memory_mib: 8_192, disk_mib: 100_000, slots: 2 };
const request = (worker: TestWorker, over: Partial<ClaimRequest> = {}): ClaimRequest => ({
  epoch: worker.epoch,
  free: small,
  warm: { images: [], workspaces: [], checkpoints: [] },
  kinds: ["run", "build"],
  wait_ms: 5_000,
  held: [],
  ...over,
});
const claim = async (worker: TestWorker, over: Partial<ClaimRequest> = {}, signal = new AbortController().signal): Promise<Lease[]> => {
  const leases = await desk.claim(worker, request(worker, over), signal);
  if (isStale(leases)) throw new TypeError("stale");
  return leases;
};
const runIds = (leases: Lease[]) => leases.map((lease) => (lease as RunLease).run.id);

describe("a claim", () => {
  test("is answered at once when work is ready, with all that an attempt needs", async () => {
    const { run, session } = await engine.start({ payload: { a: [1] } });
    const worker = await engine.worker();
    const [lease] = (await claim(worker)) as RunLease[];
    expect(lease).toMatchObject({
      kind: "run",
      fence: 1,
      needs: { milli_cpu: 2_000, memory_mib: 2_048 },
      run: {
        id: run.id,
        session_id: session.id,
        attempt_number: 1,
        task_id: "hello",
        module: "tasks/hello.mjs",
        export_name: "hello",
        payload: { a: [1] },
        active_ms_left: 900_000,
        secrets: [],
      },
      report: { accepted: 0, stdout: 0, stderr: 0, logger: 0 },
      image: { ref: "helmr/node:24", artifact: null, config: { env: {}, workdir: "/workspace", user: "root" } },
      network: { internet: true },
      workspace: { workspace_id: session.workspace_id, mount_path: "/workspace", size_mib: 10_240, base: null, fence: 1 },
      checkpoint: null,
    });
    expect(lease!.ttl_ms).toBeGreaterThan(70_000);
    expect(lease!.storage.org_id).toBe(engine.scope.orgId);
    expect(await engine.invariants()).toEqual([]);
  });

  test("waits, and is woken by a start", async () => {
    const worker = await engine.worker();
    const waiting = claim(worker);
    await until(
      "the claim is in the line",
      async () =>
        (await engine.sql("select 1 from workers where id = $1 and last_seen_at > now() - interval '5 seconds'", [worker.workerId]))
          .length === 1,
    );
    const begun = performance.now();
    const { run } = await engine.start();
    expect(runIds(await waiting)).toEqual([run.id]);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  test("without work is answered with nothing after its time, or when its worker hangs up", async () => {
    const worker = await engine.worker();
    expect(await claim(worker, { wait_ms: 1 })).toEqual([]);
    const gone = new AbortController();
    const waiting = claim(worker, { wait_ms: 60_000 }, gone.signal);
    setTimeout(() => gone.abort(), 20);
    expect(await waiting).toEqual([]);
    const { run } = await engine.start();
    expect(await engine.one("select state from runs where id = $1", [run.id])).toEqual({ state: "queued" });
  });

  test("takes no more than fits, in order of rank", async () => {
    const low = await engine.start({ priority: -1 });
    const first = await engine.start();
    const high = await engine.start({ priority: 9 });
    const worker = await engine.worker();
    const leases = await claim(worker);
    expect(runIds(leases)).toEqual([high.run.id, first.run.id]);
    expect(runIds(await claim(worker, { held: leases.map((lease) => lease.lease_id) }))).toEqual([low.run.id]);
  });

  test("what is too large holds nobody up", async () => {
    const large = await engine.start({ task_id: "large", priority: 100 });
    const { run } = await engine.start();
    const worker = await engine.worker();
    const leases = await claim(worker, { wait_ms: 200 });
    expect(runIds(leases)).toEqual([run.id]);
    const held = leases.map((lease) => lease.lease_id);
    const [lease] = (await claim(worker, { held, free: { ...small, milli_cpu: 8_000, memory_mib: 65_536 } })) as RunLease[];
    expect(lease).toMatchObject({
      run: { id: large.run.id },
      network: { internet: true, allow: ["example.com"] },
      workspace: { mount_path: "/data", size_mib: 20_480 },
    });
  });

  test("gives a lease again whose answer was lost", async () => {
    const { run } = await engine.start();
    const worker = await engine.worker();
    const [lost] = await claim(worker);
    const [again] = (await claim(worker, { held: [] })) as RunLease[];
    expect(again).toMatchObject({ lease_id: lost!.lease_id, fence: lost!.fence, run: { id: run.id } });
    expect(await claim(worker, { held: [lost!.lease_id], wait_ms: 1 })).toEqual([]);
  });

  test("of an older epoch is stale; of a worker that drains it gets nothing", async () => {
    const worker = await engine.worker();
    expect(await desk.claim(worker, request(worker, { epoch: 0 }), new AbortController().signal)).toEqual({ stale: true });
    await engine.start();
    await engine.sql("update workers set state = 'draining' where id = $1", [worker.workerId]);
    expect(await claim(worker)).toEqual([]);
  });

  test("two workers share what is ready; the warm one gets its own", async () => {
    const [a, b] = [await engine.worker(), await engine.worker()];
    const first = await engine.start();
    const second = await engine.start();
    const warm = { images: [], workspaces: [second.session.workspace_id], checkpoints: [] };
    const [left, right] = await Promise.all([claim(a, { free: { ...small, slots: 1 } }), claim(b, { free: { ...small, slots: 1 }, warm })]);
    expect([...runIds(left), ...runIds(right)].sort()).toEqual([first.run.id, second.run.id].sort());
  });

  test("carries secrets as they are now; without them the run fails instead of starting", async () => {
    const { db, keys } = engine.context;
    await putSecret(db, keys, { scope: engine.scope, name: "token", value: "old" });
    const present = await engine.start({ task_id: "keyed" });
    await putSecret(db, keys, { scope: engine.scope, name: "token", value: "new" });
    const worker = await engine.worker();
    const [lease] = (await claim(worker)) as RunLease[];
    expect(lease!.run).toMatchObject({ id: present.run.id, secrets: [{ name: "token", env: "TOKEN", value: "new" }] });
    const gone = await engine.start({ task_id: "keyed" });
    await deleteSecret(db, engine.scope, "token");
    expect(await claim(worker, { held: [lease!.lease_id], wait_ms: 100 })).toEqual([]);
    const failed = await engine.one(
      "select attributes->'detail'->>'message' as message from run_events where run_id = $1 and kind = 'run.failed'",
      [gone.run.id],
    );
    expect(failed).toEqual({ message: 'secret "token" is unavailable: secret not found' });
    expect(await engine.invariants()).toEqual([]);
  });

  test("a workspace that was mounted meanwhile sends its run back to the gate", async () => {
    const { run, session } = await engine.start();
    await engine.sql(
      `insert into workspace_mounts (id, org_id, project_id, environment_id, workspace_id, deployment_sandbox_id, fence, state)
       select gen_random_uuid(), org_id, project_id, environment_id, id, deployment_sandbox_id, 1, 'mounted' from workspaces where id = $1`,
      [session.workspace_id],
    );
    const worker = await engine.worker();
    expect(await claim(worker, { wait_ms: 100 })).toEqual([]);
    expect(await engine.one("select gate from run_queue where run_id = $1", [run.id])).toEqual({ gate: "workspace" });
    await engine.sql("update workspace_mounts set state = 'unmounted' where workspace_id = $1", [session.workspace_id]);
  });

  test("builds come before runs", async () => {
    await engine.start();
    const deployment = await uploadSource(engine);
    const worker = await engine.worker();
    const [build] = await claim(worker, { free: { ...small, memory_mib: 8_192, disk_mib: 100_000 } });
    expect(build).toMatchObject({
      kind: "build",
      deployment: { id: deployment.id, attempt: 1 },
      image: { ref: "helmr/node:24", artifact: null },
    });
    expect(await engine.one("select state, build_attempts from deployments where id = $1", [deployment.id])).toEqual({
      state: "building",
      build_attempts: 1,
    });
    expect(await engine.invariants()).toEqual([]);
  });
});

test("environments take turns", async () => {
  const { rows } = { rows: await engine.sql<{ id: string }>("select id from environments order by is_default desc") };
  const other = rows.find((row) => row.id !== engine.scope.environmentId)!;
  for (let count = 0; count < 6; count += 1) await engine.start();
  // The queue does not care that the other environment's runs are the same runs.
  const moved = await engine.sql<{ run_id: string }>(
    "update run_queue set environment_id = $1 where run_id in (select run_id from run_queue order by queued_at desc limit 2) returning run_id",
    [other.id],
  );
  const proposed = await engine.context.dispatch.propose({
    group: "default",
    free: [{ milliCpu: 1e6, memoryMib: 1e6, diskMib: 1e9, slots: 99 }],
    restores: [],
    limit: 4,
  });
  expect(proposed.map((candidate) => moved.some((row) => row.run_id === candidate.runId)).filter(Boolean)).toHaveLength(2);
  await engine.sql("update run_queue set environment_id = $1", [engine.scope.environmentId]);
});
