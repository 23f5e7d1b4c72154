import { afterEach, beforeEach, expect, test } from "vitest";
import { ConcurrentWaitError, PayloadSchemaValidationError, WaitCancelledError, WaitTimeoutError } from "../errors.ts";
import { tokens } from "../namespaces.ts";
import { countSchema } from "../testing/count-schema.ts";
import { type RecordingRuntime, recordingRuntime, settled, wireRecord } from "../testing/recording-runtime.ts";
import { RunCallError } from "./port.ts";
import { streams } from "./streams.ts";
import { timers } from "./timers.ts";

let runtime: RecordingRuntime;
beforeEach(() => {
  runtime = recordingRuntime();
});
afterEach(() => {
  runtime.uninstall();
});

const answers = streams.input("answers");
const counts = streams.input("counts", { schema: countSchema({ isAsync: true }) });

test("a wait handle is lazy, and sends once however often it is awaited", async () => {
  const handle = answers.wait({ timeout: 5 });
  await settled();
  expect(runtime.calls).toEqual([]);
  const both = Promise.all([handle, handle, handle.unwrap()]);
  await settled();
  expect(runtime.calls.length).toBe(1);
  runtime.sent(0).answer({ kind: "stream", status: "completed", record: wireRecord(1, { yes: true }) });
  const [first, second, data] = await both;
  expect(first).toBe(second);
  expect(first).toMatchObject({ ok: true, data: { yes: true } });
  expect(data).toEqual({ yes: true });
  expect((await handle).unwrap()).toEqual({ yes: true });
  expect(runtime.calls.length).toBe(1);
});

test("a stream wait sends its options in the form of the port", async () => {
  void answers
    .wait({ timeout: "1500ms", idleTimeout: { minutes: 1 }, metadata: { a: [1] }, tags: "one", correlationId: "c", afterSequence: 4 })
    .unwrap();
  await settled();
  expect(runtime.sent(0).call).toEqual({
    kind: "wait",
    on: { kind: "stream", stream: "answers", afterSequence: 4, correlationId: "c" },
    parkable: true,
    timeoutSeconds: 2,
    idleTimeoutSeconds: 60,
    metadata: { a: [1] },
    tags: ["one"],
  });
});

test("wait remembers the last sequence per stream and correlation id; once and peek do not", async () => {
  const waitFor = async (sequence: number, options = {}): Promise<unknown> => {
    const waiting = answers.wait(options).unwrap();
    await settled();
    const { call, answer } = runtime.sent(runtime.calls.length - 1);
    answer({ kind: "stream", status: "completed", record: wireRecord(sequence, sequence) });
    await waiting;
    return (call as { on: object }).on;
  };
  expect(await waitFor(3)).toEqual({ kind: "stream", stream: "answers" });
  expect(await waitFor(7)).toEqual({ kind: "stream", stream: "answers", afterSequence: 3 });
  expect(await waitFor(2, { correlationId: "c" })).toEqual({ kind: "stream", stream: "answers", correlationId: "c" });
  expect(await waitFor(9, { correlationId: "c" })).toEqual({ kind: "stream", stream: "answers", correlationId: "c", afterSequence: 2 });
  expect(await waitFor(8, { correlationId: " " })).toEqual({ kind: "stream", stream: "answers", afterSequence: 7 });
  expect(await waitFor(1, { afterSequence: 0 })).toEqual({ kind: "stream", stream: "answers", afterSequence: 0 });
  expect(await waitFor(2)).toEqual({ kind: "stream", stream: "answers", afterSequence: 1 });

  const once = answers.once().unwrap();
  await settled();
  expect(runtime.calls.at(-1)?.call).toMatchObject({ on: { afterSequence: 0 }, parkable: false });
  runtime.calls.at(-1)?.answer({ kind: "stream", status: "completed", record: wireRecord(1, "first") });
  expect(await once).toBe("first");
  const peeked = answers.peek();
  await settled();
  expect(runtime.calls.at(-1)?.call).toEqual({ kind: "stream.peek", stream: "answers", afterSequence: 0 });
  runtime.calls.at(-1)?.answer(wireRecord(1, "first", "c"));
  expect(await peeked).toEqual({
    id: "record-1",
    streamId: "stream-1",
    sequence: 1,
    data: "first",
    correlationId: "c",
    contentType: "application/json",
    createdAt: "2026-06-06T09:30:00Z",
  });
  expect(await waitFor(3)).toMatchObject({ afterSequence: 2 });
});

