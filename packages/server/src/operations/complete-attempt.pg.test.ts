import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { isStale } from "../worker-actor.ts";
import { cancelRun } from "./cancel-run.ts";
import { completeAttempt } from "./complete-attempt.ts";
import { type Engine, eachStep, failed, openEngine, succeeded, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { reportAttempt } from "./report-attempt.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("stubborn", { retry: { maxAttempts: 2, backoff: { minMs: 1, jitter: "none" } } }),
      taskDeclaration("patient", { retry: { maxAttempts: 2, backoff: { minMs: 60_000, maxMs: 60_000, jitter: "none" } } }),
      taskDeclaration("limited", { queue: "one" }),
    ],
    queues: [{ id: "one", concurrencyLimit: 1 }],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const running = async (task = "hello") => {
  const { run, session } = await engine.start({ task_id: task });
  return { run, session, ...(await engine.execute(worker, run.id)) };
};
const stored = (id: string) =>
  engine.one(
    `select r.state, r.outcome, r.exit_code, r.output, r.attempt_number, r.active_ms::int, a.state as attempt, l.state as lease
       from runs r join run_attempts a on a.id = r.attempt_id left join leases l on l.run_id = r.id and l.attempt_id = a.id where r.id = $1`,
    [id],
  );
const kinds = async (id: string) =>
  (await engine.sql<{ kind: string }>("select kind from run_events where run_id = $1 order by seq", [id])).map((row) => row.kind);

