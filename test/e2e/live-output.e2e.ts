/** Looking at a run while it works: `run logs --follow`, `session start --follow`, Ctrl-C, and several sessions on one workspace. */
import { rm } from "node:fs/promises";
import { until } from "@helmr/test/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { finished } from "./local-install.ts";
import { type SharedInstall, sharedInstall } from "./shared-install.ts";
import { taskProject } from "./task-project.ts";

const source = `
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { sandbox, task } from "@helmr/sdk";
const anything = { "~standard": { version: 1 as const, vendor: "e2e", validate: (value: unknown) => ({ value: value as { word: string } }) } };

/** One line on each stream, then nothing until the session is told to stop. */
export const drips = task({
  id: "drips",
  sandbox: sandbox("drips"),
  async run(ctx) {
    console.log("first line");
    console.error("first warning");
    await new Promise((resolve) => {
      const alive = setInterval(() => {}, 1_000);
      ctx.signal.addEventListener("abort", () => resolve(clearInterval(alive)));
    });
    console.log("last line");
  },
});

export const notes = task({
  id: "notes",
  sandbox: sandbox("notes"),
  payload: anything,
  run({ word }) {
    const before = existsSync("notes.txt") ? readFileSync("notes.txt", "utf8") : "";
    appendFileSync("notes.txt", word + "\\n");
    console.log("noted " + word);
    return { before };
  },
});
`;

let install: SharedInstall;
let project: string | undefined;
beforeAll(async () => {
  install = await sharedInstall();
  project = await taskProject({ "tasks/all.ts": source });
  await install.deploy(project);
});
afterAll(async () => {
  await install?.expectSound();
  install?.close();
  if (project !== undefined) await rm(project, { recursive: true, force: true });
});

describe("following", () => {
  test("shows each line when it is written, lets go at Ctrl-C without hurting the run, and ends with it", async () => {
    const { runId } = await install.start("drips");
    // Ends only when it is told to: the run is silent and alive.
    const left = await install.local.helmr(["run", "logs", runId, "--follow"], {
      onStdout: (text, child) => {
        if (text.endsWith("first line\n")) child.kill("SIGINT");
      },
    });
    expect(left).toMatchObject({ stdout: "first line\n", signal: null });
    expect(left.code).not.toBe(0);
    expect(await install.run(runId)).toMatchObject({ status: "running" });

    let seen = "";
    const child = install.local.spawnHelmr(["run", "logs", runId, "--follow"]);
    const second = finished(child, {
      onStdout: (text) => {
        seen = text;
      },
    });
    await until("the second follower shows what was there", () => seen === "first line\n", 60_000);
    const events = install.local.helmr(["run", "events", runId, "--follow"]);
    await install.post(`/api/runs/${runId}/cancel`, { reason: "seen enough" });
    expect(await second).toMatchObject({ code: 0, stdout: "first line\nlast line\n" });
    const { code, stdout } = await events;
    expect(code).toBe(0);
    const kinds = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(kinds.filter((kind) => !kind.startsWith("log"))).toEqual(["run.created", "run.cancel_requested", "run.cancelled"]);
  });

  test("session start --follow shows the run and how it ended", async () => {
    const { code, stdout, stderr } = await install.local.helmr(["session", "start", "notes", "--payload", "word=alpha", "--follow"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(/^session_id: /),
      expect.stringMatching(/^run_id: /),
      expect.stringMatching(/^workspace_id: /),
      "noted alpha",
      "run_status: succeeded",
    ]);
  });

  test("a run that failed is no failure of the command, unless it is asked for", async () => {
    const start = ["session", "start", "notes", "--payload-json", "null", "--wait"];
    const [plain, asked] = await Promise.all([install.local.helmr(start), install.local.helmr([...start, "--exit-status"])]);
    expect(plain).toMatchObject({ code: 0 });
    expect(plain.stdout).toContain("run_status: failed\n");
    expect(asked).toMatchObject({ code: 2 });
  });
});

describe("one workspace", () => {
  test("is handed from session to session, each leaving a version", async () => {
    const first = await install.play("notes", { payload: { word: "one" } });
    expect(first.run.output).toEqual({ before: "" });
    const second = await install.play("notes", { payload: { word: "two" }, workspace_id: first.workspaceId });
    expect(second.run.output).toEqual({ before: "one\n" });
    // Two at once on one workspace: one writer at a time, and both are done.
    const both = await Promise.all(
      ["three", "four"].map((word) => install.play("notes", { payload: { word }, workspace_id: first.workspaceId })),
    );
    expect(both.map(({ run }) => run.status)).toEqual(["succeeded", "succeeded"]);
    const words = (await install.file(first.workspaceId, "notes.txt")).trimEnd().split("\n");
    expect(words.slice(0, 2)).toEqual(["one", "two"]);
    expect(words.slice(2).toSorted()).toEqual(["four", "three"]);

    const { versions } = await install.get(`/api/workspaces/${first.workspaceId}/versions`);
    expect(versions).toHaveLength(5);
    // Newest first; each one's parent is the one before it.
    for (const [index, version] of versions.entries()) {
      expect(version).toMatchObject({ state: "ready", workspace_id: first.workspaceId });
      expect(version.parent_version_id).toBe(versions[index + 1]?.id);
    }
    const { workspace } = await install.get(`/api/workspaces/${first.workspaceId}`);
    expect(workspace).toMatchObject({ current_version_id: versions[0].id, dirty_state: "clean" });
    const old = await install.api.call(
      "GET",
      `/api/workspaces/${first.workspaceId}/files/content?path=notes.txt&source=version&version_id=${versions[3].id}`,
    );
    expect(old.text).toBe("one\n");
  });
});
