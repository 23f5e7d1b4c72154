import { afterAll, beforeAll, expect, test } from "vitest";
import { TwoWorkers } from "./two-workers.ts";

const tasks = `
import { sandbox, task, tokens } from "@sdk";
const box = sandbox("box").resources({ cpu: 1, memory: "512Mi" });
const anything = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };
export const approve = task({ id: "approve", sandbox: box, payload: anything as never, async run() {
  const heap = { pid: process.pid, secret: Math.random() };
  const before = JSON.stringify(heap);
  console.log("before");
  const token = await tokens.create({ timeout: "1h" });
  const result = await token.wait();
  console.log("after");
  return { pid: heap.pid === process.pid, same: JSON.stringify(heap) === before, result: result.ok ? result.data : "not ok" };
} });
`;

let install: TwoWorkers;
beforeAll(async () => {
  install = await TwoWorkers.open();
  install.workers[0]!.start();
  await install.deploy(tasks);
}, 600_000);
afterAll(async () => {
  await install?.close();
}, 120_000);

test("a token wait parks, the machine is gone, and the run goes on here", async () => {
  const { runId } = await install.startRun("approve", {});
  await install.untilRun("the run is parked", runId, (state) => state["state"] === "waiting");
  expect(await install.monitors(0)).toEqual([]);
  const [token] = await install.pendingTokens(runId);
  await install.completeToken(token!, { yes: true });
  const state = await install.untilRun("the run ends", runId, ({ state }) => state === "finished");
  console.log(await install.logs(40));
  console.log(await install.rows("select stored_bytes, pause_ms from checkpoints"));
  expect(state).toMatchObject({ outcome: "succeeded", output: { pid: true, same: true, result: { yes: true } } });
});
