import type { Run, RunEvent } from "@helmr/protocol/api";
import type { Json } from "@helmr/protocol/shared";
import { expect, test } from "vitest";
import { addEvents, emptyStory, spansOf } from "./run-story.ts";

const start = Date.UTC(2026, 5, 6, 12);
let sequence = 0;

function event(kind: string, second: number, attributes: Json = {}, attempt?: number): RunEvent {
  sequence += 1;
  const at = new Date(start + second * 1_000).toISOString();
  return {
    id: String(sequence),
    trace: { trace_id: "" },
    category: "run",
    severity: "info",
    source: "control_plane",
    kind,
    message: kind,
    at,
    occurred_at: at,
    redaction_class: "none",
    attributes,
    ...(attempt === undefined ? {} : { attempt_number: attempt }),
  };
}

const run = (status: Run["status"], attempt?: number, updated = 0) =>
  ({
    status,
    created_at: new Date(start).toISOString(),
    updated_at: new Date(start + updated * 1_000).toISOString(),
    ...(attempt === undefined ? {} : { attempt_number: attempt }),
  }) as Run;

const seconds = (spans: ReturnType<typeof spansOf>) =>
  spans.map(({ label, tone, from, to }) => [label, tone, (from - start) / 1_000, to === undefined ? undefined : (to - start) / 1_000]);

test("a queued run is one open span", () => {
  expect(seconds(spansOf(addEvents(emptyStory, [event("run.created", 0)]), run("queued")))).toEqual([["Queued", "queued", 0, undefined]]);
});

test("a retried run: queue, failed attempt, queue, attempt with a wait, end", () => {
  const story = addEvents(emptyStory, [
    event("run.created", 0),
    event("log.stdout", 2, {}, 1),
    event("run.retry_scheduled", 5, { previous_attempt_number: 1, next_attempt_number: 2 }, 1),
    event("log.stdout", 8, {}, 2),
    event("run_wait.created", 10, { run_wait_id: "w", kind: "stream", params: { stream: "approvals" } }, 2),
    event("run_wait.completed", 20, { run_wait_id: "w", kind: "stream" }, 2),
    event("run.completed", 21, { exit_code: 0 }, 2),
  ]);
  expect(story.events).toHaveLength(5);
  expect(seconds(spansOf(story, run("succeeded", 2)))).toEqual([
    ["Queued", "queued", 0, 2],
    ["Attempt 1", "failed", 2, 5],
    ["Queued again", "queued", 5, 8],
    ["Attempt 2", "succeeded", 8, 21],
    ["Input approvals", "waiting", 10, 20],
  ]);
});

test("a running attempt without any sign starts when the run changed last; an ended one covers the whole time", () => {
  const created = addEvents(emptyStory, [event("run.created", 0)]);
  expect(seconds(spansOf(created, run("running", 1, 3)))).toEqual([
    ["Queued", "queued", 0, 3],
    ["Attempt 1", "running", 3, undefined],
  ]);
  const ended = addEvents(created, [event("run.completed", 4)]);
  expect(seconds(spansOf(ended, run("succeeded", 1, 4)))).toEqual([["Attempt 1", "succeeded", 0, 4]]);
});

test("a wait of a cancelled run ends with the run; a run cancelled in the queue never had an attempt", () => {
  const story = addEvents(emptyStory, [
    event("run.created", 0),
    event("run_wait.created", 1, { run_wait_id: "w", kind: "token" }, 1),
    event("run.cancelled", 9),
  ]);
  expect(seconds(spansOf(story, run("cancelled", 1))).at(-1)).toEqual(["Token", "waiting", 1, 9]);
  const early = addEvents(emptyStory, [event("run.created", 0), event("run.cancelled", 2)]);
  expect(seconds(spansOf(early, run("cancelled")))).toEqual([["Queued", "cancelled", 0, 2]]);
});

test("an event that comes twice counts once", () => {
  const created = event("run.created", 0);
  expect(addEvents(addEvents(emptyStory, [created]), [created]).events).toHaveLength(1);
});
