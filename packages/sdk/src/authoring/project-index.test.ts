import * as protocol from "@helmr/protocol/guest";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inputStream } from "../running/input-stream.ts";
import { outputStream } from "../running/output-stream.ts";
import { countSchema } from "../testing/count-schema.ts";
import { type Discovery, startDiscovery } from "./definition-registry.ts";
import { type ImageBuilder, image } from "./image.ts";
import { type IndexResult, type LoadedModule, indexProject } from "./project-index.ts";
import { queue } from "./queue.ts";
import { sandbox } from "./sandbox.ts";
import { scheduledTask } from "./scheduled-task.ts";
import { source } from "./source.ts";
import { type Task, task } from "./task.ts";
import { findTask, taskNotFoundText } from "./task-lookup.ts";

let discovery: Discovery;
beforeEach(() => {
  discovery = startDiscovery();
});
afterEach(() => {
  discovery.stop();
});

const run = (): number => 1;
const module = (file: string, exports: Record<string, unknown>): LoadedModule => ({ file, module: `${file}.mjs`, exports });
const index = (...modules: LoadedModule[]): IndexResult => indexProject({ modules, discovery });
const one = (declared: Task): IndexResult => index(module("tasks/a.ts", { declared }));
const withImage = (builder: ImageBuilder): IndexResult => one(task({ id: "a", sandbox: sandbox("box").image(builder), run }));
const failureOf = (result: IndexResult): unknown => (result.ok ? "no failure" : result.failure);

