import { scheduleCreateBody, schedulePutBody } from "@helmr/protocol/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRefusal } from "../outcome.ts";
import type { ScheduleRow } from "../store/schedule.ts";
import { eachStep, taskDeclaration } from "./engine.fixture.ts";
import { fireSchedule } from "./fire-schedule.ts";
import { promoteDeployment } from "./promote-deployment.ts";
import { deleteSchedule, listSchedules, readSchedule, replaceSchedule, setScheduleActive, upsertSchedule } from "./put-schedule.ts";
import { type Clock, controlClock, openSessions, type Sessions } from "./sessions.fixture.ts";

let sessions: Sessions;
let clock: Clock;
let firstDeployment: string;
beforeAll(async () => {
  sessions = await openSessions({
    tasks: [
      taskDeclaration("hello"),
      taskDeclaration("nightly", { schedule: { cron: " 0  3 * * * ", timezone: "utc" } }),
      taskDeclaration("weekly", { schedule: { cron: "0 6 * * 1", timezone: "Europe/Berlin" } }),
    ],
  });
  clock = await controlClock(sessions);
  await clock.set(new Date("2026-06-06T10:00:00Z"));
  firstDeployment = (
    await sessions.one<{ id: string }>("select current_deployment_id as id from environments where id = $1", [sessions.scope.environmentId])
  ).id;
});
afterAll(async () => {
  expect(await sessions.invariants()).toEqual([]);
  await sessions.close();
});

const environmentId = () => sessions.scope.environmentId;
const base = { task: "hello", cron: "0 9 * * *" };
const put = (body: object) =>
  upsertSchedule(sessions.context, { scope: sessions.scope, body: scheduleCreateBody.parse({ ...base, ...body }) });
const replace = (id: string, body: object) =>
  replaceSchedule(sessions.context, { scope: sessions.scope, id, body: schedulePutBody.parse({ ...base, ...body }) });
const setActive = (id: string, active: boolean) => setScheduleActive(sessions.context, { environmentId: environmentId(), id, active });
async function made(body: object): Promise<ScheduleRow> {
  const row = await put(body);
  if (isRefusal(row)) throw new TypeError(row.message);
  return row;
}
const declared = async () => (await listSchedules(sessions.context, environmentId())).filter((row) => row.kind === "declarative");

describe("upsertSchedule()", () => {
  test("creates an active schedule that is due at its next occurrence", async () => {
    const row = await made({
      deduplication_key: "a",
      external_id: "ext",
      options: { priority: 3, queue: { name: "task/hello" }, ignored: 1 },
    });
    expect(row).toMatchObject({
      kind: "imperative",
      state: "active",
      generation: 1,
      cron: "0 9 * * *",
      timezone: "UTC",
      external_id: "ext",
      options: { priority: 3, queue: { name: "task/hello" } },
      next_fire_at: "2026-06-07T09:00:00Z",
      last_fire_at: null,
    });
    const jitter = Date.parse(row.due_at ?? "") - Date.parse("2026-06-07T09:00:00Z");
    expect(jitter).toBeGreaterThanOrEqual(0);
    expect(jitter).toBeLessThanOrEqual(2_000);
    expect(sessions.hinted).toContain("reconcile:fire-schedules");
  });

  test("the same key again updates: a new timing is a new generation, the same one goes on", async () => {
    const first = await made({ deduplication_key: "b", external_id: "x", options: { priority: 1 } });
    await clock.advance(1_000);
    const same = await made({ deduplication_key: "b" });
    expect(same).toMatchObject({
      id: first.id,
      generation: 1,
      external_id: null,
      options: null,
      next_fire_at: first.next_fire_at,
      due_at: first.due_at,
    });
    expect(await made({ deduplication_key: "b", cron: "30 9 * * *" })).toMatchObject({
      generation: 2,
      next_fire_at: "2026-06-07T09:30:00Z",
    });
    expect(await made({ deduplication_key: "b", timezone: "Europe/Berlin", cron: "30 9 * * *" })).toMatchObject({
      generation: 3,
      next_fire_at: "2026-06-07T07:30:00Z",
    });
    expect(await made({ deduplication_key: "b", active: false })).toMatchObject({
      generation: 4,
      state: "inactive",
      next_fire_at: null,
      due_at: null,
    });
    // Absent `active` leaves it as it is.
    expect(await made({ deduplication_key: "b" })).toMatchObject({ generation: 4, state: "inactive" });
  });

  test("many at once with one key are one schedule", async () => {
    const rows = await Promise.all(
      Array.from({ length: 8 }, (_, index) => made({ deduplication_key: "race", options: { priority: index } })),
    );
    expect(new Set(rows.map((row) => row.id)).size).toBe(1);
  });

  test.each([
    [{ task: "unknown" }, 'task "unknown" is not part of the current deployment'],
    [{ cron: "61 * * * *" }, 'cron "61 * * * *" is not valid: Invalid value for minute: 61'],
    [{ cron: "0 0 31 2 *" }, 'cron "0 0 31 2 *" never occurs'],
  ])("refuses %o", async (body, message) => {
    expect(await put({ deduplication_key: "bad", ...body })).toEqual({ refused: true, status: 400, message });
  });

  test("every step may fail and be repeated", async () => {
    let count = 0;
    await eachStep(sessions, {
      setup: async () => `each-${(count += 1)}`,
      act: (key) => made({ deduplication_key: key }),
      check: async (key) => {
        expect(await sessions.sql("select generation from schedules where deduplication_key = $1", [key])).toEqual([{ generation: "1" }]);
      },
    });
  });
});