test("peek gives null when there is nothing", async () => {
  const peeked = counts.peek({ correlationId: "c", afterSequence: 2 });
  await settled();
  expect(runtime.sent(0).call).toEqual({ kind: "stream.peek", stream: "counts", correlationId: "c", afterSequence: 2 });
  runtime.sent(0).answer(null);
  expect(await peeked).toBeNull();
});

test("data goes through the schema, null stays null, and a failure rejects but does not come again", async () => {
  const parsed = counts.wait();
  void parsed.then(undefined, () => undefined);
  await settled();
  runtime.sent(0).answer({ kind: "stream", status: "completed", record: wireRecord(1, { count: "12" }) });
  expect(await parsed.unwrap()).toEqual({ count: 12 });

  const empty = counts.wait().unwrap();
  await settled();
  runtime.sent(1).answer({ kind: "stream", status: "completed", record: wireRecord(2, null) });
  expect(await empty).toBeNull();

  const bad = counts.wait().unwrap();
  await settled();
  runtime.sent(2).answer({ kind: "stream", status: "completed", record: wireRecord(3, { count: "x" }) });
  await expect(bad).rejects.toThrow('record of input stream "counts" failed validation: payload.count: must be digits');
  await expect(bad).rejects.toBeInstanceOf(PayloadSchemaValidationError);

  void counts.wait().unwrap();
  await settled();
  expect(runtime.sent(3).call).toMatchObject({ on: { afterSequence: 3 } });
});

test("a timed-out wait is a result; its unwrap throws", async () => {
  const waiting = answers.wait({ timeout: "90s" });
  void waiting.then(undefined);
  await settled();
  runtime.sent(0).answer({ kind: "stream", status: "timed_out" });
  const result = await waiting;
  expect(result.ok).toBe(false);
  expect(result.error).toBeInstanceOf(WaitTimeoutError);
  expect((result.error as WaitTimeoutError).timeout).toBe(90);
  expect(() => result.unwrap()).toThrow(WaitTimeoutError);
  await expect(waiting.unwrap()).rejects.toThrow(WaitTimeoutError);
});

test("a cancelled stream or timer wait, and a decision of another kind, reject", async () => {
  const cancelled = answers.wait().unwrap();
  await settled();
  runtime.sent(0).answer({ kind: "stream", status: "cancelled" });
  await expect(cancelled).rejects.toThrow(WaitCancelledError);

  const timer = timers.waitFor(10).unwrap();
  await settled();
  runtime.sent(1).answer({ kind: "timer", status: "cancelled" });
  await expect(timer).rejects.toThrow(WaitCancelledError);

  const other = answers.wait().unwrap();
  await settled();
  runtime.sent(2).answer({ kind: "timer", status: "completed" });
  await expect(other).rejects.toThrow("was decided as a timer wait");
});

test("a refused call rejects with its code, and the next blocking call works", async () => {
  const refused = answers.wait().unwrap();
  await settled();
  runtime.sent(0).refuse(new RunCallError("stream_not_found", "stream not found"));
  await expect(refused).rejects.toMatchObject({ code: "stream_not_found" });
  void answers.wait().unwrap();
  await settled();
  expect(runtime.calls.length).toBe(2);
});

const blockingCalls: Record<string, () => PromiseLike<unknown>> = {
  "stream wait": () => answers.wait(),
  once: () => answers.once(),
  peek: () => answers.peek(),
  on: () => answers.on(() => undefined),
  "token wait": () => tokens.wait("token-1"),
  "tokens.create": () => tokens.create(),
  "timers.waitFor": () => timers.waitFor(5),
  "timers.waitUntil": () => timers.waitUntil(new Date(Date.now() + 60_000)),
};

test.each(Object.keys(blockingCalls))("one blocking call at a time: while %s is in flight every other throws", async (first) => {
  void Promise.resolve(blockingCalls[first]?.()).catch(() => undefined);
  await settled();
  expect(runtime.calls.length).toBe(1);
  for (const start of Object.values(blockingCalls)) {
    await expect(Promise.resolve(start())).rejects.toThrow(ConcurrentWaitError);
  }
  expect(runtime.calls.length).toBe(1);
  runtime.sent(0).refuse(new RunCallError("refused", "enough"));
  await settled();
  void Promise.resolve(answers.wait()).catch(() => undefined);
  await settled();
  expect(runtime.calls.length).toBe(2);
});

test("a wait whose handle nobody awaits holds nobody up", async () => {
  answers.wait();
  timers.waitFor(5);
  void answers.once().unwrap();
  await settled();
  expect(runtime.calls.length).toBe(1);
});

