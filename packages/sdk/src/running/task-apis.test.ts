import { afterEach, beforeEach, expect, test } from "vitest";
import { sandbox } from "../authoring/sandbox.ts";
import { task } from "../authoring/task.ts";
import type { TaskContext } from "../authoring/task-context.ts";
import { tokens } from "../namespaces.ts";
import { countSchema } from "../testing/count-schema.ts";
import { type RecordingRuntime, recordingRuntime, settled } from "../testing/recording-runtime.ts";
import { executeTask } from "./execute-task.ts";
import { logger } from "./logger.ts";
import { type RunRuntime, activeRuntime, installRuntime, isTaskRunning } from "./port.ts";
import { metadata } from "./run-metadata.ts";
import { streams } from "./streams.ts";
import { timers } from "./timers.ts";

let runtime: RecordingRuntime;
beforeEach(() => {
  runtime = recordingRuntime();
});
afterEach(() => {
  runtime.uninstall();
});

const events = streams.output("events");
const answerAll = (): void => {
  for (const { call, answer } of runtime.calls) if (call.kind !== "wait") answer({});
};

test("append sends JSON text, parsed by the schema first", async () => {
  const counts = streams.output("counts", { schema: countSchema() });
  const appended = counts.append({ count: "7" }, { contentType: "application/x-count" });
  await settled();
  expect(runtime.sent(0).call).toEqual({
    kind: "stream.append",
    stream: "counts",
    json: '{"count":7}',
    contentType: "application/x-count",
  });
  answerAll();
  expect(await appended).toBeUndefined();
  await expect(counts.append({ count: "x" })).rejects.toThrow(
    'data of output stream "counts" failed validation: payload.count: must be digits',
  );
  await expect(events.append("x".repeat(262_143))).rejects.toThrow("the limit is 262144");
  await expect(events.append({ bad: Number.NaN })).rejects.toThrow("must be finite");
  expect(runtime.calls.length).toBe(1);
  void events.append("x".repeat(262_142));
  await settled();
  expect(runtime.calls.length).toBe(2);
});

test("appends are no blocking calls: they go beside a wait and beside each other, in order", async () => {
  void timers.waitFor(5).unwrap();
  const all = Promise.all(Array.from({ length: 200 }, (_value, number) => events.append(number)));
  await settled();
  // No more than 64 at once; the others wait in line.
  expect(runtime.calls.length).toBe(65);
  while (runtime.calls.length < 201) {
    answerAll();
    await settled();
  }
  answerAll();
  await all;
  expect(runtime.calls.slice(1).map(({ call }) => (call as { json: string }).json)).toEqual(
    Array.from({ length: 200 }, (_value, number) => String(number)),
  );
});

test("pipe appends one after the other and stops at the first refusal", async () => {
  async function* source(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    yield 3;
  }
  const piped = events.pipe(source());
  await settled();
  expect(runtime.calls.length).toBe(1);
  runtime.sent(0).answer({});
  await settled();
  runtime.sent(1).refuse(new RangeError("no more"));
  await expect(piped).rejects.toThrow("no more");
  expect(runtime.calls.length).toBe(2);
  const list = events.pipe(["a"]);
  await settled();
  runtime.sent(2).answer({});
  expect(await list).toBeUndefined();
});

test("a writer keeps the order, ends with close, and tells of a failure", async () => {
  const writer = events.writer();
  void writer.write("a");
  const second = writer.write("b");
  await settled();
  expect(runtime.calls.length).toBe(1);
  runtime.sent(0).answer({});
  await settled();
  runtime.sent(1).answer({});
  await second;
  await writer.close();
  await expect(writer.write("c")).rejects.toThrow('Cannot write to output stream "events": its writer is closed');

  const failing = events.writer();
  const lost = failing.write("x");
  const after = failing.write("y");
  await settled();
  runtime.sent(2).refuse(new RangeError("gone"));
  await expect(lost).rejects.toThrow("gone");
  await expect(after).rejects.toThrow("gone");
  await expect(failing.close()).rejects.toThrow("gone");
  expect(runtime.calls.length).toBe(3);
});

test("reads of an output stream are refused inside a task", async () => {
  await expect(events.read()).rejects.toThrow("requires runtime stream read support");
  await expect(events.list()).rejects.toThrow("requires runtime stream read support");
});

