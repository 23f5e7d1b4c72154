import { afterAll, beforeAll, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Engine, failed, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { explainRun } from "./explain-run.ts";
import { readRun } from "./read-runs.ts";
import { explainSession } from "./read-sessions.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("one", { queue: "one" }),
      taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 60_000, maxMs: 60_000, jitter: "none" } } }),
      taskDeclaration("large", { sandbox: "large" }),
    ],
    sandboxes: [
      { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } },
      { id: "large", workspacePath: "/workspace", resources: { memory: "64Gi" }, network: { internet: true } },
    ],
    queues: [{ id: "one", concurrencyLimit: 1 }],
  });
});
afterAll(() => engine.close());

const explain = (id: string) => explainRun(engine.context, id);

test("no worker: how long none was heard of", async () => {
  await engine.sql("update workers set last_seen_at = now() - interval '1 hour'");
  const { run } = await engine.start();
  expect(await explain(run.id)).toMatchObject({
    code: "no_worker",
    message: expect.stringMatching(/no worker was heard of for 36\d\d s/),
    details: { worker_group: "default", released_by: expect.any(String) },
  });
});

test("no capacity: what is needed and what is free", async () => {
  const worker = await engine.worker();
  const large = await engine.start({ task_id: "large" });
  expect(await explain(large.run.id)).toMatchObject({
    code: "no_capacity",
    message: "needs 65536 MiB and 2 cpu; the largest free are 16384 MiB and 8 cpu on 1 worker",
    details: { needs: { memory_mib: 65_536 }, largest_free: { memory_mib: 16_384 }, released_by: expect.stringContaining("larger worker") },
  });
  const { run } = await engine.start();
  expect(await explain(run.id)).toMatchObject({ code: "placement_pending" });
  await engine.execute(worker, run.id);
  expect(await explain(run.id)).toBeUndefined();
});

test("a queue or concurrency key at its limit: limit, in use, ahead", async () => {
  const worker = await engine.worker();
  const first = await engine.start({ task_id: "one" });
  await engine.execute(worker, first.run.id);
  await engine.start({ task_id: "one" });
  const third = await engine.start({ task_id: "one" });
  expect(await explain(third.run.id)).toMatchObject({
    code: "queue_concurrency_limit",
    message: 'queue "one" is at its limit: limit 1, in use 1, 1 ahead',
    details: { queue: "one", limit: 1, in_use: 1, ahead: 1 },
  });
  await engine.start({ task_id: "one", concurrency_key: "k" });
  const keyed = await engine.start({ task_id: "one", concurrency_key: "k" });
  expect(await explain(keyed.run.id)).toMatchObject({
    code: "concurrency_key_busy",
    details: { concurrency_key: "k", in_use: 0, ahead: 1 },
  });
});

test("a workspace with another writer, a retry's delay", async () => {
  const worker: TestWorker = await engine.worker();
  const holder = await engine.start({ task_id: "again" });
  const { call } = await engine.execute(worker, holder.run.id);
  const waiting = await engine.start({ workspace_id: holder.session.workspace_id });
  expect(await explain(waiting.run.id)).toMatchObject({
    code: "workspace_writer_active",
    details: { workspace_id: holder.session.workspace_id, run_id: holder.run.id, mount_state: "mounted" },
  });
  await engine.complete(call, failed);
  expect(await explain(holder.run.id)).toMatchObject({
    code: "retry_delay",
    message: expect.stringMatching(/^attempt 2 begins in (59|60)(\.\d)? s$/),
    details: { attempt_number: 2 },
  });
});

test("run and session carry it while they are queued", async () => {
  const { run, session } = await engine.start({ task_id: "large" });
  const read = await readRun(engine.context, engine.scope.environmentId, run.id);
  expect(!isRefusal(read) && read.blocked?.code).toBe("no_capacity");
  expect((await explainSession(engine.context, session)).blocked?.code).toBe("no_capacity");
});
