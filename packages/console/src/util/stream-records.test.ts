import type { Stream } from "@helmr/protocol/api";
import { expect, test } from "vitest";
import { mergeRecords, missingRecords, type SessionRecord } from "./stream-records.ts";

const stream = (id: string, sequence: number) => ({ id, name: id, direction: "input", sequence }) as Stream;
const record = (id: string, second: number, sequence = 1) =>
  ({ id, sequence, created_at: new Date(Date.UTC(2026, 5, 6, 12, 0, second)).toISOString() }) as SessionRecord;

test("missingRecords() begins a page before the end and goes on behind what was seen", () => {
  const streams = [stream("empty", 0), stream("long", 250), stream("known", 7), stream("new", 3)];
  expect(missingRecords(streams, new Map([["known", 5]])).map(({ stream: { id }, after }) => [id, after])).toEqual([
    ["long", 150],
    ["known", 5],
    ["new", 0],
  ]);
});

test("mergeRecords() orders by time and keeps the list when nothing is new", () => {
  const first = mergeRecords([], [record("b", 2), record("a", 1)]);
  expect(first.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(mergeRecords(first, [record("a", 1)])).toBe(first);
  expect(mergeRecords(first, [record("c", 1, 2)]).map(({ id }) => id)).toEqual(["a", "c", "b"]);
});