test("metadata sends its operations", async () => {
  const all = Promise.all([
    metadata.set("a", { b: [1, null] }),
    metadata.patch({ x: 1, at: new Date(0) }),
    metadata.increment("n"),
    metadata.increment("n", -2.5),
  ]);
  await settled();
  expect(runtime.calls.map(({ call }) => (call as { operation: unknown }).operation)).toEqual([
    { op: "set", key: "a", json: '{"b":[1,null]}' },
    { op: "patch", json: '{"x":1,"at":"1970-01-01T00:00:00.000Z"}' },
    { op: "increment", key: "n", amount: 1 },
    { op: "increment", key: "n", amount: -2.5 },
  ]);
  answerAll();
  await all;
});

test.each<[string, () => Promise<void>, string]>([
  ["an empty key", () => metadata.set("", 1), "A metadata key must be a text of 1 to 1024 characters"],
  ["a long key", () => metadata.increment("x".repeat(1025)), "A metadata key must be"],
  ["a list as patch", () => metadata.patch([1]), "metadata.patch needs a plain object"],
  [
    "an infinite amount",
    () => metadata.increment("n", Number.POSITIVE_INFINITY),
    "metadata.increment needs a finite number, and got Infinity",
  ],
  ["a large value", () => metadata.set("a", "x".repeat(262_144)), "the limit is 262144"],
])("metadata refuses %s", async (_what, send, message) => {
  await expect(send()).rejects.toThrow(message);
  expect(runtime.calls).toEqual([]);
});

test("logger joins texts by blanks, writes the rest as JSON, and takes a last plain object as fields", () => {
  logger.info("hello", 5, ["a", { b: 1 }], null, undefined, true);
  logger.warn("with", { user: "ada", at: new Date(0), gone: undefined });
  logger.error({ only: 1 });
  logger.info();
  logger.info(new Date(0));
  expect(runtime.logs.map(({ at: _at, ...entry }) => entry)).toEqual([
    { level: "info", message: 'hello 5 ["a",{"b":1}] null undefined true' },
    {
      level: "warn",
      message: 'with {"user":"ada","at":"1970-01-01T00:00:00.000Z"}',
      fields: { user: "ada", at: "1970-01-01T00:00:00.000Z" },
    },
    { level: "error", message: '{"only":1}', fields: { only: 1 } },
    { level: "info", message: "" },
    { level: "info", message: '"1970-01-01T00:00:00.000Z"' },
  ]);
  for (const { at } of runtime.logs) expect(new Date(at).toISOString()).toBe(at);
});

test("logger shows errors with their cause, and never throws for a value", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  logger.error("failed", new TypeError("bad", { cause: new RangeError("deep") }));
  logger.info(circle);
  logger.info(10n, Symbol("s"), () => 1, { big: 5n });
  const [first] = runtime.logs;
  const shown = JSON.parse(first?.message.slice("failed ".length) ?? "") as Record<string, unknown>;
  expect(shown).toMatchObject({ name: "TypeError", message: "bad", cause: { name: "RangeError", message: "deep" } });
  expect(shown["stack"]).toContain("task-apis.test.ts");
  expect(first?.fields).toBeUndefined();
  expect(runtime.logs[1]?.message).toBe('"[value without a JSON form]"');
  expect(runtime.logs[1]?.fields).toBeUndefined();
  expect(runtime.logs[2]).toMatchObject({ message: '"10" Symbol(s) () => 1 {"big":"5"}', fields: { big: "5" } });
});

test("a log entry is cut at 64 KiB, at a whole character", () => {
  const mark = "\n...[truncated logger entry]";
  const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
  logger.info("x".repeat(200_000));
  logger.info("🚀".repeat(50_000));
  logger.info("\n".repeat(60_000));
  logger.info("small", { data: "y".repeat(40_000) });
  logger.info("z".repeat(1000));
  const [ascii, rockets, lines, fields, small] = runtime.logs;
  for (const entry of [ascii, rockets, lines]) {
    expect(entry?.message.endsWith(mark)).toBe(true);
    expect(bytes(entry)).toBeLessThanOrEqual(65_536);
    expect(bytes(entry)).toBeGreaterThan(65_536 - 8);
    expect(entry?.message.isWellFormed()).toBe(true);
  }
  // Twice the same data does not fit: the message keeps it, the fields go.
  expect(fields?.message.endsWith('"}')).toBe(true);
  expect(fields?.fields).toBeUndefined();
  expect(small?.message).toBe("z".repeat(1000));
});

