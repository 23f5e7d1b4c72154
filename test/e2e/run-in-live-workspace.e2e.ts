/** A workspace that somebody works in, and its next runs: they start in the machine that is there, beside what is open in it, and leave it as it is. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { WorkspaceHandle } from "@helmr/sdk";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

/** Says what of the machine it sees, writes, and waits: for a token when that is wanted, then for a file. */
const source = (release: string) => `
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { sandbox, task, tokens } from "@helmr/sdk";

const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8").trim() : "nothing");

export const visitor = task({
  id: "visitor",
  sandbox: sandbox("visited"),
  payload: { "~standard": { version: 1, vendor: "e2e", validate: (value: unknown) => ({ value: value as { turn: number; waits?: boolean } }) } },
  async run({ turn, waits }) {
    console.log("marker", read("/tmp/marker"), "host", hostname(), "note", read("note.txt"), "release", "${release}");
    writeFileSync(\`progress-\${turn}.txt\`, "started\\n");
    console.log("at work");
    if (waits) {
      const token = await tokens.create({ timeout: "1h" });
      console.log("token", token.id);
      await token.wait({ idleTimeout: 1 });
      console.log("back, marker", read("/tmp/marker"));
    }
    while (!existsSync(\`finish-\${turn}\`)) await new Promise((resolve) => setTimeout(resolve, 100));
    writeFileSync(\`progress-\${turn}.txt\`, "finished\\n");
    return { turn };
  },
});
`;

let install: SharedInstall;
let project: string;
let workspace: WorkspaceHandle;
const waitMs = 150_000;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

beforeAll(async () => {
  install = await sharedInstall();
  project = await taskProject({ "tasks/visitor.ts": source("one") });
  await install.deploy(project);
  const { id } = await install.client.workspaces.create({ sandboxId: "visited" });
  workspace = install.client.workspaces.open(id);
});
afterAll(async () => {
  install?.close();
  if (project !== undefined) await rm(project, { recursive: true, force: true });
});

async function said(script: string): Promise<string> {
  const exec = await workspace.exec(["sh", "-c", script]);
  let all = "";
  for await (const chunk of exec.stdout.stream()) all += text(chunk.data);
  expect(await exec.wait()).toMatchObject({ state: "exited", exitCode: 0 });
  return all.trim();
}

const visit = (turn: number, waits = false) => install.start("visitor", { workspace_id: workspace.id, payload: { turn, waits } });
const mount = () => install.post(`/api/workspaces/${workspace.id}/connect`, {});

describe("a run of a workspace that is live", () => {
  test("is parked with the mount when it waits, and comes back with what the machine had", async () => {
    await said("echo here > /tmp/marker");
    await workspace.versions.capture();
    const before = await mount();
    const started = await visit(5, true);
    await install.untilRun("it is parked", started.runId, ({ pending_wait: wait }) => wait?.status === "parked");
    expect((await install.logs(started.runId)).stdout).toMatch(/^marker here /);
    expect(await workspace.stop()).toMatchObject({ state: "no_active_mount" });
    const [, token] = /token (\S+)/.exec((await install.logs(started.runId)).stdout) ?? [];
    await install.client.tokens.complete(String(token), { yes: true });
    await install.untilSaid(started.runId, "back, marker here");
    expect((await mount()).id).not.toBe(before.id);
    expect(await said("cat progress-5.txt; touch finish-5")).toBe("started");
    expect((await install.ended(started)).run).toMatchObject({ status: "succeeded", output: { turn: 5 } });
  });

  test("starts in its machine, sees what was written live, and leaves it mounted with its tree committed", async () => {
    await workspace.files.write("note.txt", Buffer.from("written live\n"));
    const host = await said("echo here > /tmp/marker; hostname");
    const pty = await workspace.pty.create();
    await until("the terminal is open", async () => (await pty.retrieve()).state === "open", waitMs);
    const before = await mount();
    expect(before).toMatchObject({ state: "mounted" });

    const started = await visit(1);
    await install.untilSaid(started.runId, "at work");
    expect((await install.logs(started.runId)).stdout).toBe(`marker here host ${host} note written live release one\nat work\n`);
    // Beside it, in the same machine: an exec, the terminal that was there, a live file.
    expect(await said("cat progress-1.txt; cat /tmp/marker")).toBe("started\nhere");
    await pty.input("cat /tmp/marker progress-1.txt | tr '\\n' '+'\n", { offset: 0 });
    await until(
      "the terminal has answered",
      async () => text(Buffer.concat((await pty.output.list()).map((chunk) => chunk.data))).includes("here+started+"),
      waitMs,
    );
    await workspace.files.write("finish-1", Buffer.from(""));
    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({ status: "succeeded", output: { turn: 1 } });
    // Of the version, without the machine.
    expect(await install.file(workspace.id, "progress-1.txt")).toBe("finished\n");
    expect(await install.file(workspace.id, "note.txt")).toBe("written live\n");
    expect(await mount()).toMatchObject({ id: before.id, state: "mounted" });
    expect(await pty.retrieve()).toMatchObject({ state: "open" });
    await pty.close();
    await until("the terminal has closed", async () => (await pty.retrieve()).state === "closed", waitMs);
  });

  test("goes on with the mount when the worker is killed, and the next one follows in the same machine", async () => {
    const before = await mount();
    const started = await visit(2);
    await install.untilSaid(started.runId, "at work");
    process.kill(await install.local.componentPid("worker"), "SIGKILL");
    expect(await said("cat /tmp/marker progress-2.txt")).toBe("here\nstarted");
    await said("touch finish-2");
    const ended = await install.ended(started);
    expect(ended.run).toMatchObject({ status: "succeeded", output: { turn: 2 } });
    expect(ended.events.map((event) => event.kind)).not.toContain("run.execution_lost");
    expect(ended.stdout).toMatch(/^marker here .*\nat work\n$/);
    expect(await install.file(workspace.id, "progress-2.txt")).toBe("finished\n");

    await said("touch finish-3");
    const next = await install.ended(await visit(3));
    expect(next.stdout).toMatch(/^marker here /);
    expect(await install.file(workspace.id, "progress-3.txt")).toBe("finished\n");
    expect(await mount()).toMatchObject({ id: before.id, state: "mounted" });
  });

  test("of another deployment has the machine captured at once, what is open in it told why, and its own started", async () => {
    expect(await said("echo again > /tmp/marker; cat /tmp/marker")).toBe("again");
    const before = await mount();
    const open = await workspace.exec(["sh", "-c", "echo unsaved > late.txt; sync; echo ready; sleep 600"]);
    await until("it runs", async () => (await open.retrieve()).stdoutCursor > 0, waitMs);
    await writeFile(join(project, "tasks", "visitor.ts"), source("two"));
    await install.deploy(project);
    const started = await visit(4);
    expect(await open.wait()).toMatchObject({
      state: "terminated",
      error: { message: "the workspace was unmounted: a run needed the workspace in a machine of its own" },
    });
    await install.untilSaid(started.runId, "at work");
    expect((await install.logs(started.runId)).stdout).toMatch(/^marker nothing host .* note written live release two\n/);
    expect((await mount()).id).not.toBe(before.id);
    expect(await said("cat late.txt; touch finish-4")).toBe("unsaved");
    expect((await install.ended(started)).run).toMatchObject({ status: "succeeded" });
    await install.expectSound();
  });
});
