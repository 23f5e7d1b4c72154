import { scheduleCreateBody, type SchedulePayload } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { instantText, parseCron } from "../domain/schedule.ts";
import { fireSchedules } from "../reconcilers/fire-schedules.ts";
import { isRefusal } from "../outcome.ts";
import { eachStep, taskDeclaration } from "./engine.fixture.ts";
import { fireSchedule } from "./fire-schedule.ts";
import { upsertSchedule, setScheduleActive } from "./put-schedule.ts";
import { type Clock, controlClock, openSessions, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
let clock: Clock;
beforeAll(async () => {
  sessions = await openSessions({
    tasks: [taskDeclaration("hello"), taskDeclaration("secretive", { secrets: [{ name: "KEY", env: "KEY" }] })],
  });
  clock = await controlClock(sessions);
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;

interface Stored {
  id: string;
  state: string;
  generation: string;
  failures: number;
  last_error: string | null;
  next_fire_at: Date | null;
  due_at: Date | null;
  last_fire_at: Date | null;
}

let count = 0;
async function create(body: object): Promise<string> {
  const parsed = scheduleCreateBody.parse({ deduplication_key: `s${(count += 1)}`, task: "hello", ...body });
  const row = await upsertSchedule(sessions.context, { scope: sessions.scope, body: parsed });
  if (isRefusal(row)) throw new TypeError(row.message);
  return row.id;
}
const stored = (id: string) => sessions.one<Stored & Record<string, unknown>>("select * from schedules where id = $1", [id]);
async function goToDue(id: string): Promise<void> {
  const { due_at: due } = await stored(id);
  if (due) await clock.set(new Date(due.getTime() + 1));
}
const payloads = async (id: string) =>
  (
    await sessions.sql<{ payload: SchedulePayload }>(
      "select payload from runs where payload ->> 'scheduleId' = $1 order by payload ->> 'timestamp'",
      [id],
    )
  ).map((row) => row.payload);

describe("fireSchedule()", () => {
  test("starts a session that is told everything about its occurrence", async () => {
    await clock.set(new Date("2026-03-27T10:00:00Z"));
    const id = await create({
      cron: "30 2 * * *",
      timezone: "Europe/Berlin",
      external_id: "report-7",
      options: { priority: 4, ttl: "1h", max_duration_seconds: 60, concurrency_key: "k", queue: { name: "task/hello" } },
    });
    expect(await fireSchedule(sessions.context, id)).toBe("not_due");
    await goToDue(id);
    expect(await fireSchedule(sessions.context, id)).toBe("fired");
    expect(await payloads(id)).toEqual([
      {
        timestamp: "2026-03-28T01:30:00Z",
        timezone: "Europe/Berlin",
        scheduleId: id,
        scheduleType: "imperative",
        externalId: "report-7",
        upcoming: ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z", "2026-04-01T00:30:00Z", "2026-04-02T00:30:00Z"],
      },
    ]);
    const run = await sessions.one("select * from runs where payload ->> 'scheduleId' = $1", [id]);
    expect(run).toMatchObject({ priority: 4, ttl_text: "1h", max_duration_seconds: 60, concurrency_key: "k", queue_name: "task/hello" });
    expect((await sessions.timeline(run["id"] as string))[0]?.attributes).toMatchObject({
      reason: "schedule",
      cause: { kind: "schedule", schedule_id: id, timestamp: "2026-03-28T01:30:00Z" },
    });
    expect(await stored(id)).toMatchObject({
      state: "active",
      last_fire_at: new Date("2026-03-28T01:30:00Z"),
      next_fire_at: new Date("2026-03-29T01:00:00Z"),
    });
    expect(await fireSchedule(sessions.context, id)).toBe("not_due");
    await goToDue(id);
    await fireSchedule(sessions.context, id);
    expect((await payloads(id)).at(-1)).toMatchObject({ timestamp: "2026-03-29T01:00:00Z", lastTimestamp: "2026-03-28T01:30:00Z" });
  });

  test("what was missed is made up for once, by the latest occurrence", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "*/5 * * * *" });
    await clock.set(new Date("2026-05-03T07:13:00Z"));
    expect(await fireSchedule(sessions.context, id)).toBe("fired");
    expect((await payloads(id)).map((payload) => payload.timestamp)).toEqual(["2026-05-03T07:10:00Z"]);
    expect(await stored(id)).toMatchObject({ next_fire_at: new Date("2026-05-03T07:15:00Z") });
  });

  test("a failure is shown, tried again after its square in minutes, and forgotten with the next fire", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "0 * * * *", task: "secretive" });
    for (const [failures, minutes] of [
      [1, 1],
      [2, 4],
      [3, 9],
    ] as const) {
      await goToDue(id);
      const at = await clock.now();
      expect(await fireSchedule(sessions.context, id)).toBe("failed");
      const row = await stored(id);
      expect(row).toMatchObject({
        state: "errored",
        failures,
        last_error: expect.stringMatching(/^secret "KEY" is unavailable: .*not found$/) as string,
      });
      const delay = ((row.due_at?.getTime() ?? 0) - at.getTime()) / 60_000;
      expect(delay).toBeGreaterThan(minutes - 0.01);
      expect(delay).toBeLessThan(minutes + 0.1);
    }
    await sessions.sql("update schedules set task_id = 'hello' where id = $1", [id]);
    await goToDue(id);
    expect(await fireSchedule(sessions.context, id)).toBe("fired");
    expect(await stored(id)).toMatchObject({ state: "active", failures: 0, last_error: null });
  });

  test("a failure for hours ends with the latest occurrence, not with all of them", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "0 * * * *", task: "secretive" });
    await goToDue(id);
    await fireSchedule(sessions.context, id);
    await clock.set(new Date("2026-05-01T09:30:00Z"));
    await sessions.sql("update schedules set task_id = 'hello' where id = $1", [id]);
    expect(await fireSchedule(sessions.context, id)).toBe("fired");
    expect((await payloads(id)).map((payload) => payload.timestamp)).toEqual(["2026-05-01T09:00:00Z"]);
  });

  test("two that fire at once start one session", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "0 * * * *" });
    await goToDue(id);
    const results = await Promise.all([
      fireSchedule(sessions.context, id),
      fireSchedule(sessions.context, id),
      fireSchedule(sessions.context, id),
    ]);
    expect(results).toContain("fired");
    expect(await payloads(id)).toHaveLength(1);
  });

  test("a schedule that was changed or switched off meanwhile goes on from there", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "0 * * * *" });
    await goToDue(id);
    await setScheduleActive(sessions.context, { environmentId: environmentId(), id, active: false });
    expect(await fireSchedule(sessions.context, id)).toBe("not_due");
    await setScheduleActive(sessions.context, { environmentId: environmentId(), id, active: true });
    expect(await fireSchedule(sessions.context, id)).toBe("not_due");
    expect(await payloads(id)).toEqual([]);
  });

  test("a deleted environment fires nothing", async () => {
    await clock.set(new Date("2026-05-01T00:00:30Z"));
    const id = await create({ cron: "0 * * * *" });
    await goToDue(id);
    await sessions.sql("update environments set deleted_at = now() where id = $1", [environmentId()]);
    expect(await fireSchedule(sessions.context, id)).toBe("not_due");
    expect(await fireSchedules(sessions.context).run()).toMatchObject({ scanned: 0 });
    expect(await fireSchedules(sessions.context).nextDueMs?.()).toBeUndefined();
    await sessions.sql("update environments set deleted_at = null where id = $1", [environmentId()]);
  });

  test("every step may fail and be repeated: one session per occurrence", async () => {
    await clock.set(new Date("2026-07-01T00:00:30Z"));
    const failures = await eachStep(sessions, {
      setup: async () => {
        const id = await create({ cron: "0 0 * * *" });
        await goToDue(id);
        return id;
      },
      act: (id) => fireSchedule(sessions.context, id),
      check: async (id) => {
        expect(await payloads(id)).toHaveLength(1);
        expect(await stored(id)).toMatchObject({ state: "active", failures: 0 });
      },
    });
    expect(failures).toBeGreaterThan(12);
  }, 60_000);
});

