import { describe, expect, test } from "vitest";
import { formatSseComment, formatSseFrame, type SseEvent, SseReader, sseFrameBytesMax } from "./sse.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function read(text: string | Uint8Array, pieceBytes = Number.POSITIVE_INFINITY, options?: { bytesMax?: number }): SseEvent[] {
  const reader = new SseReader(options);
  const whole = typeof text === "string" ? bytes(text) : text;
  const events: SseEvent[] = [];
  for (let at = 0; at < whole.length; at += pieceBytes)
    events.push(...reader.push(whole.subarray(at, Math.min(at + pieceBytes, whole.length))));
  return [...events, ...reader.end()];
}

const event = (id: string | undefined, name: string, data: string): SseEvent => ({ kind: "event", id, event: name, data });

describe("formatSseFrame()", () => {
  test("writes id, event and data on one line each", () => {
    expect(formatSseFrame({ id: 7, event: "run_event", data: { text: "a\nb\r\u2028" } })).toBe(
      'id: 7\nevent: run_event\ndata: {"text":"a\\nb\\r\u2028"}\n\n',
    );
  });
  test("an id or name cannot begin a line of its own", () => {
    expect(formatSseFrame({ id: "1\ndata: x", event: "a\r\nb", data: 1 })).toBe("id: 1 data: x\nevent: a b\ndata: 1\n\n");
  });
  test("a comment is skipped by the reader", () => {
    expect(read(formatSseComment("keep-alive") + formatSseFrame({ id: 1, event: "e", data: null }))).toEqual([event("1", "e", "null")]);
  });
});

describe("SseReader", () => {
  const frames = [
    { id: 1, event: "run_event", data: { kind: "run.created", message: "né \u{1F600}" } },
    { id: 2, event: "run_event", data: [1, 2] },
  ];
  const text = frames.map(formatSseFrame).join(": keep-alive\n\n");
  const expected = frames.map((frame) => event(String(frame.id), frame.event, JSON.stringify(frame.data)));

  test.each([1, 2, 3, 5, 7, 64])("gives whole frames from pieces of %i bytes", (size) => {
    expect(read(text, size)).toEqual(expected);
    expect(read(text.replaceAll("\n", "\r\n"), size)).toEqual(expected);
    expect(read(text.replaceAll("\n", "\r"), size)).toEqual(expected);
  });
  test("a frame is given out as soon as its blank line is there", () => {
    const reader = new SseReader();
    expect(reader.push(bytes("id: 1\ndata: a\n"))).toEqual([]);
    expect(reader.push(bytes("\n"))).toEqual([event("1", "message", "a")]);
  });
  test("CR and LF in two pieces are one line end", () => {
    const reader = new SseReader();
    expect(reader.push(bytes("data: a\r"))).toEqual([]);
    expect(reader.push(bytes("\ndata: b\r\n\r"))).toEqual([event(undefined, "message", "a\nb")]);
    expect(reader.push(bytes("\ndata: c\n\n"))).toEqual([event(undefined, "message", "c")]);
  });
  test("a last frame counts without its blank line", () => {
    expect(read("id: 3\nevent: e\ndata: x")).toEqual([event("3", "e", "x")]);
    expect(read("id: 3\nevent: e\ndata: x\n")).toEqual([event("3", "e", "x")]);
  });
  test("data lines are joined, unknown fields and retry are skipped, one blank after the colon is dropped", () => {
    expect(read("retry: 10\nfoo: bar\ndata:a\ndata:  b\ndata\n\n")).toEqual([event(undefined, "message", "a\n b\n")]);
  });
  test("a frame without data is no event, and its id does not reach the next", () => {
    expect(read("id: 1\nevent: e\n\ndata: x\n\n")).toEqual([event(undefined, "message", "x")]);
  });
  test("the caller may reuse its buffer", () => {
    const reader = new SseReader();
    const buffer = bytes("data: abc");
    reader.push(buffer);
    buffer.fill(120);
    expect(reader.push(bytes("\n\n"))).toEqual([event(undefined, "message", "abc")]);
  });
  test("nothing comes of nothing", () => expect(read("")).toEqual([]));
});

describe("the bound of a frame", () => {
  const frame = (id: number, dataBytes: number): string => `id: ${id}\nevent: e\ndata: ${"x".repeat(dataBytes)}\n\n`;

  test.each([1, 10, 1_000])("a larger frame is reported and skipped, in pieces of %i bytes", (size) => {
    const text = frame(1, 5) + frame(2, 200) + frame(3, 5);
    expect(read(text, size, { bytesMax: 100 })).toEqual([
      event("1", "e", "xxxxx"),
      { kind: "oversized", id: "2", event: "e" },
      event("3", "e", "xxxxx"),
    ]);
  });
  test("many lines count together", () => {
    expect(read(`${"data: 12345\n".repeat(20)}\ndata: a\n\n`, 7, { bytesMax: 100 })).toEqual([
      { kind: "oversized", id: undefined, event: "message" },
      event(undefined, "message", "a"),
    ]);
  });
  test("a frame of just the bound passes", () => {
    const overhead = "id: 1event: edata: ".length;
    expect(read(frame(1, 100 - overhead), 9, { bytesMax: 100 })).toHaveLength(1);
    expect(read(frame(1, 100 - overhead), 9, { bytesMax: 100 })[0]?.kind).toBe("event");
    expect(read(frame(1, 101 - overhead), 9, { bytesMax: 100 })[0]?.kind).toBe("oversized");
  });
  test("keep-alives do not add up", () => {
    expect(read(`${": keep-alive\n".repeat(50)}data: a\n\n`, 3, { bytesMax: 100 })).toEqual([event(undefined, "message", "a")]);
  });
  test("the default is 1 MiB", () => {
    expect(sseFrameBytesMax).toBe(1_048_576);
    expect(read(frame(1, sseFrameBytesMax - 100), 65_536)[0]?.kind).toBe("event");
    expect(read(frame(1, sseFrameBytesMax), 65_536)[0]?.kind).toBe("oversized");
  });
});