const outside: [string, () => unknown][] = [
  ["wait", () => streams.input("a").wait()],
  ["once", () => streams.input("a").once()],
  ["peek", () => streams.input("a").peek()],
  ["on", () => streams.input("a").on(() => undefined)],
  ["append", () => streams.output("a").append(1)],
  ["pipe", () => streams.output("a").pipe([1])],
  ["writer", () => streams.output("a").writer()],
  ["read", () => streams.output("a").read()],
  ["waitFor", () => timers.waitFor(1)],
  ["waitUntil", () => timers.waitUntil(new Date(0))],
  ["metadata", () => metadata.set("a", 1)],
  ["logger", () => logger.info("a")],
  ["tokens.wait", () => tokens.wait("t")],
];

test.each(outside)("outside a task %s throws", async (_name, use) => {
  runtime.uninstall();
  expect(isTaskRunning()).toBe(false);
  await expect((async () => await use())()).rejects.toThrow("Helmr run APIs can only be used while a task is running");
});

test("a runtime of another version is refused with a sentence", () => {
  const undo = installRuntime({ ...runtime, version: 2 } as unknown as RunRuntime);
  expect(() => activeRuntime()).toThrow("This @helmr/sdk speaks run runtime 1, and the guest offers 2");
  undo();
});

const box = sandbox("box");

test("executeTask() gives run its parsed payload and a frozen context", async () => {
  let seen: TaskContext | undefined;
  const counting = task({
    id: "task-1",
    sandbox: box,
    payload: countSchema({ isAsync: true }),
    run: ({ count }, ctx) => {
      seen = ctx;
      return { doubled: count * 2, at: new Date(0) };
    },
  });
  const end = await executeTask({ task: counting, payload: { count: "21" }, runtime });
  expect(end).toEqual({ outcome: "returned", outputJson: '{"doubled":42,"at":"1970-01-01T00:00:00.000Z"}' });
  expect(seen).toEqual({
    signal: runtime.signal,
    run: { id: "run-1", attemptId: "attempt-1", attemptNumber: 2, runLeaseId: "lease-1" },
    task: { id: "task-1" },
    workspace: { path: "/workspace", projectPath: "/opt/helmr-task/.helmr/deployment-source" },
    session: { id: "session-1" },
  });
  for (const part of [seen, seen?.run, seen?.task, seen?.workspace, seen?.session]) expect(Object.isFrozen(part)).toBe(true);
});

test("executeTask() without a payload schema calls run with the context alone", async () => {
  const received: unknown[][] = [];
  const plain = task({ id: "p", sandbox: box, run: (...values: unknown[]) => void received.push(values) });
  expect(await executeTask({ task: plain, payload: { ignored: true }, runtime })).toEqual({ outcome: "returned" });
  expect(received.length).toBe(1);
  expect(received[0]?.length).toBe(1);
  expect(received[0]?.[0]).toMatchObject({ task: { id: "task-1" } });
});

test("executeTask() tells a bad payload and a bad output from what the task threw", async () => {
  const payload = task({ id: "p", sandbox: box, payload: countSchema(), run: () => 1 });
  expect(await executeTask({ task: payload, payload: {}, runtime })).toMatchObject({
    outcome: "threw",
    detail: "payload_invalid",
    error: { message: 'payload of task "p" failed validation: payload.count: must be digits' },
  });
  const thrown = new RangeError("mine");
  const throwing = task({
    id: "t",
    sandbox: box,
    run: () => {
      throw thrown;
    },
  });
  expect(await executeTask({ task: throwing, payload: {}, runtime })).toEqual({ outcome: "threw", error: thrown });
  const large = task({ id: "l", sandbox: box, run: async () => "x".repeat(262_143) });
  expect(await executeTask({ task: large, payload: {}, runtime })).toMatchObject({
    outcome: "threw",
    detail: "output_invalid",
    error: { message: expect.stringContaining('the output of task "l": it has 262145 bytes') },
  });
  const nothing = task({ id: "n", sandbox: box, run: () => null });
  expect(await executeTask({ task: nothing, payload: {}, runtime })).toEqual({ outcome: "returned", outputJson: "null" });
});

test("a cancel aborts the signal that the task has", async () => {
  const waiting = task({
    id: "w",
    sandbox: box,
    run: (ctx) =>
      new Promise<string>((resolve) => {
        ctx.signal.addEventListener("abort", () => resolve(String(ctx.signal.reason)));
      }),
  });
  const end = executeTask({ task: waiting, payload: {}, runtime });
  runtime.cancel.abort("cancelled by ada");
  expect(await end).toEqual({ outcome: "returned", outputJson: '"cancelled by ada"' });
});