describe("completeAttempt()", () => {
  test("succeeded: output, exit code, lease, mount, counters and one terminal event", async () => {
    const { run, session, call } = await running();
    expect(await engine.complete(call, { ...succeeded, output: { value: { a: 1 } } })).toEqual({ state: "finished" });
    expect(await stored(run.id)).toMatchObject({
      state: "finished",
      outcome: "succeeded",
      exit_code: 0,
      output: { a: 1 },
      active_ms: 10,
      attempt: "succeeded",
      lease: "released",
    });
    expect(await kinds(run.id)).toEqual(["run.created", "run.completed"]);
    expect(await engine.sql("select state from workspace_mounts where workspace_id = $1", [session.workspace_id])).toEqual([
      { state: "unmounted" },
    ]);
    expect(engine.hinted).toEqual(expect.arrayContaining([`run:${run.id}`, `session:${session.id}`, `logs:${run.id}`]));
    expect(await engine.invariants()).toEqual([]);
  });

  test("no output stays no output; null is one", async () => {
    const none = await running();
    await engine.complete(none.call, succeeded);
    const nil = await running();
    await engine.complete(nil.call, { ...succeeded, output: { value: null } });
    const has = (id: string) => engine.one("select output is not null as has from runs where id = $1", [id]);
    expect(await has(none.run.id)).toEqual({ has: false });
    expect(await has(nil.run.id)).toEqual({ has: true });
  });

  test("failed without a policy: run.failed with its kind", async () => {
    const { run, call } = await running();
    expect(await engine.complete(call, failed)).toEqual({ state: "finished" });
    expect(await stored(run.id)).toMatchObject({ outcome: "failed", exit_code: 1, attempt: "failed" });
    const { attributes } = await engine.one<{ attributes: unknown }>(
      "select attributes from run_events where run_id = $1 and kind = 'run.failed'",
      [run.id],
    );
    expect(attributes).toEqual({ failure_kind: "task_failed", detail: { exit_code: 1, reason: "threw", message: "it threw" } });
  });

  test("failed with a policy: queued again with the next attempt, then final", async () => {
    const { run, call } = await running("stubborn");
    expect(await engine.complete(call, failed)).toEqual({ state: "retrying" });
    expect(await stored(run.id)).toMatchObject({
      state: "queued",
      outcome: null,
      exit_code: null,
      attempt_number: 2,
      attempt: "pending",
      active_ms: 10,
    });
    expect(await engine.one("select gate from run_queue where run_id = $1", [run.id])).toEqual({ gate: "delayed" });
    expect(await kinds(run.id)).toEqual(["run.created", "run.retry_scheduled"]);
    await engine.sql("update run_queue set gate = 'open' where run_id = $1", [run.id]);
    const second = await engine.execute(worker, run.id);
    expect(second.lease.run).toMatchObject({ attempt_number: 2, active_ms_left: 899_990 });
    expect(await engine.complete(second.call, failed)).toEqual({ state: "finished" });
    expect(await kinds(run.id)).toEqual(["run.created", "run.retry_scheduled", "run.failed"]);
    expect(await stored(run.id)).toMatchObject({ attempt_number: 2, active_ms: 20 });
  });

  test("while a retry waits for its time, another run of its workspace goes on", async () => {
    const { run, session, call } = await running("stubborn");
    const other = await engine.start({ workspace_id: session.workspace_id });
    const gate = () => engine.one("select gate from run_queue where run_id = $1", [other.run.id]);
    expect(await gate()).toEqual({ gate: "workspace" });
    expect(await engine.complete(call, failed)).toEqual({ state: "retrying" });
    await engine.context.gates.settled();
    expect(await gate()).toEqual({ gate: "open" });
    await engine.complete((await engine.execute(worker, other.run.id)).call, succeeded);
    expect(await engine.one("select gate from run_queue where run_id = $1", [run.id])).toEqual({ gate: "delayed" });
  });

  test("max_duration names its limit; task_not_found is never tried again", async () => {
    const late = await running();
    await engine.complete(late.call, {
      status: "failed",
      exit_code: null,
      failure_kind: "max_duration",
      reason: "timeout",
      message: "too long",
    });
    const detail = await engine.one("select attributes->'detail' as detail from run_events where run_id = $1 and kind = 'run.failed'", [
      late.run.id,
    ]);
    expect(detail).toMatchObject({ detail: { limit_seconds: 900, message: "too long" } });
    const lost = await running("stubborn");
    expect(
      await engine.complete(lost.call, {
        status: "failed",
        exit_code: null,
        failure_kind: "task_not_found",
        reason: "missing",
        message: "gone",
      }),
    ).toEqual({ state: "finished" });
  });

  test("a machine that never came up is no attempt, a bounded number of times", async () => {
    const { run } = await engine.start();
    const broken = {
      status: "failed" as const,
      exit_code: null,
      failure_kind: "worker_failed" as const,
      reason: "boot",
      message: "no boot",
    };
    for (let lost = 1; lost < 5; lost += 1) {
      const [lease] = await engine.lease(worker, [run.id]);
      expect(await engine.complete(engine.call(worker, lease!), broken)).toEqual({ state: "retrying" });
      await engine.context.gates.settled();
      expect(await stored(run.id)).toMatchObject({ state: "queued", attempt_number: 1, attempt: "pending" });
    }
    const [last] = await engine.lease(worker, [run.id]);
    expect(await engine.complete(engine.call(worker, last!), broken)).toEqual({ state: "finished" });
    expect(await kinds(run.id)).toEqual(["run.created", ...Array.from({ length: 4 }, () => "run.execution_lost"), "run.failed"]);
  });

  test("a run whose cancel was asked for ends as cancelled, whatever it did", async () => {
    const { run, call } = await running();
    await cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId: run.id, body: { reason: "enough" } });
    expect(await engine.complete(call, succeeded)).toEqual({ state: "finished" });
    expect(await stored(run.id)).toMatchObject({ outcome: "cancelled", attempt: "cancelled" });
    const { attributes } = await engine.one<{ attributes: unknown }>(
      "select attributes from run_events where run_id = $1 and kind = 'run.cancelled'",
      [run.id],
    );
    expect(attributes).toEqual({ reason: "enough", origin: "cancel_operation" });
  });

  test("an answer that was lost is given again; another fence is stale", async () => {
    const { call } = await running();
    expect(await engine.complete(call)).toEqual({ state: "finished" });
    expect(await engine.complete(call)).toEqual({ state: "finished" });
    expect(await engine.complete({ ...call, fence: call.fence + 1 })).toEqual({ stale: true });
    const other = await engine.worker();
    expect(await engine.complete({ ...call, worker: other })).toEqual({ stale: true });
    const retried = await running("patient");
    expect(await engine.complete(retried.call, failed)).toEqual({ state: "retrying" });
    expect(await engine.complete(retried.call, failed)).toEqual({ state: "retrying" });
  });

  test("after its lease was lost a holder is stale", async () => {
    const { lease, call } = await running();
    await loseLease(engine.context, { id: lease.lease_id, kind: "run" }, "fenced");
    expect(await engine.complete(call)).toEqual({ stale: true });
    const late = await running();
    await engine.sql("update leases set deadline = now() - interval '1 second' where id = $1", [late.lease.lease_id]);
    expect(await engine.complete(late.call)).toEqual({ stale: true });
    await loseLease(engine.context, { id: late.lease.lease_id, kind: "run" }, "expired");
  });

  test("is refused until the whole report has arrived", async () => {
    const { call } = await running();
    expect(await engine.complete(call, succeeded, { reportThrough: 2 })).toEqual({ gap: true, expected: 1 });
    await engine.complete(call);
  });

  test("an unfinished last line becomes a record", async () => {
    const { run, call } = await running();
    const item = {
      kind: "log" as const,
      stream: "stdout" as const,
      offset: 0,
      data: Buffer.from("one\ntwo").toString("base64"),
      age_ms: 0,
    };
    await reportAttempt(engine.context, call, { first: 1, items: [item] });
    await engine.complete(call, succeeded, { reportThrough: 1 });
    expect(await engine.one("select record_seq::int, log_seq::int from runs where id = $1", [run.id])).toEqual({
      record_seq: 2,
      log_seq: 2,
    });
    expect(await engine.invariants()).toEqual([]);
  });
});

