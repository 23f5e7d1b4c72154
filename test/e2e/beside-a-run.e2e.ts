/** Two execs and a terminal beside a running task, in its machine: they see its files while it works, and end with it. */
import { rm } from "node:fs/promises";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

const source = `
import { existsSync, writeFileSync } from "node:fs";
import { sandbox, task } from "@helmr/sdk";

export const worker = task({
  id: "worker",
  sandbox: sandbox("beside"),
  async run() {
    writeFileSync("progress.txt", "started\\n");
    console.log("at work");
    while (!existsSync("finish")) await new Promise((resolve) => setTimeout(resolve, 100));
    return { finished: true };
  },
});
`;

let install: SharedInstall;
let project: string;
const waitMs = 150_000;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

beforeAll(async () => {
  install = await sharedInstall();
  project = await taskProject({ "tasks/worker.ts": source });
  await install.deploy(project);
});
afterAll(async () => {
  install?.close();
  if (project !== undefined) await rm(project, { recursive: true, force: true });
});

test("execs, a terminal and live files work beside a running task, and are over when it is", async () => {
  const { runId, workspaceId } = await install.start("worker");
  const workspace = install.client.workspaces.open(workspaceId);
  // It comes before the machine is up, and runs beside the task all the same.
  const early = await workspace.exec(["sh", "-c", "cat progress.txt 2>/dev/null; hostname"]);
  await install.untilSaid(runId, "at work");
  expect(await early.wait()).toMatchObject({ state: "exited", exitCode: 0 });

  const host = text(Buffer.concat((await early.stdout.list()).map((chunk) => chunk.data)))
    .trim()
    .split("\n")
    .at(-1);
  const [first, second, pty] = await Promise.all([
    workspace.exec(["sh", "-c", "cat progress.txt; hostname"]),
    workspace.exec(["sleep", "600"]),
    workspace.pty.create({ cols: 80, rows: 24 }),
  ]);
  expect(await first.wait()).toMatchObject({ exitCode: 0 });
  // One machine: the same host, the task's file.
  expect(text(Buffer.concat((await first.stdout.list()).map((chunk) => chunk.data)))).toBe(`started\n${host}\n`);
  await pty.input("pwd; pgrep -x sleep | wc -l\n", { offset: 0 });
  await until(
    "the terminal sees the other exec",
    async () => /\/workspace\r\n1\r\n/.test(text(Buffer.concat((await pty.output.list()).map((chunk) => chunk.data)))),
    waitMs,
  );
  expect(text(await workspace.files.read("progress.txt", { source: "live" }))).toBe("started\n");

  const put = await install.api.call("PUT", `/api/workspaces/${workspaceId}/files/content?path=finish`, { body: "now" });
  expect(put.status).toBe(200);
  const ended = await install.ended({ runId, workspaceId, sessionId: "" });
  expect(ended.run).toMatchObject({ status: "succeeded", output: { finished: true } });
  expect(await second.retrieve()).toMatchObject({ state: "terminated" });
  expect(await pty.retrieve()).toMatchObject({ state: "closed" });
  expect(await install.file(workspaceId, "finish")).toBe("now");
  await install.expectSound();
});