test("on() gives data in order, from the given sequence, and its handler may block", async () => {
  const seen: unknown[] = [];
  const reading = answers.on(
    async (data) => {
      seen.push(data);
      if (data === "b") {
        await timers.waitFor(1);
        throw new RangeError("stop");
      }
    },
    { timeout: 30, correlationId: "c", afterSequence: 4 },
  );
  await settled();
  expect(runtime.sent(0).call).toEqual({
    kind: "wait",
    on: { kind: "stream", stream: "answers", afterSequence: 4, correlationId: "c" },
    parkable: false,
    timeoutSeconds: 30,
  });
  runtime.sent(0).answer({ kind: "stream", status: "completed", record: wireRecord(6, "a", "c") });
  await settled();
  // The timeout counts for the first record only.
  expect(runtime.sent(1).call).toEqual({
    kind: "wait",
    on: { kind: "stream", stream: "answers", afterSequence: 6, correlationId: "c" },
    parkable: false,
  });
  runtime.sent(1).answer({ kind: "stream", status: "completed", record: wireRecord(9, "b", "c") });
  await settled();
  expect(runtime.sent(2).call).toMatchObject({ on: { kind: "timer" } });
  runtime.sent(2).answer({ kind: "timer", status: "completed" });
  await expect(reading).rejects.toThrow("stop");
  expect(seen).toEqual(["a", "b"]);
});

test("on() rejects with WaitTimeoutError when no first record comes", async () => {
  const reading = answers.on(() => undefined, { timeout: 3 });
  await settled();
  runtime.sent(0).answer({ kind: "stream", status: "timed_out" });
  await expect(reading).rejects.toMatchObject({ name: "WaitTimeoutError", timeout: 3 });
});

test("timers send delays in whole seconds, or the time that is left; a past instant sends nothing", async () => {
  const short = timers.waitFor("200ms");
  void short.then(undefined);
  await settled();
  expect(runtime.sent(0).call).toEqual({ kind: "wait", on: { kind: "timer", delayMs: 1000 }, parkable: true });
  runtime.sent(0).answer({ kind: "timer", status: "completed" });
  expect(await short).toBeUndefined();

  void timers.waitUntil({ date: new Date(Date.now() + 60_000).toISOString() }).unwrap();
  await settled();
  const { delayMs } = (runtime.sent(1).call as { on: { delayMs: number } }).on;
  expect(delayMs).toBeGreaterThan(55_000);
  expect(delayMs).toBeLessThanOrEqual(60_000);
  expect(Number.isInteger(delayMs)).toBe(true);
  runtime.sent(1).answer({ kind: "timer", status: "completed" });
  await settled();

  expect(await timers.waitUntil("2020-01-01T00:00:00Z")).toBeUndefined();
  expect(await timers.waitUntil(new Date(0)).unwrap()).toBeUndefined();
  expect(runtime.calls.length).toBe(2);
  for (const bad of ["soon", {}, new Date(Number.NaN)]) expect(() => timers.waitUntil(bad)).toThrow("timers.waitUntil needs an instant");
});

const wireToken = {
  id: "token-1",
  status: "pending",
  callback_url: "https://h/cb",
  public_access_token: "hlmr_public_access_x",
  timeout_at: "2099-01-01T00:00:00Z",
  tags: ["a"],
  metadata: { k: 1 },
};

test("tokens.create inside a task goes through the runtime", async () => {
  const creating = tokens.create({ timeout: 90.2, tags: "a", metadata: { k: 1 }, idempotencyKey: "key" });
  await settled();
  expect(runtime.sent(0).call).toEqual({ kind: "token.create", timeoutMs: 91_000, tags: ["a"], metadata: { k: 1 }, idempotencyKey: "key" });
  runtime.sent(0).answer(wireToken);
  const token = await creating;
  expect(token).toEqual({
    id: "token-1",
    status: "pending",
    callbackUrl: "https://h/cb",
    publicAccessToken: "hlmr_public_access_x",
    timeoutAt: "2099-01-01T00:00:00Z",
    tags: ["a"],
    metadata: { k: 1 },
  });
  expect(Object.keys(token)).not.toContain("wait");
  for (const foreign of [{ projectId: "p" }, { environmentId: "e" }, { signal: new AbortController().signal }]) {
    await expect(tokens.create(foreign)).rejects.toThrow("tokens.create inside a task takes no");
  }

  void token.wait({ schema: countSchema(), timeout: 5 }).unwrap();
  await settled();
  expect(runtime.sent(1).call).toEqual({ kind: "wait", on: { kind: "token", tokenId: "token-1" }, parkable: true, timeoutSeconds: 5 });
});

