import type { LogRecord } from "@helmr/protocol/api";
import { expect, test } from "vitest";
import { FilteredLines, LogBuffer, windowOf } from "./log-buffer.ts";

const record = (id: number, message: string, over: Partial<LogRecord> = {}): LogRecord => ({
  id: String(id),
  at: "2026-06-06T09:30:00Z",
  stream: "stdout",
  message,
  ...over,
});

test("a record with line breaks becomes several lines; its fields stay with the first", () => {
  const buffer = new LogBuffer();
  buffer.append([record(1, "one\ntwo", { stream: "logger", level: "warn", fields: { a: 1 } })]);
  expect(buffer.lines.map(({ text, continued, fields }) => ({ text, continued, fields }))).toEqual([
    { text: "one", continued: false, fields: { a: 1 } },
    { text: "two", continued: true, fields: undefined },
  ]);
});

test("old lines are dropped in blocks and counted", () => {
  const buffer = new LogBuffer({ linesMax: 100 });
  buffer.append(Array.from({ length: 105 }, (_, index) => record(index, `line ${index}`)));
  expect(buffer.dropped).toBe(15);
  expect(buffer.lines[0]?.text).toBe("line 15");
  expect(buffer.lines.at(-1)?.text).toBe("line 104");
});

test("filters go on where they stopped, and begin again after a drop", () => {
  const buffer = new LogBuffer({ linesMax: 100 });
  const errors = new FilteredLines({ streams: new Set(["stderr"]), text: "bad" });
  buffer.append([
    record(1, "bad"),
    record(2, "\u001b[31mBad\u001b[0m thing", { stream: "stderr" }),
    record(3, "good", { stream: "stderr" }),
  ]);
  expect(errors.update(buffer)).toEqual([1]);
  buffer.append([record(4, "bad again", { stream: "stderr" })]);
  expect(errors.update(buffer)).toEqual([1, 3]);
  buffer.append(Array.from({ length: 100 }, (_, index) => record(5 + index, index === 99 ? "bad" : "x", { stream: "stderr" })));
  expect(errors.update(buffer).map((index) => buffer.lines[index]?.id)).toEqual(["104"]);
});

test("100 000 lines are filtered in well under a second", () => {
  const buffer = new LogBuffer();
  buffer.append(Array.from({ length: 100_000 }, (_, index) => record(index, `line ${index} of the test`)));
  const startedAt = performance.now();
  const found = new FilteredLines({ streams: new Set(["stdout"]), text: "999 of" }).update(buffer);
  expect(found).toHaveLength(100);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test("windowOf() covers what is visible and stays inside the list", () => {
  expect(windowOf({ rows: 100_000, rowHeight: 20, top: 20_000, height: 400, overscan: 5 })).toEqual({ from: 995, to: 1025 });
  expect(windowOf({ rows: 3, rowHeight: 20, top: 0, height: 400 })).toEqual({ from: 0, to: 3 });
  expect(windowOf({ rows: 10, rowHeight: 20, top: 5_000, height: 400 })).toEqual({ from: 10, to: 10 });
});
