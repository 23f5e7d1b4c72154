/** Every project of `examples/` is one that a deployment could index, and those that need no guest run here with a recording runtime. */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as protocol from "@helmr/protocol/guest";
import { helmrVersion } from "@helmr/protocol/shared";
import { expect, onTestFinished, test } from "vitest";
import { type LoadedModule, type ProjectIndex, type Task, executeTask, indexProject, readConfig, startDiscovery } from "../runtime.ts";
import { type RecordingRuntime, recordingRuntime, wireRecord } from "../testing/recording-runtime.ts";

const root = fileURLToPath(new URL("../../../../examples", import.meta.url));
const load = async (path: string): Promise<Record<string, unknown>> => (await import(pathToFileURL(path).href)) as Record<string, unknown>;

/** Each project once: what its modules define is defined when they are first loaded. */
const indexed = new Map<string, ProjectIndex>();
async function indexOf(project: string): Promise<ProjectIndex> {
  const known = indexed.get(project);
  if (known !== undefined) return known;
  const config = readConfig((await load(join(root, project, "helmr.config.ts")))["default"]);
  if (!config.ok) expect.fail(config.failure.message);
  const discovery = startDiscovery();
  const modules: LoadedModule[] = [];
  for (const dir of config.config.dirs) {
    for (const file of (await readdir(join(root, project, dir))).sort()) {
      modules.push({ file: `${dir}/${file}`, module: file, exports: await load(join(root, project, dir, file)) });
    }
  }
  discovery.stop();
  const result = indexProject({ modules, discovery });
  if (!result.ok) expect.fail(result.failure.message);
  indexed.set(project, result.index);
  return result.index;
}

const projects: Record<string, string[]> = {
  approvals: ["approve-by-stream", "approve-by-token"],
  chat: ["chat"],
  hello: ["hello"],
  housekeeping: ["every-minute", "flaky", "on-demand-report", "reminder", "until-cancelled"],
  "package-audit": ["package-audit"],
  "secret-check": ["secret-check"],
};

test("these are all of the examples", async () => {
  expect((await readdir(root)).sort()).toEqual(Object.keys(projects));
});

test.each(Object.entries(projects))("%s can be indexed", async (project, ids) => {
  const index = await indexOf(project);
  expect(protocol.projectIndex.safeParse(index).error).toBeUndefined();
  expect(index.tasks.map(({ id }) => id).sort()).toEqual(ids);
  const manifest = JSON.parse(await readFile(join(root, project, "package.json"), "utf8")) as Record<string, unknown>;
  expect(manifest).toMatchObject({
    private: true,
    type: "module",
    packageManager: expect.stringMatching(/^npm@/),
    dependencies: { "@helmr/sdk": helmrVersion },
  });
});

test("what the examples declare beside tasks", async () => {
  expect((await indexOf("approvals")).streams.map(({ direction, name }) => [direction, name])).toEqual([
    ["input", "decisions"],
    ["output", "progress"],
  ]);
  const housekeeping = await indexOf("housekeeping");
  expect(housekeeping.queues).toEqual([{ id: "reports", concurrencyLimit: 1 }]);
  expect(housekeeping.tasks.find(({ id }) => id === "every-minute")?.schedule).toEqual({ cron: "* * * * *", timezone: "Europe/Berlin" });
  expect((await indexOf("secret-check")).tasks[0]?.secrets.length).toBe(3);
});

async function workspace(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "helmr-example-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function taskOf(project: string, file: string, name: string): Promise<Task> {
  return (await load(join(root, project, "tasks", file)))[name] as Task;
}

function runtimeIn(path: string, answers: Parameters<typeof recordingRuntime>[0]): RecordingRuntime {
  const runtime = recordingRuntime(answers);
  onTestFinished(runtime.uninstall);
  return Object.assign(runtime, { workspace: { path, projectPath: path } });
}

test("hello writes its greeting into the workspace", async () => {
  const path = await workspace();
  const runtime = runtimeIn(path, () => ({}));
  const task = await taskOf("hello", "hello.ts", "hello");
  expect(await executeTask({ task, payload: { name: "Ada" }, runtime })).toEqual({
    outcome: "returned",
    outputJson: '{"greeting":"Hello, Ada!"}',
  });
  expect(await readFile(join(path, "greeting.txt"), "utf8")).toBe("Hello, Ada!\n");
  expect(await executeTask({ task, payload: {}, runtime })).toMatchObject({ outputJson: '{"greeting":"Hello, world!"}' });
});

test("chat answers what is unanswered, over several runs", async () => {
  const path = await workspace();
  const inbox = [wireRecord(1, { text: "one two" }), wireRecord(2, { text: "three" })];
  const replies: unknown[] = [];
  const runtime = runtimeIn(path, (call) => {
    if (call.kind === "stream.peek") return inbox.find((record) => Number(record["sequence"]) > (call.afterSequence ?? 0)) ?? null;
    if (call.kind === "stream.append") replies.push(JSON.parse(call.json));
    return {};
  });
  const task = await taskOf("chat", "chat.ts", "chat");
  expect(await executeTask({ task, payload: {}, runtime })).toEqual({
    outcome: "returned",
    outputJson: '{"answeredNow":2,"answered":2,"words":3}',
  });
  inbox.push(wireRecord(3, { text: "four five" }));
  expect(await executeTask({ task, payload: {}, runtime })).toMatchObject({ outputJson: '{"answeredNow":1,"answered":3,"words":5}' });
  expect(replies).toEqual([
    { to: 1, text: "That was 2 words; 2 so far." },
    { to: 2, text: "That was 1 words; 3 so far." },
    { to: 3, text: "That was 2 words; 5 so far." },
  ]);
});

test("approvals tell every outcome", async () => {
  const path = await workspace();
  let decided: unknown;
  const runtime = runtimeIn(path, (call) => {
    if (call.kind === "token.create") return { id: "token-1", status: "pending", timeout_at: null };
    return call.kind === "wait" ? decided : {};
  });
  const byToken = await taskOf("approvals", "approve-by-token.ts", "approveByToken");
  decided = { kind: "token", status: "completed", data: { approved: false, by: "ada" } };
  expect(await executeTask({ task: byToken, payload: { title: "x" }, runtime })).toEqual({
    outcome: "returned",
    outputJson: '{"title":"x","outcome":"rejected","by":"ada"}',
  });
  decided = { kind: "token", status: "cancelled" };
  expect(await executeTask({ task: byToken, payload: { title: "x" }, runtime })).toMatchObject({
    outputJson: '{"title":"x","outcome":"WaitCancelledError"}',
  });
  const byStream = await taskOf("approvals", "approve-by-stream.ts", "approveByStream");
  decided = { kind: "stream", status: "timed_out" };
  expect(await executeTask({ task: byStream, payload: { title: "x", timeoutSeconds: 1 }, runtime })).toMatchObject({
    outputJson: expect.stringContaining('"outcome":"WaitTimeoutError"'),
  });
});

test("flaky fails as often as it is told", async () => {
  const task = await taskOf("housekeeping", "retries.ts", "flaky");
  const runtime = runtimeIn(await workspace(), () => ({}));
  expect(await executeTask({ task, payload: { failures: 2 }, runtime })).toMatchObject({
    outcome: "threw",
    error: { message: "attempt 2 failed" },
  });
  expect(await executeTask({ task, payload: { failures: 1 }, runtime })).toEqual({ outcome: "returned", outputJson: '{"attempt":2}' });
});