test.each([
  ["an explicit timeout", { id: "t", timeoutAt: "2099-01-01T00:00:00Z" }, { timeout: 7 }, 7],
  ["no timeout for a bare id", "t", {}, undefined],
  ["no timeout for a reference", { id: "t" }, {}, undefined],
  ["no timeout without one on the token", { id: "t", timeoutAt: null }, {}, undefined],
  ["one second for a token past its time", { id: "t", timeoutAt: "2020-01-01T00:00:00Z" }, {}, 1],
])("tokens.wait: %s", async (_what, token, options, seconds) => {
  void tokens.wait(token, options).unwrap();
  await settled();
  expect((runtime.sent(0).call as { timeoutSeconds?: number }).timeoutSeconds).toBe(seconds);
});

test("tokens.wait counts what is left of the token's time, in whole seconds", async () => {
  void tokens.wait({ id: "t", timeoutAt: new Date(Date.now() + 9_500).toISOString() }).unwrap();
  await settled();
  expect((runtime.sent(0).call as { timeoutSeconds?: number }).timeoutSeconds).toBe(10);
});

test("the outcomes of a token wait", async () => {
  const outcome = async (answer: unknown, schema = countSchema()): Promise<unknown> => {
    const waiting = tokens.wait("t", { schema, timeout: 5 });
    void waiting.then(undefined, () => undefined);
    await settled();
    runtime.calls.at(-1)?.answer(answer);
    return await waiting;
  };
  expect(await outcome({ kind: "token", status: "completed", data: { count: "3" } })).toMatchObject({ ok: true, data: { count: 3 } });
  expect(await outcome({ kind: "token", status: "completed" })).toMatchObject({ ok: true, data: null });
  expect(await outcome({ kind: "token", status: "timed_out" })).toMatchObject({
    ok: false,
    error: { name: "WaitTimeoutError", timeout: 5 },
  });
  const cancelled = (await outcome({ kind: "token", status: "cancelled" })) as { error: Error; unwrap(): unknown };
  expect(cancelled.error).toBeInstanceOf(WaitCancelledError);
  expect(() => cancelled.unwrap()).toThrow(WaitCancelledError);
  await expect(outcome({ kind: "token", status: "completed", data: "x" })).rejects.toThrow("data of token t failed validation");
  await expect(outcome({ kind: "stream", status: "timed_out" })).rejects.toThrow("was decided as a stream wait");
});

test.each<[string, () => unknown, RegExp]>([
  ["timeout", () => answers.wait({ timeout: 0 }), /timeout of a wait on input stream "answers" must be greater than zero/],
  ["idleTimeout", () => answers.wait({ idleTimeout: "x" }), /idleTimeout of a wait/],
  ["afterSequence", () => answers.wait({ afterSequence: -1 }), /afterSequence of input stream "answers" must be a whole number/],
  ["afterSequence", () => answers.once({ afterSequence: 1.5 }), /afterSequence/],
  ["correlationId", () => answers.wait({ correlationId: "x".repeat(513) }), /correlationId must have at most 512/],
  ["metadata", () => answers.wait({ metadata: [] as unknown as Record<string, never> }), /metadata of a wait .* must be a JSON object/],
  ["metadata size", () => answers.wait({ metadata: { a: "x".repeat(65_536) } }), /the limit is 65536/],
  ["tags", () => answers.wait({ tags: Array.from({ length: 33 }, String) }), /at most 32 tags, and has 33/],
  ["tag", () => answers.wait({ tags: ["a", " "] }), /1 to 128 bytes/],
  ["tag size", () => answers.wait({ tags: "é".repeat(65) }), /1 to 128 bytes/],
  ["token", () => tokens.wait(""), /tokens.wait needs a token/],
  ["token length", () => tokens.wait("x".repeat(65)), /tokens.wait needs a token/],
  ["token schema", () => tokens.wait("t", { schema: {} as ReturnType<typeof countSchema> }), /Standard Schema v1/],
  ["stream id", () => streams.input("bad name"), /the id of an input stream must match/],
  ["stream id", () => streams.output(""), /the id of an output stream must match/],
])("a bad %s is refused before anything is sent", (_what, start, message) => {
  expect(start).toThrow(message);
  expect(runtime.calls).toEqual([]);
});

test("stream ids are trimmed", () => {
  expect(streams.input(" a.b ").id).toBe("a.b");
});