describe("a year of schedules", () => {
  /** Zones with changes of the clock in both directions, at different times of day, of an hour and of half an hour, and one without. */
  const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham", "Asia/Kolkata", "UTC"];
  /** A fixed time that is skipped or comes twice in many of them, and an interval in the same hours. */
  const crons = ["30 2 * * *", "*/30 0-3 * * 6,0"];
  /** From the Friday before to the Tuesday after each change. */
  const windows = [
    ["2026-03-06T12:00:00Z", "2026-03-10T12:00:00Z"],
    ["2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z"],
    ["2026-04-03T12:00:00Z", "2026-04-07T12:00:00Z"],
    ["2026-09-25T12:00:00Z", "2026-09-29T12:00:00Z"],
    ["2026-10-02T12:00:00Z", "2026-10-06T12:00:00Z"],
    ["2026-10-23T12:00:00Z", "2026-10-27T12:00:00Z"],
    ["2026-10-30T12:00:00Z", "2026-11-03T12:00:00Z"],
  ] as const;

  test("every occurrence around every change of the clock fires once, in order, with its instant", async () => {
    await sessions.sql("update schedules set state = 'inactive', due_at = null, next_fire_at = null");
    const loop = fireSchedules(sessions.context);
    let fired = 0;
    for (const [from, until] of windows) {
      await clock.set(new Date(from));
      const schedules = [];
      for (const timezone of zones) for (const cron of crons) schedules.push({ id: await create({ cron, timezone }), cron, timezone });
      const end = new Date(until).getTime();
      // The loop's own way through time: sleep until the next one is due, act, look again.
      for (;;) {
        const wait = await loop.nextDueMs?.();
        if (wait === undefined || (await clock.now()).getTime() + wait > end) break;
        await clock.advance(wait + 1);
        expect((await loop.run()).changed).toBeGreaterThan(0);
      }
      for (const { id, cron, timezone } of schedules) {
        const rule = parseCron(cron, timezone);
        if (!rule.ok) throw new TypeError(rule.problem);
        const expected: string[] = [];
        for (let next = rule.recurrence.next(new Date(from)); next && next.getTime() + 3_000 < end; next = rule.recurrence.next(next))
          expected.push(instantText(next));
        const told = await payloads(id);
        expect(told.map((payload) => payload.timestamp)).toEqual(expected);
        expect(told.map((payload) => payload.lastTimestamp)).toEqual([undefined, ...expected.slice(0, -1)]);
        fired += told.length;
        await setScheduleActive(sessions.context, { environmentId: environmentId(), id, active: false });
      }
    }
    expect(fired).toBeGreaterThan(900);
    expect(await sessions.sql("select 1 from schedules where failures > 0 and state <> 'inactive'")).toEqual([]);
  }, 120_000);
});