describe("the workspace of an attempt", () => {
  test("moves the head from where the tree began", async () => {
    const { session, call, lease } = await running();
    const workspace = engine.captured();
    await engine.complete(call, succeeded, { workspace });
    const head = await engine.one(
      "select v.id, v.parent_version_id, v.state, w.dirty_state from workspaces w join workspace_versions v on v.id = w.current_version_id where w.id = $1",
      [session.workspace_id],
    );
    expect(head).toEqual({
      id: workspace.status === "captured" && workspace.version_id,
      parent_version_id: lease.workspace.base_version_id,
      state: "ready",
      dirty_state: "clean",
    });
    const next = await engine.start({ workspace_id: session.workspace_id });
    const second = await engine.execute(worker, next.run.id);
    expect(second.lease.workspace).toMatchObject({
      base_version_id: head["id"],
      base: { manifest_key: workspace.status === "captured" && workspace.artifact.manifest_key },
    });
    expect(second.lease.workspace.fence).toBeGreaterThan(lease.workspace.fence);
    await engine.complete(second.call);
  });

  test("is kept aside when somebody else advanced the head", async () => {
    const { session, call, lease } = await running();
    const other = engine.captured();
    await engine.sql(
      "insert into workspace_versions (id, environment_id, workspace_id, kind, state, content_digest) select gen_random_uuid(), environment_id, id, 'user', 'ready', 'x' from workspaces where id = $1",
      [session.workspace_id],
    );
    await engine.sql(
      "update workspaces set current_version_id = (select id from workspace_versions where workspace_id = $1 and kind = 'user') where id = $1",
      [session.workspace_id],
    );
    await engine.complete(call, succeeded, { workspace: other });
    const aside = await engine.one("select state, parent_version_id, message from workspace_versions where id = $1", [
      other.status === "captured" && other.version_id,
    ]);
    expect(aside).toMatchObject({
      state: "failed",
      parent_version_id: lease.workspace.base_version_id,
      message: expect.stringContaining("advanced"),
    });
    expect(
      await engine.one("select v.kind from workspaces w join workspace_versions v on v.id = w.current_version_id where w.id = $1", [
        session.workspace_id,
      ]),
    ).toEqual({ kind: "user" });
  });

  test("a capture that failed is said", async () => {
    const { session, call } = await running();
    await engine.complete(call, succeeded, { workspace: { status: "capture_failed", message: "the disk is gone" } });
    expect(await engine.one("select dirty_state from workspaces where id = $1", [session.workspace_id])).toEqual({
      dirty_state: "capture_failed",
    });
  });

  test("objects that are not the organization's own are refused", async () => {
    const { call } = await running();
    const foreign = engine.captured();
    if (foreign.status !== "captured") return;
    const misplaced = await engine.complete(call, succeeded, {
      workspace: { ...foreign, artifact: engine.artifact({ manifest_key: "orgs/other/manifests/x" }) },
    });
    expect(isRefusal(misplaced) && misplaced.status).toBe(400);
    const [pack] = foreign.artifact.packs;
    const badPack = engine.artifact({ packs: [{ ...pack!, object_key: "orgs/other/packs/x" }] });
    expect(isRefusal(await engine.complete(call, succeeded, { workspace: { ...foreign, artifact: badPack } }))).toBe(true);
    expect(await engine.complete(call, succeeded, { workspace: foreign })).toEqual({ state: "finished" });
  });
});

test("the room an attempt leaves is taken by the next run of its lane and of its workspace", async () => {
  const first = await running("limited");
  const second = await engine.start({ task_id: "limited" });
  const same = await engine.start({ workspace_id: first.session.workspace_id });
  const gate = async (id: string) => (await engine.one<{ gate: string }>("select gate from run_queue where run_id = $1", [id])).gate;
  expect(await gate(second.run.id)).toBe("lane");
  expect(await gate(same.run.id)).toBe("workspace");
  await engine.complete(first.call);
  await engine.context.gates.settled();
  expect(await gate(second.run.id)).toBe("open");
  expect(await gate(same.run.id)).toBe("open");
  for (const { run } of [second, same]) await engine.complete((await engine.execute(worker, run.id)).call);
});

test("each step may fail: a repeat ends the attempt once", async () => {
  for (const end of [succeeded, failed]) {
    const steps = await eachStep(engine, {
      setup: async () => ({ ...(await running("stubborn")), workspace: engine.captured() }),
      act: ({ call, workspace }) => completeAttempt(engine.context, call, { end, activeMs: 1, reportThrough: 0, workspace }),
      async check({ session, workspace }, result) {
        expect(isStale(result) || isRefusal(result)).toBe(false);
        const { current_version_id } = await engine.one("select current_version_id from workspaces where id = $1", [session.workspace_id]);
        expect(current_version_id).toBe(workspace.status === "captured" && workspace.version_id);
      },
    });
    expect(steps).toBeGreaterThan(6);
  }
});
