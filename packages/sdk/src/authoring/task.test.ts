import { expect, test } from "vitest";
import { countSchema } from "../testing/count-schema.ts";
import { queue } from "./queue.ts";
import { sandbox } from "./sandbox.ts";
import { scheduledTask, scheduledTaskSchema } from "./scheduled-task.ts";
import { isTask, task, taskBrand } from "./task.ts";

const box = sandbox("box");
const run = (): number => 1;
/** As a JavaScript user would write it. */
const declare = (config: Record<string, unknown>): unknown =>
  task({ sandbox: box, run, ...config } as unknown as Parameters<typeof task>[0]);

test("task() gives the same object back, branded, and shows no brand", () => {
  const config = { id: "a", sandbox: box, payload: countSchema(), run };
  const declared = task(config);
  expect(declared).toBe(config);
  expect(isTask(declared)).toBe(true);
  expect(Object.keys(declared)).toEqual(["id", "sandbox", "payload", "run"]);
  expect(isTask({ ...config })).toBe(false);
});

test("task() takes every documented setting", () => {
  const all = {
    id: "A.b_c-9",
    maxDuration: 86_400,
    queue: queue({ id: "q/1", concurrencyLimit: 3 }),
    ttl: "1h30m",
    retry: { enabled: true, maxAttempts: 10, backoff: { minMs: 1, maxMs: 2, factor: 0.5, jitter: "none" } },
    secrets: [{ name: "S", env: "S" }],
    payload: Object.assign(() => undefined, countSchema()),
    onConflict: "fork",
    onCheckpointLost: "restart",
  };
  expect(isTask(declare(all))).toBe(true);
  for (const more of [
    { queue: "by-name" },
    { ttl: "7d" },
    { retry: { maxAttempts: 1 } },
    { retry: { enabled: false } },
    { maxDuration: 5 },
  ]) {
    expect(isTask(declare({ id: "x", ...more }))).toBe(true);
  }
});

test.each([
  ["id", { id: "-a" }, /^A task id must match .* and is "-a"$/],
  ["id", { id: "a".repeat(129) }, /^A task id must match/],
  ["id", { id: 5 }, /^A task id must match .* and is 5$/],
  ["unknown key", { id: "x", maxDurations: 5 }, /^task "x" has an unknown key "maxDurations"; allowed are /],
  ["streams", { id: "x", streams: [] }, /^task "x" must not have streams: define streams at module level with streams.input/],
  ["schedule", { id: "x", schedule: {} }, /^task "x" must not have schedule: use schedules.task/],
  ["sandbox", { id: "x", sandbox: { id: "box" } }, /^sandbox of task "x" must be the result of sandbox\(id\)$/],
  ["run", { id: "x", run: 5 }, /^run of task "x" must be a function$/],
  ["maxDuration", { id: "x", maxDuration: 4 }, /^maxDuration of task "x" must be a whole number of seconds from 5 to 86400, and is 4$/],
  ["maxDuration", { id: "x", maxDuration: 86_401 }, /and is 86401$/],
  ["maxDuration", { id: "x", maxDuration: 10.5 }, /and is 10.5$/],
  ["queue", { id: "x", queue: "/bad" }, /^queue of task "x" must match /],
  ["queue", { id: "x", queue: { id: "plain-object" } }, /^queue of task "x" must match /],
  ["ttl", { id: "x", ttl: "0s" }, /^ttl of task "x" must be a duration greater than zero/],
  ["ttl", { id: "x", ttl: 60 }, /and is 60$/],
  ["retry", { id: "x", retry: { maxAttempts: 11 } }, /^retry of task "x": maxAttempts must be a whole number from 1 to 10, and is 11$/],
  ["retry", { id: "x", retry: {} }, /maxAttempts must be .* is undefined$/],
  ["retry", { id: "x", retry: { maxAttempts: 2, delay: 5 } }, /^retry of task "x" has an unknown key "delay"/],
  [
    "retry",
    { id: "x", retry: { enabled: false, maxAttempts: 2 } },
    /^retry of task "x" with enabled: false has an unknown key "maxAttempts"/,
  ],
  ["retry", { id: "x", retry: { maxAttempts: 2, backoff: { minMs: 0 } } }, /backoff.minMs must be a positive whole number, and is 0$/],
  ["retry", { id: "x", retry: { maxAttempts: 2, backoff: { maxMs: 1.5 } } }, /backoff.maxMs must be a positive whole number, and is 1.5$/],
  ["retry", { id: "x", retry: { maxAttempts: 2, backoff: { factor: 0 } } }, /backoff.factor must be a number greater than zero, and is 0$/],
  ["retry", { id: "x", retry: { maxAttempts: 2, backoff: { jitter: "some" } } }, /backoff.jitter must be "none" or "full", and is "some"$/],
  ["payload", { id: "x", payload: { parse: run } }, /^payload of task "x" must be a Standard Schema v1/],
  ["payload", { id: "x", payload: { "~standard": { version: 2, validate: run } } }, /^payload of task "x" must be a Standard Schema v1/],
  ["onConflict", { id: "x", onConflict: "merge" }, /^onConflict of task "x" must be "fail" or "fork", and is "merge"$/],
  ["onCheckpointLost", { id: "x", onCheckpointLost: true }, /^onCheckpointLost of task "x" must be "fail" or "restart", and is true$/],
])("task() refuses a bad %s", (_what, config, message) => {
  expect(() => declare(config)).toThrow(message);
});

