import { sessionStartBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Engine, eachStep, openEngine, taskDeclaration } from "./engine.fixture.ts";
import { readRun } from "./read-runs.ts";
import { readSession } from "./read-sessions.ts";
import { startSession } from "./start-session.ts";
import { putSecret } from "./put-secret.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("limited", { queue: "one" }),
      taskDeclaration("keyed", {
        secrets: [{ name: "token", env: "TOKEN" }],
        ttl: "1h",
        maxDurationSeconds: 60,
        retry: { maxAttempts: 2 },
      }),
      taskDeclaration("large", { sandbox: "large" }),
    ],
    sandboxes: [
      { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } },
      { id: "large", workspacePath: "/workspace", resources: { memory: "8Gi", disk: "20Gi" }, network: { internet: false } },
    ],
    queues: [{ id: "one", concurrencyLimit: 1 }],
  });
});
afterAll(() => engine.close());

const start = (body: object) =>
  startSession(engine.context, { scope: engine.scope, body: sessionStartBody.parse({ task_id: "hello", ...body }) });
const refusalOf = async (body: object) => {
  const result = await start(body);
  return isRefusal(result) ? { status: result.status, code: result.code, message: result.message } : result;
};

describe("startSession()", () => {
  test("answers with what a read would show", async () => {
    const started = await engine.start({ payload: [1], metadata: { a: null }, tags: ["x"], expires_at: "2030-01-01T00:00:00.123456Z" });
    const session = await readSession(engine.context, engine.scope.environmentId, { id: started.session.id });
    const run = await readRun(engine.context, engine.scope.environmentId, started.run.id);
    expect(started.session).toEqual(session);
    expect(started.run).toEqual(!isRefusal(run) && run.run);
  });

  test("makes a workspace with an empty head, a queue entry and run.created", async () => {
    const { session, run } = await engine.start();
    const stored = await engine.one(
      `select w.state, v.state as head, v.artifact_id, q.gate, e.kind, e.seq::int from workspaces w join workspace_versions v on v.id = w.current_version_id,
              run_queue q, run_events e where w.id = $1 and q.run_id = $2 and e.run_id = $2`,
      [session.workspace_id, run.id],
    );
    expect(stored).toEqual({ state: "active", head: "ready", artifact_id: null, gate: "open", kind: "run.created", seq: 1 });
    expect(engine.hinted).toContain("dispatch:default");
  });

  test("refuses what is not deployed, not declared or not available", async () => {
    expect(await refusalOf({ task_id: "nothing" })).toMatchObject({ status: 409, code: "task_not_deployed" });
    expect(await refusalOf({ queue: { name: "two" } })).toMatchObject({ status: 400, message: expect.stringContaining("not declared") });
    expect(await refusalOf({ task_id: "keyed" })).toMatchObject({
      status: 400,
      message: 'secret "token" is unavailable: secret not found',
    });
    expect(await engine.sql("select 1 from sessions where task_id in ('nothing', 'keyed')")).toEqual([]);
    await putSecret(engine.context.db, engine.context.keys, { scope: engine.scope, name: "token", value: "v" });
    expect(await start({ task_id: "keyed" })).toMatchObject({ run: { task_id: "keyed" } });
  });

  test("takes the task's values where the start has none", async () => {
    const { run } = await engine.start({ task_id: "keyed" });
    const own = await engine.start({
      task_id: "keyed",
      ttl: "2h",
      max_duration_seconds: 30,
      retry: { enabled: false },
      queue: { name: "one" },
      priority: -4,
    });
    const read = (id: string) =>
      engine.one("select ttl_text, max_duration_seconds, retry, queue_name, priority, concurrency_limit from runs where id = $1", [id]);
    expect(await read(run.id)).toEqual({
      ttl_text: "1h",
      max_duration_seconds: 60,
      retry: { enabled: true, maxAttempts: 2 },
      queue_name: "task/keyed",
      priority: 0,
      concurrency_limit: null,
    });
    expect(await read(own.run.id)).toEqual({
      ttl_text: "2h",
      max_duration_seconds: 30,
      retry: { enabled: false },
      queue_name: "one",
      priority: -4,
      concurrency_limit: 1,
    });
  });

  test("gives a workspace that was named to the run, if it fits", async () => {
    const first = await engine.start();
    const second = await engine.start({ workspace_id: first.session.workspace_id });
    expect(second.session.workspace_id).toBe(first.session.workspace_id);
    expect(await engine.one("select gate from run_queue where run_id = $1", [second.run.id])).toEqual({ gate: "workspace" });
    expect(await refusalOf({ workspace_id: "01980a00-0000-7000-8000-000000000001" })).toMatchObject({ status: 404 });
    expect(await refusalOf({ task_id: "large", workspace_id: first.session.workspace_id })).toMatchObject({
      code: "workspace_sandbox_incompatible",
    });
    await engine.sql(
      "update workspaces set sandbox_fingerprint = (select sandbox_fingerprint from workspaces w join sessions s on s.workspace_id = w.id where s.task_id = 'large' limit 1) where false",
    );
    const large = await engine.start({ task_id: "large" });
    await engine.sql(
      "update workspaces set sandbox_fingerprint = (select sandbox_fingerprint from workspaces where id = $1) where id = $2",
      [large.session.workspace_id, first.session.workspace_id],
    );
    expect(await refusalOf({ task_id: "large", workspace_id: first.session.workspace_id })).toMatchObject({
      code: "workspace_resource_floor_unsatisfied",
    });
  });

  test("a limited lane lets as many through as its limit, in order", async () => {
    const runs: string[] = [];
    for (const priority of [0, 0, 5]) runs.push((await engine.start({ task_id: "limited", concurrency_key: "k", priority })).run.id);
    const gates = async () =>
      Object.fromEntries(
        (await engine.sql<{ run_id: string; gate: string }>("select run_id, gate from run_queue where run_id = any($1)", [runs])).map(
          (row) => [runs.indexOf(row.run_id), row.gate],
        ),
      );
    // The third outranks the first, which nobody has claimed yet.
    expect(await gates()).toEqual({ 0: "lane", 1: "lane", 2: "open" });
    expect((await engine.start({ task_id: "limited", concurrency_key: "other" })).run.id).toBeTypeOf("string");
    expect(await engine.sql("select 1 from run_queue where lane like '%/other' and gate = 'open'")).toHaveLength(1);
  });
});