describe("one schedule", () => {
  test("is replaced, switched off and on, and deleted", async () => {
    const { id } = await made({ deduplication_key: "c" });
    expect(await replace(id, { cron: "0 8 * * *", external_id: "y" })).toMatchObject({
      id,
      generation: 2,
      deduplication_key: "c",
      external_id: "y",
    });
    expect(await setActive(id, true)).toMatchObject({ generation: 2, state: "active", external_id: "y" });
    expect(await setActive(id, false)).toMatchObject({ generation: 3, state: "inactive", next_fire_at: null });
    expect(await setActive(id, false)).toMatchObject({ generation: 3, state: "inactive" });
    expect(await setActive(id, true)).toMatchObject({ generation: 4, state: "active", next_fire_at: "2026-06-07T08:00:00Z" });
    expect(await readSchedule(sessions.context, environmentId(), id)).toMatchObject({ id });
    expect(await deleteSchedule(sessions.context, environmentId(), id)).toBeUndefined();
    const none = { status: 404, message: "schedule not found" };
    expect(await readSchedule(sessions.context, environmentId(), id)).toMatchObject(none);
    expect(await deleteSchedule(sessions.context, environmentId(), id)).toMatchObject(none);
    expect(await replace(id, {})).toMatchObject(none);
    expect(await setActive(id, true)).toMatchObject(none);
  });
});

describe("declarative schedules", () => {
  test("came with the promotion, in their normal form", async () => {
    expect(
      (await declared())
        .map(({ task_id, cron, timezone, state }) => ({ task_id, cron, timezone, state }))
        .sort((left, right) => left.task_id.localeCompare(right.task_id)),
    ).toEqual([
      { task_id: "nightly", cron: "0 3 * * *", timezone: "UTC", state: "active" },
      { task_id: "weekly", cron: "0 6 * * 1", timezone: "Europe/Berlin", state: "active" },
    ]);
  });

  test("cannot be changed through the API", async () => {
    const [row] = await declared();
    const id = row?.id ?? "";
    for (const answer of [
      await replace(id, {}),
      await setActive(id, false),
      await setActive(id, true),
      await deleteSchedule(sessions.context, environmentId(), id),
    ])
      expect(answer).toMatchObject({ status: 400 });
    // A key of the API may be the name of such a task: they do not meet.
    expect(await made({ deduplication_key: "nightly" })).toMatchObject({ kind: "imperative" });
  });

  test("follow the next promotion: changed, kept, gone, and back", async () => {
    const before = new Map((await declared()).map((row) => [row.task_id, row]));
    await sessions.deploy({
      tasks: [
        taskDeclaration("hello"),
        taskDeclaration("nightly", { schedule: { cron: "0 3 * * *", timezone: "UTC" } }),
        taskDeclaration("weekly", { schedule: { cron: "0 7 * * 1", timezone: "Europe/Berlin" } }),
        taskDeclaration("hourly", { schedule: { cron: "0 * * * *", timezone: "UTC" } }),
      ],
    });
    const after = new Map((await declared()).map((row) => [row.task_id, row]));
    expect([...after.keys()].sort()).toEqual(["hourly", "nightly", "weekly"]);
    const { updated_at: _now, ...kept } = after.get("nightly") as ScheduleRow;
    expect(before.get("nightly")).toMatchObject(kept);
    expect(after.get("weekly")).toMatchObject({ id: before.get("weekly")?.id, generation: 2, cron: "0 7 * * 1" });

    await promoteDeployment(sessions.context, { scope: sessions.scope, ref: firstDeployment, reason: undefined });
    expect((await declared()).map((row) => `${row.task_id} ${row.cron} ${row.generation}`).sort()).toEqual([
      "nightly 0 3 * * * 1",
      "weekly 0 6 * * 1 3",
    ]);
  });

  test("one that cannot be parsed is shown as errored and never fires", async () => {
    const id = await sessions.deploy({
      tasks: [taskDeclaration("hello"), taskDeclaration("odd", { schedule: { cron: "0 1 * * *", timezone: "UTC" } })],
    });
    await sessions.sql("update deployment_schedules set cron = 'whenever' where deployment_id = $1", [id]);
    await promoteDeployment(sessions.context, { scope: sessions.scope, ref: id, reason: undefined });
    const [row] = await declared();
    expect(row).toMatchObject({
      state: "errored",
      last_error: 'cron "whenever" must have exactly five fields, such as 0 9 * * 1-5',
      due_at: null,
      next_fire_at: null,
    });
    await clock.advance(86_400_000);
    expect(await fireSchedule(sessions.context, row?.id ?? "")).toBe("not_due");
  });
});
