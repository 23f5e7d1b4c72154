import { runStatuses } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { projectRun } from "../domain/run.ts";
import { isRefusal } from "../outcome.ts";
import { cancelRun } from "./cancel-run.ts";
import { type Engine, failed, openEngine, type TestWorker } from "./engine.fixture.ts";
import { countRuns, findRun, listRuns, readRunEvents, waitForRun } from "./read-runs.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy();
  worker = await engine.worker();
  for (let round = 0; round < 3; round += 1) {
    await engine.start();
    await engine.execute(worker, (await engine.start()).run.id);
    await engine.complete((await engine.execute(worker, (await engine.start()).run.id)).call);
    await engine.complete((await engine.execute(worker, (await engine.start()).run.id)).call, failed);
    await cancel((await engine.start()).run.id);
    const { run } = await engine.start();
    await engine.execute(worker, run.id);
    await cancel(run.id);
  }
});
afterAll(() => engine.close());

const cancel = (runId: string) => cancelRun(engine.context, { environmentId: engine.scope.environmentId, runId, body: {} });
const list = (over: object = {}) =>
  listRuns(engine.context, { environmentId: engine.scope.environmentId, status: "all", sessionId: undefined, limit: 200, ...over });

describe("listRuns()", () => {
  test("each filter shows exactly the runs that read so, newest first", async () => {
    const all = await list();
    expect(all).toHaveLength(18);
    expect(all.map((run) => run.created_at)).toEqual(
      all
        .map((run) => run.created_at)
        .sort()
        .reverse(),
    );
    for (const status of [...runStatuses, "live"] as const) {
      const wanted = all.filter((run) => {
        const shown = projectRun(run.state, run.outcome).status;
        return status === "live" ? ["queued", "running", "waiting"].includes(shown) : shown === status;
      });
      expect(
        (await list({ status })).map((run) => run.id),
        status,
      ).toEqual(wanted.map((run) => run.id));
      expect(
        (await list({ status, limit: 2 })).map((run) => run.id),
        status,
      ).toEqual(wanted.slice(0, 2).map((run) => run.id));
    }
  });

  test("of one session", async () => {
    const [run] = await list();
    expect((await list({ sessionId: run!.session_id })).map((row) => row.id)).toEqual([run!.id]);
    expect(await list({ sessionId: run!.session_id, environmentId: "01980a00-0000-7000-8000-000000000001" })).toEqual([]);
  });
});

test("counts agree with the list", async () => {
  const all = await list();
  const counted: Record<string, number> = Object.fromEntries(runStatuses.map((status) => [status, 0]));
  for (const run of all) {
    const { status } = projectRun(run.state, run.outcome);
    counted[status] = (counted[status] ?? 0) + 1;
  }
  expect(await countRuns(engine.context, engine.scope.environmentId)).toEqual(counted);
});

test("events come in pages behind a cursor", async () => {
  const [run] = await list({ status: "cancelled" });
  const first = await readRunEvents(engine.context, run!.id, 0, 1);
  expect(first).toMatchObject({ rows: [{ seq: 1, kind: "run.created" }], more: true });
  expect((await readRunEvents(engine.context, run!.id, 1, 10)).more).toBe(false);
  expect(isRefusal(await findRun(engine.context, "01980a00-0000-7000-8000-000000000001", run!.id))).toBe(true);
});

describe("waitForRun()", () => {
  const wait = (runId: string, timeoutMs: number, signal = new AbortController().signal) =>
    waitForRun(engine.context, { environmentId: engine.scope.environmentId, runId, timeoutMs, signal });

  test("resolves by push when the run ends", async () => {
    const { run } = await engine.start();
    const begun = performance.now();
    const waiting = wait(run.id, 60_000);
    const { call } = await engine.execute(worker, run.id);
    await engine.complete(call);
    expect(await waiting).toMatchObject({ state: "finished" });
    expect(performance.now() - begun).toBeLessThan(1_500);
  });

  test("after its time, or when its caller is gone, shows the run as it is", async () => {
    const { run } = await engine.start();
    expect(await wait(run.id, 30)).toMatchObject({ state: "queued" });
    const gone = new AbortController();
    const waiting = wait(run.id, 60_000, gone.signal);
    gone.abort();
    expect(await waiting).toMatchObject({ state: "queued" });
    expect(isRefusal(await wait("01980a00-0000-7000-8000-000000000001", 10))).toBe(true);
  });
});
