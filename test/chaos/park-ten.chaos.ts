/** One run, parked ten times in a row, in turn on two workers: the tenth is as fast and as small as the first. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "@helmr/test/services";
import { parkTasks, type Step } from "./park-program.ts";
import { TwoWorkers } from "./two-workers.ts";

let install: TwoWorkers;
beforeAll(async () => {
  install = await TwoWorkers.open();
  install.workers[0]!.start();
  await install.deploy(parkTasks);
  install.workers[1]!.start();
}, 600_000);
afterAll(async () => {
  await install?.close();
}, 120_000);

test("ten parks in a row, each resumed where the other one was", { timeout: 900_000 }, async () => {
  const steps: Step[] = Array.from({ length: 10 }, () => ({ wait: "token", heapKiB: 200 }));
  const { runId } = await install.startRun("keeps", { steps, name: "ten" });
  const resumes: { worker: string; ms: number }[] = [];
  for (let index = 0; index < steps.length; index += 1) {
    await install.untilRun(`park ${index}`, runId, (state) => state["state"] === "waiting" || state["state"] === "finished");
    const [last] = await install.rows(
      "select k.name from checkpoints c join workers k on k.id = c.worker_id where c.run_id = $1 order by c.created_at desc limit 1",
      [runId],
    );
    // Only the other one is there to take it.
    const [here, there] = last!["name"] === "a" ? [0, 1] : [1, 0];
    await until("the machine is gone", async () => (await install.monitors(here)).length === 0, 30_000);
    await install.workers[here]!.end("SIGTERM");
    const [token] = await install.pendingTokens(runId);
    const began = performance.now();
    await install.completeToken(token!, { index, at: Date.now() });
    const state = await install.untilRun(
      `resume ${index}`,
      runId,
      ({ state }) => state === "executing" || state === "waiting" || state === "finished",
    );
    resumes.push({ worker: "ab"[there]!, ms: Math.round(performance.now() - began) });
    install.workers[here]!.start();
    if (state["state"] === "finished") break;
  }
  const state = await install.untilRun("the end", runId, ({ state }) => state === "finished");
  const cuts = await install.rows(
    "select c.pause_ms, c.stored_bytes::int, k.name as worker from checkpoints c join workers k on k.id = c.worker_id where c.run_id = $1 order by c.created_at",
    [runId],
  );
  console.table(
    cuts.map((cut, index) => ({
      ...cut,
      stored_mib: Math.round(cut["stored_bytes"] / 104857.6) / 10,
      resumed_on: resumes[index]?.worker,
      resumed_ms: resumes[index]?.ms,
    })),
  );
  expect(state).toMatchObject({ outcome: "succeeded", attempt_number: 1, output: { steps: 10, problems: [] } });
  expect(cuts).toHaveLength(10);
  expect(await install.invariants()).toEqual([]);
  const bytes = cuts.map((cut) => cut["stored_bytes"] as number);
  // The heap grows by 2 MB on the way.
  expect(bytes.at(-1)!).toBeLessThan(1.5 * Math.max(...bytes.slice(0, 3)) + 4e6);
});
