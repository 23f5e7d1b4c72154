import { expect, test } from "vitest";
import { eventParser } from "./event-stream.ts";

const frames = 'id: 1\nevent: run_event\ndata: {"a":1}\n\n: keep-alive\n\nid: 2\r\nevent: run_event\r\ndata: two\r\ndata: lines\r\n\r\n';
const expected = [
  { id: "1", event: "run_event", data: '{"a":1}' },
  { id: "2", event: "run_event", data: "two\nlines" },
];

test("eventParser() reads whole frames and skips comments", () => {
  expect(eventParser()(frames)).toEqual(expected);
});

test.each([1, 2, 3, 7])("eventParser() reads frames cut into pieces of %i", (size) => {
  const parse = eventParser();
  const events = [];
  for (let at = 0; at < frames.length; at += size) events.push(...parse(frames.slice(at, at + size)));
  expect(events).toEqual(expected);
});

test("eventParser() keeps the id for later frames and gives nothing for a frame without data", () => {
  const parse = eventParser();
  expect(parse("id: 9\nevent: x\n\n")).toEqual([]);
  expect(parse("data: y\n\n")).toEqual([{ id: "9", event: "message", data: "y" }]);
});
