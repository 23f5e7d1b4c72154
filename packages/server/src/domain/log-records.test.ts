import { describe, expect, test } from "vitest";
import { chunkRecords, type LogChunk, type LogStream, recordBytesMax, recordEnds } from "./log-records.ts";

/** Writes bytes as chunks cut at the given positions and reads all records back, the way the store does. */
function roundTrip(stream: LogStream, text: string | Buffer, cuts: number[], close = true) {
  const bytes = Buffer.from(text as string);
  const chunks: (LogChunk & { start: number })[] = [];
  let tail = 0;
  let records = 0;
  let start = 0;
  for (const end of [...cuts, bytes.length]) {
    const data = bytes.subarray(start, end);
    const { ends, tailAfter } = recordEnds(stream, data, tail);
    chunks.push({
      stream,
      firstRecord: records + 1,
      recordCount: ends.length,
      tailBefore: tail,
      data,
      observedAt: "2026-01-01T00:00:00Z",
      start,
    });
    records += ends.length;
    tail = tailAfter;
    start = end;
  }
  if (close && tail > 0)
    chunks.push({
      stream,
      firstRecord: records + 1,
      recordCount: 1,
      tailBefore: tail,
      data: Buffer.alloc(0),
      observedAt: "2026-01-01T00:00:00Z",
      start,
    });
  return chunks.flatMap((chunk) => chunkRecords(chunk, bytes.subarray(chunk.start - chunk.tailBefore, chunk.start)));
}

describe("records of byte logs", () => {
  test("one per line, wherever the chunks were cut, without the line break", () => {
    const text = "one\ntwo\r\n\nfour ünïcode ✓\nlast";
    const expected = ["one", "two", "", "four ünïcode ✓", "last"];
    const bytes = Buffer.byteLength(text);
    for (let first = 0; first <= bytes; first += 1) {
      for (let second = first; second <= bytes; second += 3) {
        const records = roundTrip("stdout", text, [first, second]);
        expect(records.map((record) => record.message)).toEqual(expected);
        expect(records.map((record) => record.id)).toEqual([1, 2, 3, 4, 5]);
      }
    }
  });

  test("an unfinished line is no record before its stream has ended", () => {
    expect(roundTrip("stderr", "a\nb", [1], false).map((record) => record.message)).toEqual(["a"]);
  });

  test("invalid UTF-8 is replaced", () => {
    expect(roundTrip("stdout", Buffer.from([0x61, 0xff, 0x62, 0x0a]), []).map((record) => record.message)).toEqual(["a\ufffdb"]);
  });

  test("a line without end is cut at the bound, never inside a character", () => {
    const max = recordBytesMax("stdout");
    const line = `x${"ü".repeat(max)}`;
    const whole = roundTrip("stdout", `${line}\nnext\n`, []);
    expect(
      whole
        .slice(0, -1)
        .map((record) => record.message)
        .join(""),
    ).toBe(line);
    expect(whole.at(-1)?.message).toBe("next");
    for (const record of whole) expect(Buffer.byteLength(record.message)).toBeLessThanOrEqual(max);
    expect(whole.some((record) => record.message.includes("\ufffd"))).toBe(false);
    const plain = `x${"y".repeat(3 * max)}\nnext\n`;
    const lengths = (cuts: number[]) => roundTrip("stdout", plain, cuts).map((record) => [record.id, record.message.length]);
    expect(lengths([5, max - 1, max + 1, 2 * max])).toEqual(lengths([]));
    expect(lengths([])).toEqual([
      [1, max],
      [2, max],
      [3, max],
      [4, 1],
      [5, 4],
    ]);
  });
});

describe("records of the logger", () => {
  test("carry level, message and fields", () => {
    const entry = JSON.stringify({ level: "warn", message: "disk", fields: { free: 3 }, at: "2026-01-01T00:00:05.5Z" });
    expect(roundTrip("logger", `${entry}\n`, [7])).toEqual([
      { id: 1, at: "2026-01-01T00:00:05.5Z", stream: "logger", level: "warn", message: "disk", fields: { free: 3 } },
    ]);
  });

  test.each(["no json", "[1]", '"text"', "null", '{"level":"fatal"}', '{"message":7,"fields":[1]}', '{"at":"yesterday"}'])(
    "%s is shown as it is",
    (entry) => {
      expect(roundTrip("logger", `${entry}\n`, [])).toMatchObject([{ stream: "logger", level: "info", message: entry }]);
    },
  );
});
