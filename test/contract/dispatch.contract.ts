/** What every dispatch adapter must do (server/src/dispatch/port.ts). An adapter joins by adding itself to `adapters`. */
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openPostgresDispatch } from "../../packages/server/src/dispatch/postgres.ts";
import type { Dispatch, ReadyRun } from "../../packages/server/src/dispatch/port.ts";
import { openHints } from "../../packages/server/src/hints.ts";
import { type Engine, openEngine, taskDeclaration } from "../../packages/server/src/operations/engine.fixture.ts";

const adapters: Record<string, (engine: Engine) => Promise<Dispatch>> = {
  postgres: async (engine) => openPostgresDispatch(engine.context.db, await openHints(null)),
};

const plenty = { milliCpu: 1_000_000, memoryMib: 1_000_000, diskMib: 1_000_000_000, slots: 100 };
const little = { milliCpu: 2_000, memoryMib: 2_048, diskMib: 10_000, slots: 1 };

describe.each(Object.entries(adapters))("the %s adapter", (_name, open) => {
  let engine: Engine;
  let dispatch: Dispatch;
  let environments: string[];
  beforeAll(async () => {
    engine = await openEngine();
    await engine.deploy({
      tasks: [taskDeclaration("hello"), taskDeclaration("large", { sandbox: "large" })],
      sandboxes: [
        { id: "box", workspacePath: "/workspace", resources: {}, network: { internet: true } },
        { id: "large", workspacePath: "/workspace", resources: { memory: "64Gi" }, network: { internet: true } },
      ],
    });
    environments = (await engine.sql<{ id: string }>("select id from environments order by id")).map((row) => row.id);
    dispatch = await open(engine);
  });
  afterAll(() => engine.close());
  beforeEach(() => engine.sql("delete from run_queue"));

  /** A ready run; the queue's own columns decide, so they may be set as a test needs them. */
  const ready = async (
    over: { environment?: number; priority?: number; resume?: boolean; task?: string; group?: string } = {},
  ): Promise<string> => {
    const { run } = await engine.start({ task_id: over.task ?? "hello", priority: over.priority ?? 0 });
    await engine.sql(
      "update run_queue set environment_id = coalesce($2, environment_id), resume = $3, worker_group = $4 where run_id = $1",
      [run.id, over.environment === undefined ? null : environments[over.environment], over.resume ?? false, over.group ?? "default"],
    );
    const entry: ReadyRun = {
      runId: run.id,
      environmentId: environments[over.environment ?? 0] as string,
      workerGroup: over.group ?? "default",
    };
    dispatch.ready([entry]);
    return run.id;
  };
  const propose = async (limit: number, free = [plenty], group = "default") =>
    (await dispatch.propose({ group, free, restores: ["qemu"], limit })).map((candidate) => candidate.runId);

  test("proposes in order: resumed runs, priority, time", async () => {
    const first = await ready();
    const high = await ready({ priority: 5 });
    const second = await ready();
    const resumed = await ready({ resume: true, priority: -5 });
    expect(await propose(10)).toEqual([resumed, high, first, second]);
    expect(await propose(2)).toEqual([resumed, high]);
  });

  test("gives environments their turns, and begins behind the one it served last", async () => {
    const busy: string[] = [];
    for (let count = 0; count < 10; count += 1) busy.push(await ready({ environment: 0 }));
    const quiet = await ready({ environment: 1 });
    expect((await propose(4)).indexOf(quiet)).toBeLessThan(2);
    const served = new Set<string>();
    for (let round = 0; round < 2; round += 1) for (const id of await propose(1)) served.add(id === quiet ? "quiet" : "busy");
    expect(served).toEqual(new Set(["quiet", "busy"]));
  });

  test("is not held up by what fits nowhere, however much of it there is", async () => {
    for (let count = 0; count < 30; count += 1) await ready({ task: "large", priority: 100 });
    const small = await ready();
    expect(await propose(5, [little])).toEqual([small]);
    expect((await propose(40, [little, plenty])).length).toBe(31);
  });

  test("knows only its group and only the open gate", async () => {
    const other = await ready({ group: "gpu" });
    const closed = await ready();
    await engine.sql("update run_queue set gate = 'lane' where run_id = $1", [closed]);
    expect(await propose(10)).toEqual([]);
    expect(await propose(10, [plenty], "gpu")).toEqual([other]);
  });

  test("wakes who waits for the group, and nobody else", async () => {
    const woken: string[] = [];
    const stops = ["default", "gpu"].map((group) => dispatch.onReady(group, () => woken.push(group)));
    await ready();
    dispatch.wake("gpu");
    await until("both are woken", () => woken.includes("default") && woken.includes("gpu"));
    const before = woken.length;
    for (const stop of stops) stop();
    dispatch.wake("default");
    expect(woken.length).toBe(before);
  });

  test("is complete again after a repair, whatever was lost", async () => {
    const { run } = await engine.start();
    await dispatch.repair();
    expect(await propose(10)).toContain(run.id);
    await engine.sql("delete from run_queue where run_id = $1", [run.id]);
    await dispatch.repair();
    expect(await propose(10)).not.toContain(run.id);
  });
});