describe("idempotent starts", () => {
  test("the same key and request give the first run in its present state", async () => {
    const first = await engine.start({ idempotency_key: "k1", payload: { b: 1, a: [2] }, tags: ["one"] });
    const again = await engine.start({ idempotency_key: "k1", payload: { a: [2], b: 1 }, tags: ["two"] });
    expect(again).toMatchObject({ cached: "key", session: { id: first.session.id, tags: ["one"] }, run: { id: first.run.id } });
    expect(await refusalOf({ idempotency_key: "k1", payload: {} })).toMatchObject({
      status: 409,
      code: "idempotency_fingerprint_mismatch",
    });
    expect(await refusalOf({ idempotency_key: "k1", payload: { b: 1, a: [2] }, external_id: "x1" })).toMatchObject({
      code: "idempotency_external_id_mismatch",
    });
  });

  test("a key is of its task, and ends with its time to live", async () => {
    const first = await engine.start({ idempotency_key: "k2" });
    expect((await engine.start({ task_id: "limited", idempotency_key: "k2" })).cached).toBeUndefined();
    await engine.sql("update session_start_keys set expires_at = now() - interval '1 second' where session_id = $1", [first.session.id]);
    const second = await engine.start({ idempotency_key: "k2", payload: 1 });
    expect(second.cached).toBeUndefined();
    expect((await engine.start({ idempotency_key: "k2", payload: 1 })).session.id).toBe(second.session.id);
  });

  test("identical starts at once make one session; those in flight are told to come back", async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => start({ idempotency_key: "k3", payload: 3 })));
    const sessions = new Set(results.flatMap((result) => (isRefusal(result) ? [] : [result.session.id])));
    expect(sessions.size).toBe(1);
    for (const result of results)
      if (isRefusal(result))
        expect(result).toMatchObject({ status: 202, code: "idempotency_pending", message: "session_start_pending", retryAfterSeconds: 1 });
  });

  test("an external id belongs to one session for ever", async () => {
    const first = await engine.start({ external_id: "order-1", payload: 1 });
    expect(await engine.start({ external_id: "order-1", payload: 1 })).toMatchObject({
      cached: "external_id",
      session: { id: first.session.id },
    });
    expect(await refusalOf({ external_id: "order-1", payload: 2 })).toMatchObject({ code: "session_fingerprint_mismatch" });
    await engine.sql("update sessions set state = 'closed' where id = $1", [first.session.id]);
    expect(await refusalOf({ external_id: "order-1", payload: 1 })).toMatchObject({ status: 409, code: "session_terminal" });
    await engine.sql("update sessions set state = 'open' where id = $1", [first.session.id]);
  });

  test("starts at once with one external id make one session", async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => engine.start({ external_id: "order-2" })));
    expect(new Set(results.map((result) => result.session.id)).size).toBe(1);
    expect(results.filter((result) => result.cached === undefined)).toHaveLength(1);
  });

  test("a key that found its session by external id keeps it", async () => {
    const first = await engine.start({ external_id: "order-3" });
    expect((await engine.start({ external_id: "order-3", idempotency_key: "k4" })).cached).toBe("external_id");
    expect(await engine.start({ external_id: "order-3", idempotency_key: "k4" })).toMatchObject({
      cached: "key",
      session: { id: first.session.id },
    });
    expect(await refusalOf({ external_id: "order-4", idempotency_key: "k4" })).toMatchObject({ code: "idempotency_external_id_mismatch" });
  });
});

test("each step may fail: a repeat with the same key makes one session", async () => {
  let number = 0;
  const steps = await eachStep(engine, {
    setup: async () => `step-${(number += 1)}`,
    act: async (key) => start({ idempotency_key: key, external_id: key }),
    async check(key, result) {
      expect(isRefusal(result)).toBe(false);
      expect(await engine.sql("select 1 from sessions where external_id = $1", [key])).toHaveLength(1);
    },
  });
  expect(steps).toBeGreaterThan(8);
});
