import type { ReportItem } from "@helmr/protocol/worker";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import { type Engine, eachStep, failed, openEngine, taskDeclaration, type TestWorker } from "./engine.fixture.ts";
import { loseLease } from "./lose-lease.ts";
import { readLogRecords, readLogSnapshot } from "./read-run-logs.ts";
import { reportAttempt } from "./report-attempt.ts";

let engine: Engine;
let worker: TestWorker;
beforeAll(async () => {
  engine = await openEngine();
  await engine.deploy({
    tasks: [taskDeclaration("hello"), taskDeclaration("again", { retry: { maxAttempts: 2, backoff: { minMs: 1, jitter: "none" } } })],
  });
  worker = await engine.worker();
});
afterAll(() => engine.close());

const running = async (task = "hello") => {
  const { run } = await engine.start({ task_id: task });
  return { run, ...(await engine.execute(worker, run.id)) };
};
const log = (offset: number, text: string | Buffer, stream: "stdout" | "stderr" | "logger" = "stdout"): ReportItem => ({
  kind: "log",
  stream,
  offset,
  data: Buffer.from(text as string).toString("base64"),
  age_ms: 5,
});
const records = async (id: string) => (await readLogRecords(engine.context, id, 0, 1_000)).rows;

describe("reportAttempt()", () => {
  test("stores bytes in chunks and shows them as bytes and as records", async () => {
    const { run, call } = await running();
    const entry = `${JSON.stringify({ level: "error", message: "oops" })}\n`;
    expect(
      await reportAttempt(engine.context, call, {
        first: 1,
        items: [log(0, "one\n"), log(4, "two\nthr"), log(0, "err\n", "stderr"), log(0, entry, "logger")],
      }),
    ).toEqual({ accepted: 4 });
    expect(await reportAttempt(engine.context, call, { first: 5, items: [log(11, "ee\n")] })).toEqual({ accepted: 5 });
    const snapshot = await readLogSnapshot(engine.context, run.id);
    expect(snapshot).toMatchObject({ stdoutBytes: 14, stderrBytes: 4, truncated: false });
    expect(snapshot.stdout.toString()).toBe("one\ntwo\nthree\n");
    expect((await records(run.id)).map(({ id, stream, message, level }) => [id, stream, message, level])).toEqual([
      [1, "stdout", "one", undefined],
      [2, "stdout", "two", undefined],
      [3, "stderr", "err", undefined],
      [4, "logger", "oops", "error"],
      [5, "stdout", "three", undefined],
    ]);
    const chunks = await engine.sql(
      "select stream, seq::int, first_record::int, record_count from run_log_chunks where run_id = $1 order by seq",
      [run.id],
    );
    expect(chunks.map((row) => Object.values(row))).toEqual([
      ["stdout", 1, 1, 2],
      ["stderr", 2, 3, 1],
      ["logger", 3, 4, 1],
      ["stdout", 4, 5, 1],
    ]);
    expect(
      await engine.sql("select kind, redaction from run_events where run_id = $1 and category = 'log' order by seq", [run.id]),
    ).toEqual([
      { kind: "log.stdout", redaction: "sensitive" },
      { kind: "log.stderr", redaction: "sensitive" },
      { kind: "log", redaction: "sensitive" },
      { kind: "log.stdout", redaction: "sensitive" },
    ]);
    expect(await engine.invariants()).toEqual([]);
  });

  test("accepts an identical replay, also in part, and refuses a gap", async () => {
    const { run, call } = await running();
    const items = [log(0, "a\n"), log(2, "b\n"), log(4, "c\n")];
    expect(await reportAttempt(engine.context, call, { first: 1, items: items.slice(0, 2) })).toEqual({ accepted: 2 });
    expect(await reportAttempt(engine.context, call, { first: 1, items: items.slice(0, 2) })).toEqual({ accepted: 2 });
    expect(await reportAttempt(engine.context, call, { first: 1, items })).toEqual({ accepted: 3 });
    expect(await reportAttempt(engine.context, call, { first: 5, items: [log(6, "e\n")] })).toEqual({ gap: true, expected: 4 });
    const wrong = await reportAttempt(engine.context, call, { first: 4, items: [log(9, "x")] });
    expect(isRefusal(wrong) && wrong.message).toMatch(/offset 9 of stdout does not continue the stream at 6/);
    expect((await records(run.id)).map((record) => record.message)).toEqual(["a", "b", "c"]);
  });

  test("is stale without the lease, but a replay of what was accepted is not", async () => {
    const { lease, call } = await running();
    const items = [log(0, "a\n")];
    await reportAttempt(engine.context, call, { first: 1, items });
    await loseLease(engine.context, { id: lease.lease_id, kind: "run" }, "fenced");
    expect(await reportAttempt(engine.context, call, { first: 1, items })).toEqual({ accepted: 1 });
    expect(await reportAttempt(engine.context, call, { first: 2, items: [log(2, "b\n")] })).toEqual({ stale: true });
    expect(await reportAttempt(engine.context, { ...call, fence: 99 }, { first: 1, items })).toEqual({ stale: true });
  });

  test("applies metadata in order; what cannot be stored is replaced", async () => {
    const { run, call } = await running();
    const metadata = (operation: Extract<ReportItem, { kind: "metadata" }>["operation"]): ReportItem => ({
      kind: "metadata",
      operation,
      age_ms: 0,
    });
    await reportAttempt(engine.context, call, {
      first: 1,
      items: [
        metadata({ op: "set", key: "a", value: { x: "nul\0" } }),
        metadata({ op: "increment", key: "n", amount: 2 }),
        metadata({ op: "increment", key: "n", amount: 3 }),
        metadata({ op: "patch", value: { b: null } }),
      ],
    });
    expect(await engine.one("select metadata from runs where id = $1", [run.id])).toEqual({
      metadata: { a: { x: "nul\ufffd" }, n: 5, b: null },
    });
    expect(
      await engine.sql("select attributes->>'op' as op from run_events where run_id = $1 and kind = 'run.metadata.updated' order by seq", [
        run.id,
      ]),
    ).toEqual([{ op: "set" }, { op: "increment" }, { op: "increment" }, { op: "patch" }]);
  });

  test("cuts long output into chunks of 64 KiB and long lines into records", async () => {
    const { run, call } = await running();
    const text = `${"x".repeat(200_000)}\nend\n`;
    await reportAttempt(engine.context, call, { first: 1, items: [log(0, text)] });
    const sizes = await engine.sql<{ size: number }>(
      "select octet_length(data) as size from run_log_chunks where run_id = $1 order by seq",
      [run.id],
    );
    expect(sizes.map((row) => row.size)).toEqual([65_536, 65_536, 65_536, 3_397]);
    expect((await records(run.id)).map((record) => record.message.length)).toEqual([65_536, 65_536, 65_536, 3_392, 3]);
    expect(await engine.invariants()).toEqual([]);
  });

  test("the next attempt goes on behind the last; pages of records follow each other", async () => {
    const { run, call } = await running("again");
    await reportAttempt(engine.context, call, { first: 1, items: [log(0, "first\nunfinished")] });
    await engine.complete(call, failed, { reportThrough: 1 });
    await engine.sql("update run_queue set gate = 'open' where run_id = $1", [run.id]);
    const second = await engine.execute(worker, run.id);
    expect(second.lease.report).toEqual({ accepted: 0, stdout: 0, stderr: 0, logger: 0 });
    await reportAttempt(engine.context, second.call, { first: 1, items: [log(0, "second\n")] });
    expect((await records(run.id)).map((record) => record.message)).toEqual(["first", "unfinished", "second"]);
    expect((await readLogSnapshot(engine.context, run.id)).stdout.toString()).toBe("first\nunfinishedsecond\n");
    const page = await readLogRecords(engine.context, run.id, 1, 1);
    expect([page.rows.map((record) => record.id), page.more]).toEqual([[2], true]);
    expect((await readLogRecords(engine.context, run.id, 2, 1)).more).toBe(false);
  });
});

test("each step may fail: every byte is stored once", async () => {
  await eachStep(engine, {
    setup: () => running(),
    act: ({ call }) => reportAttempt(engine.context, call, { first: 1, items: [log(0, "a\n"), log(0, "b", "stderr")] }),
    async check({ run }, result) {
      expect(result).toEqual({ accepted: 2 });
      expect((await readLogSnapshot(engine.context, run.id)).stdout.toString()).toBe("a\n");
    },
  });
});