test("indexProject() gives the declarations of a whole project, in the protocol's shape", () => {
  const slow = queue({ id: "slow", concurrencyLimit: 1 });
  inputStream("approvals", { schema: countSchema() });
  inputStream("approvals", { schema: countSchema() });
  outputStream("approvals");
  const base = image("base")
    .from("debian:12")
    .run(["true"], { secrets: [{ mountPath: "/s", secret: "S" }] });
  const box = sandbox("box")
    .image(image("app").from("node:24").copy("/app", source.directory("src")).copyFrom("/x", base, "/y"))
    .resources({ memory: "4Gi" });
  const first = task({
    id: "first",
    sandbox: box,
    maxDuration: 60,
    queue: slow,
    ttl: "10m",
    retry: { maxAttempts: 3 },
    secrets: [{ name: "S", env: "S" }],
    onConflict: "fork",
    onCheckpointLost: "restart",
    run,
  });
  const nightly = scheduledTask({ id: "nightly", sandbox: sandbox("plain"), queue: "slow", cron: "0 3 * * *", run });
  const result = index(module("tasks/a.ts", { first, help: 5, nothing: null }), module("tasks/b.ts", { nightly }));
  expect(result).toEqual({
    ok: true,
    index: {
      tasks: [
        {
          id: "first",
          file: "tasks/a.ts",
          module: "tasks/a.ts.mjs",
          exportName: "first",
          sandbox: "box",
          maxDurationSeconds: 60,
          queue: "slow",
          ttl: "10m",
          retry: { maxAttempts: 3 },
          secrets: [{ name: "S", env: "S" }],
          onConflict: "fork",
          onCheckpointLost: "restart",
        },
        {
          id: "nightly",
          file: "tasks/b.ts",
          module: "tasks/b.ts.mjs",
          exportName: "nightly",
          sandbox: "plain",
          queue: "slow",
          secrets: [],
          schedule: { cron: "0 3 * * *", timezone: "UTC" },
        },
      ],
      sandboxes: [
        { id: "box", image: "app", workspacePath: "/workspace", resources: { memory: "4Gi" }, network: { internet: true } },
        { id: "plain", workspacePath: "/workspace", resources: {}, network: { internet: true } },
      ],
      images: {
        base: {
          id: "base",
          steps: [
            { kind: "from", ref: "debian:12" },
            { kind: "run", argv: ["true"], caches: [], secrets: [{ mountPath: "/s", secret: "S" }] },
          ],
        },
        app: {
          id: "app",
          steps: [
            { kind: "from", ref: "node:24" },
            { kind: "copy", destination: "/app", source: { kind: "directory", path: "src", ignore: [] } },
            { kind: "copyFrom", destination: "/x", image: "base", source: "/y" },
          ],
        },
      },
      queues: [{ id: "slow", concurrencyLimit: 1 }],
      streams: [
        { direction: "input", name: "approvals", fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
        { direction: "output", name: "approvals", fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      ],
    },
  });
  if (result.ok) expect(protocol.projectIndex.safeParse(result.index).error).toBeUndefined();
});

test("definitions are recorded only while discovery runs", () => {
  discovery.stop();
  queue({ id: "late" });
  inputStream("late");
  expect(discovery.registry).toEqual({ streams: [], queues: [] });
});

test.each<[string, () => IndexResult, unknown]>([
  ["no module", () => index(), { kind: "task_not_found", message: "The project declares no task: there is no task module in dirs" }],
  [
    "no task",
    () => index(module("a.ts", { x: 1 })),
    {
      kind: "task_not_found",
      message: "The project declares no task: none of 1 modules in dirs has a named export that is the result of task()",
    },
  ],
  [
    "a default export",
    () => index(module("tasks/a.ts", { default: task({ id: "send-mail", sandbox: sandbox("b"), run }) })),
    {
      kind: "task_parse_failed",
      message: 'tasks/a.ts: task "send-mail" is the default export; export it by name, for example export const sendMail = task({ ... })',
    },
  ],
  [
    "one id twice",
    () =>
      index(
        module("a.ts", { x: task({ id: "same", sandbox: sandbox("b"), run }) }),
        module("b.ts", { y: task({ id: "same", sandbox: sandbox("b"), run }) }),
      ),
    { kind: "duplicate_task_id", message: 'task id "same" is declared twice: x in a.ts, and y in b.ts' },
  ],
  [
    "an undefined queue",
    () => one(task({ id: "x", sandbox: sandbox("b"), queue: "y", run })),
    { kind: "task_parse_failed", message: 'task "x" references undefined queue "y"' },
  ],
  [
    "two limits of a queue",
    () => {
      queue({ id: "q", concurrencyLimit: 1 });
      queue({ id: "q" });
      return one(task({ id: "x", sandbox: sandbox("b"), run }));
    },
    { kind: "task_parse_failed", message: 'queue "q" is declared with two limits: 1 and none' },
  ],
  [
    "two schemas of a stream",
    () => {
      inputStream("s", { schema: countSchema() });
      inputStream("s", { schema: countSchema({ vendor: "other" }) });
      return one(task({ id: "x", sandbox: sandbox("b"), run }));
    },
    { kind: "task_parse_failed", message: expect.stringContaining('conflicting deployment catalog schema for input stream "s"') },
  ],
  [
    "two definitions of a sandbox",
    () =>
      index(
        module("a.ts", {
          x: task({ id: "x", sandbox: sandbox("b"), run }),
          y: task({ id: "y", sandbox: sandbox("b").resources({ cpu: 4 }), run }),
        }),
      ),
    { kind: "task_parse_failed", message: 'conflicting definitions of sandbox "b" in tasks "x" and "y"' },
  ],
  [
    "a bad secret",
    () => one(task({ id: "x", sandbox: sandbox("b"), secrets: [{ name: "A", file: "../a" }], run })),
    { kind: "task_parse_failed", message: expect.stringContaining('secrets[0] of task "x": file must not contain ".."') },
  ],
  [
    "an image without steps",
    () => withImage(image("empty")),
    { kind: "task_parse_failed", message: expect.stringContaining('image "empty" of sandbox "box" has no steps') },
  ],
  [
    "an empty command",
    () => withImage(image("i").from("x").run([])),
    { kind: "task_parse_failed", message: 'run step of image "i" needs at least the name of a program' },
  ],
  [
    "a source outside the project",
    () => withImage(image("i").from("x").copy("/a", source.file("../a"))),
    { kind: "task_parse_failed", message: expect.stringContaining("must be relative to the project") },
  ],
  [
    "a source in .git",
    () => withImage(image("i").from("x").copy("/a", source.directory("sub/.git/hooks"))),
    { kind: "task_parse_failed", message: expect.stringContaining("must not be inside .git") },
  ],
  [
    "images in a cycle",
    () =>
      withImage(
        image("i")
          .from("x")
          .copy("/a", image("j").copy("/b", image("i").from("y"))),
      ),
    { kind: "task_parse_failed", message: "images copy from each other in a cycle: i from j from i" },
  ],
])("indexProject() refuses %s", (_what, build, failure) => {
  expect(failureOf(build())).toEqual(failure);
});

test("one task exported by two modules is one task, and equal sandboxes are one sandbox", () => {
  const shared = task({ id: "x", sandbox: sandbox("b"), run });
  const twin = task({ id: "y", sandbox: sandbox("b"), run });
  const result = index(module("a.ts", { shared }), module("index.ts", { shared, twin }));
  expect(result.ok && result.index.tasks.map((found) => [found.id, found.file])).toEqual([
    ["x", "a.ts"],
    ["y", "index.ts"],
  ]);
  expect(result.ok && result.index.sandboxes.length).toBe(1);
});

test("two branches of one image keep apart, equal ones are shared", () => {
  const base = image("node").from("node:24");
  const modules = [base.run(["a"]), base.run(["b"]), base.run(["a"])].map((builder, at) =>
    module(`${at}.ts`, { [`t${at}`]: task({ id: `t${at}`, sandbox: sandbox(`s${at}`).image(builder), run }) }),
  );
  const result = index(...modules);
  expect(result.ok && result.index.sandboxes.map((found) => found.image)).toEqual(["node", "node#2", "node"]);
  expect(result.ok && Object.keys(result.index.images)).toEqual(["node", "node#2"]);
});

test("findTask() finds by export and id, and hints at near names only", () => {
  const hello = task({ id: "hello", sandbox: sandbox("b"), run });
  expect(findTask({ exports: { hello }, exportName: "hello", taskId: "hello" })).toEqual({ ok: true, task: hello });
  expect(findTask({ exports: { hello }, exportName: "gone", taskId: "helo" })).toEqual({
    ok: false,
    failure: { kind: "task_not_found", message: 'task "helo" was not found; did you mean "hello"?' },
  });
  expect(taskNotFoundText("deploy", ["hello"])).toBe('task "deploy" was not found');
  expect(taskNotFoundText("Send-Mail", ["send-email", "send-mails"])).toBe('task "Send-Mail" was not found; did you mean "send-email"?');
});
