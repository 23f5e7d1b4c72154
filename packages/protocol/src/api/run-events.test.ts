import { expect, test } from "vitest";
import { exampleId, exampleTime } from "./fields.ts";
import { isTerminalRunEvent, runEventAttributes, runEventKinds, streamRecordCause, terminalRunEventKinds } from "./run-events.ts";
import { isTerminalRunStatus, runStatuses } from "./runs.ts";

test("every kind has a schema of its attributes", () => {
  expect(Object.keys(runEventAttributes).sort()).toEqual([...runEventKinds].sort());
});

test("five kinds end a run, and four statuses", () => {
  expect(runEventKinds.filter(isTerminalRunEvent)).toEqual([...terminalRunEventKinds]);
  expect(isTerminalRunEvent("run.retry_scheduled")).toBe(false);
  expect(runStatuses.filter(isTerminalRunStatus)).toEqual(["succeeded", "failed", "cancelled", "expired"]);
});

test("attributes hold what the contract lists", () => {
  expect(
    runEventAttributes["run.failed"].safeParse({ failure_kind: "max_duration", detail: { message: "x", limit_seconds: 5 } }).success,
  ).toBe(true);
  expect(runEventAttributes["run.failed"].safeParse({ failure_kind: "other", detail: {} }).success).toBe(false);
  expect(runEventAttributes["log.stdout"].safeParse({ text: "secret" }).success).toBe(false);
  expect(
    runEventAttributes["run.retry_scheduled"].safeParse({
      reason: "non_zero_exit",
      previous_attempt_id: exampleId.run,
      previous_attempt_number: 1,
      next_attempt_id: exampleId.other,
      next_attempt_number: 2,
      retry_after: exampleTime,
      delay_ms: 0,
    }).success,
  ).toBe(true);
  expect(
    streamRecordCause.safeParse({ kind: "stream_record", record_id: exampleId.record, stream_id: exampleId.stream, sequence: 0 }).success,
  ).toBe(false);
});