test("task() refuses a frozen definition instead of failing in its brand", () => {
  expect(() => task(Object.freeze({ id: "x", sandbox: box, run }))).toThrow('The definition of task "x" must not be frozen');
});

test("schedules.task() keeps the cron aside and has a payload schema of vendor helmr", () => {
  const plain = scheduledTask({ id: "a", sandbox: box, run, cron: "0 3 * * *" });
  expect(taskBrand(plain)).toEqual({ schedule: { cron: "0 3 * * *", timezone: "UTC" } });
  expect("cron" in plain).toBe(false);
  const zoned = scheduledTask({ id: "b", sandbox: box, run, cron: { pattern: " 0 3 * * * ", timezone: "Europe/Berlin" } });
  expect(taskBrand(zoned)).toEqual({ schedule: { cron: "0 3 * * *", timezone: "Europe/Berlin" } });
  const byHand = scheduledTask({ id: "c", sandbox: box, run });
  expect(taskBrand(byHand)).toEqual({});
  expect(byHand.payload?.["~standard"].vendor).toBe("helmr");
  expect(() => scheduledTask({ id: "d", sandbox: box, run, cron: " " })).toThrow('cron of task "d" must not be empty');
  expect(() => scheduledTask({ id: "d", sandbox: box, run, cron: { pattern: "* * * * *", timezone: " " } })).toThrow(
    'timezone of the cron of task "d" must not be blank',
  );
  expect(() =>
    scheduledTask({ id: "d", sandbox: box, run, payload: countSchema() } as unknown as Parameters<typeof scheduledTask>[0]),
  ).toThrow('unknown key "payload"');
});

const fire = {
  timestamp: "2026-01-31T12:00:00.123456789Z",
  lastTimestamp: "2026-01-30T12:00:00Z",
  timezone: "UTC",
  scheduleId: "schedule-1",
  scheduleType: "declarative",
  externalId: "mine",
  upcoming: ["2026-02-01T12:00:00Z", "2026-02-02T12:00:00Z"],
};

test("the payload of a schedule comes with dates", async () => {
  const result = await scheduledTaskSchema["~standard"].validate(fire);
  expect(result).toEqual({
    value: {
      ...fire,
      timestamp: new Date("2026-01-31T12:00:00.123Z"),
      lastTimestamp: new Date("2026-01-30T12:00:00Z"),
      upcoming: [new Date("2026-02-01T12:00:00Z"), new Date("2026-02-02T12:00:00Z")],
    },
  });
  const { lastTimestamp: _last, externalId: _external, ...required } = fire;
  const short = await scheduledTaskSchema["~standard"].validate(required);
  expect(Object.keys((short as { value: object }).value)).toEqual(["timestamp", "timezone", "scheduleId", "scheduleType", "upcoming"]);
});

test.each([
  [{ timestamp: new Date(0) }, ["timestamp"]],
  [{ timestamp: "yesterday" }, ["timestamp"]],
  [{ lastTimestamp: 5 }, ["lastTimestamp"]],
  [{ timezone: "" }, ["timezone"]],
  [{ scheduleId: undefined }, ["scheduleId"]],
  [{ scheduleType: undefined }, ["scheduleType"]],
  [{ externalId: 5 }, ["externalId"]],
  [{ upcoming: "soon" }, ["upcoming"]],
  [{ upcoming: ["2026-02-01T12:00:00Z", "x"] }, ["upcoming", 1]],
])("the payload of a schedule is refused with %j", async (change, path) => {
  const result = await scheduledTaskSchema["~standard"].validate({ ...fire, ...change });
  expect(result.issues?.map((issue) => issue.path)).toEqual([path]);
});
