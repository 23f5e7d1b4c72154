import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  dueAfter,
  fireKey,
  instantText,
  jitterMs,
  latestDue,
  parseCron,
  planSchedule,
  type Recurrence,
  retryDelayMs,
  scheduleStates,
  scheduleTransitions,
  upcoming,
} from "./schedule.ts";
import { statesOf } from "./transitions.ts";

const at = (text: string) => new Date(text);

function recurrence(cron: string, timezone = "UTC"): Recurrence {
  const parsed = parseCron(cron, timezone);
  if (!parsed.ok) throw new TypeError(parsed.problem);
  return parsed.recurrence;
}

function occurrences(cron: string, timezone: string, from: string, count: number): string[] {
  const found: string[] = [];
  let last = at(from);
  while (found.length < count) {
    const next = recurrence(cron, timezone).next(last);
    if (!next) break;
    found.push(instantText(next));
    last = next;
  }
  return found;
}

describe("parseCron()", () => {
  test.each([
    ["@daily", "UTC", 'cron "@daily" must have exactly five fields, such as 0 9 * * 1-5'],
    ["0 0 9 * * 1", "UTC", 'cron "0 0 9 * * 1" must have exactly five fields, such as 0 9 * * 1-5'],
    ["60 * * * *", "UTC", 'cron "60 * * * *" is not valid: Invalid value for minute: 60'],
    ["*/0 * * * *", "UTC", 'cron "*/0 * * * *" is not valid: Syntax error, illegal stepping: 0'],
    ["? * * * *", "UTC", 'cron "? * * * *" has a ?, which means nothing here; use *'],
    ["0 0 30 2 *", "UTC", 'cron "0 0 30 2 *" never occurs'],
    ["0 0 * * *", "Mars/Olympus", 'timezone "Mars/Olympus" must be an IANA time zone such as Europe/Berlin'],
    ["0 0 * * *", "+01:00", 'timezone "+01:00" must be an IANA time zone such as Europe/Berlin'],
  ])("refuses %s in %s", (cron, timezone, problem) => {
    expect(parseCron(cron, timezone)).toEqual({ ok: false, problem });
  });

  test("has one form for blanks and UTC", () => {
    expect(parseCron("  0   9 * * 1-5 ", "utc")).toMatchObject({ ok: true, cron: "0 9 * * 1-5", timezone: "UTC" });
  });
});

describe("occurrences around a change of the clock", () => {
  test.each([
    [
      "a fixed time in the gap: the first instant after it",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    ],
    [
      "several in the gap: once",
      "0,30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T12:00:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:30:00Z"],
    ],
    [
      "a fixed time that comes twice: at its first coming",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-10-24T12:00:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    ],
    [
      "an interval in the gap: left out",
      "*/30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T12:00:00Z",
      ["2026-03-30T00:00:00Z", "2026-03-30T00:30:00Z"],
    ],
    [
      "an interval that comes twice: twice",
      "*/30 2 * * *",
      "Europe/Berlin",
      "2026-10-24T12:00:00Z",
      ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:00:00Z"],
    ],
    ["midnight in the gap", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]],
    ["half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00:00Z", ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]],
  ])("%s", (_rule, cron, timezone, from, expected) => {
    expect(occurrences(cron, timezone, from, expected.length)).toEqual(expected);
  });
});

/** The rules again, by walking every minute of a few days and asking what the clock of the zone shows. */
interface Wall {
  day: string;
  hour: number;
  minute: number;
}

function wallClock(timezone: string): (instantMs: number) => Wall {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: timezone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  return (instantMs) => {
    const parts = Object.fromEntries(format.formatToParts(instantMs).map((part) => [part.type, part.value]));
    return { day: `${parts["year"]}-${parts["month"]}-${parts["day"]}`, hour: Number(parts["hour"]), minute: Number(parts["minute"]) };
  };
}

interface Pattern {
  minutes: number[];
  hours: number[] | "*";
  stepped: boolean;
}

const text = ({ minutes, hours, stepped }: Pattern) => {
  const minuteField = stepped ? `*/${minutes[0]}` : minutes.join(",");
  return `${minuteField} ${hours === "*" ? "*" : hours.join(",")} * * *`;
};

const minuteMs = 60_000;

function modelled(pattern: Pattern, timezone: string, window: { from: number; until: number }): number[] {
  const wall = wallClock(timezone);
  const minuteFits = (minute: number) =>
    pattern.stepped ? minute % (pattern.minutes[0] as number) === 0 : pattern.minutes.includes(minute);
  const hourFits = (hour: number) => pattern.hours === "*" || pattern.hours.includes(hour);
  const isInterval = pattern.stepped || pattern.hours === "*";
  const found = new Set<number>();
  const seen = new Set<string>();
  let before: Wall | undefined;
  // A day earlier, so that first comings before the window are known.
  for (let instant = window.from - 24 * 60 * minuteMs; instant <= window.until; instant += minuteMs) {
    const now = wall(instant);
    const counts = instant > window.from;
    if (minuteFits(now.minute) && hourFits(now.hour)) {
      const name = `${now.day} ${now.hour}:${now.minute}`;
      if (counts && (isInterval || !seen.has(name))) found.add(instant);
      seen.add(name);
    }
    if (counts && before && !isInterval) {
      // What the clock jumped over, if it jumped forward.
      const gap = wallMinutes(now) - wallMinutes(before) - 1;
      for (let skipped = 1; skipped <= gap; skipped += 1) {
        const minutes = wallMinutes(before) + skipped;
        const within = ((minutes % 1_440) + 1_440) % 1_440;
        if (minuteFits(within % 60) && hourFits(Math.floor(within / 60))) found.add(instant);
      }
    }
    before = now;
  }
  return [...found].sort((left, right) => left - right);
}

const wallMinutes = ({ day, hour, minute }: Wall) => Date.parse(`${day}T00:00:00Z`) / minuteMs + hour * 60 + minute;

/** Changes of the clock, by zone: forward and back, at night and at midnight, an hour and half an hour. */
const changes = [
  ["Europe/Berlin", "2026-03-29T01:00:00Z"],
  ["Europe/Berlin", "2026-10-25T01:00:00Z"],
  ["America/New_York", "2026-03-08T07:00:00Z"],
  ["America/New_York", "2026-11-01T06:00:00Z"],
  ["Australia/Lord_Howe", "2026-04-04T15:00:00Z"],
  ["Australia/Lord_Howe", "2026-10-03T15:30:00Z"],
  ["America/Sao_Paulo", "2018-11-04T03:00:00Z"],
  ["America/Sao_Paulo", "2019-02-17T02:00:00Z"],
  ["Pacific/Chatham", "2026-04-04T14:00:00Z"],
  ["Pacific/Chatham", "2026-09-26T14:00:00Z"],
  ["America/St_Johns", "2026-03-08T05:30:00Z"],
  ["Asia/Kolkata", "2026-03-08T05:30:00Z"],
] as const;

const pattern: fc.Arbitrary<Pattern> = fc.oneof(
  fc.record({
    minutes: fc
      .uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 3 })
      .map((list) => list.sort((left, right) => left - right)),
    hours: fc.oneof(
      fc.constant("*" as const),
      fc
        .uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 4 })
        .map((list) => list.sort((left, right) => left - right)),
      // Nights are where clocks change.
      fc
        .uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 })
        .map((list) => list.sort((left, right) => left - right)),
    ),
    stepped: fc.constant(false),
  }),
  fc.record({
    minutes: fc.constantFrom<number[]>([1], [7], [15], [20], [30]),
    hours: fc.oneof(fc.constant("*" as const), fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 })),
    stepped: fc.constant(true),
  }),
);

test("occurrences are what the clock of the zone says, for any fixed time or interval around any change", () => {
  fc.assert(
    fc.property(pattern, fc.constantFrom(...changes), (cron, [timezone, change]) => {
      const window = { from: Date.parse(change) - 30 * 60 * minuteMs, until: Date.parse(change) + 30 * 60 * minuteMs };
      const expected = modelled(cron, timezone, window).map((instant) => instantText(new Date(instant)));
      const found: string[] = [];
      for (let next = recurrence(text(cron), timezone).next(new Date(window.from)); next && next.getTime() <= window.until;) {
        found.push(instantText(next));
        next = recurrence(text(cron), timezone).next(next);
      }
      expect(found).toEqual(expected);
    }),
    { numRuns: 150 },
  );
});

describe("latestDue()", () => {
  test("is the last of what was missed, over years, in a few steps", () => {
    let asked = 0;
    const every = recurrence("*/5 * * * *", "Europe/Berlin");
    const counting = { next: (after: Date) => ((asked += 1), every.next(after)) };
    expect(latestDue(counting, at("2016-01-01T00:00:00Z"), at("2026-06-06T12:03:59Z"))).toEqual(at("2026-06-06T12:00:00Z"));
    expect(asked).toBeLessThan(60);
  });

  test("is the first when nothing else was missed, and when the clock is behind", () => {
    const yearly = recurrence("0 9 1 1 *");
    expect(latestDue(yearly, at("2026-01-01T09:00:00Z"), at("2026-12-31T23:59:59Z"))).toEqual(at("2026-01-01T09:00:00Z"));
    expect(latestDue(yearly, at("2027-01-01T09:00:00Z"), at("2026-12-31T23:59:59Z"))).toEqual(at("2027-01-01T09:00:00Z"));
  });

  test("agrees with going through all of them", () => {
    const start = Date.parse("2026-03-01T00:00:00Z");
    fc.assert(
      fc.property(
        pattern,
        fc.constantFrom(...changes.slice(0, 4)),
        fc.integer({ min: 0, max: 15 * 24 * 60 * 60 }),
        (cron, [timezone], seconds) => {
          const rule = recurrence(text(cron), timezone);
          const first = rule.next(new Date(start)) as Date;
          const now = new Date(first.getTime() + seconds * 1_000);
          let expected = first;
          for (let next = rule.next(first); next && next.getTime() <= now.getTime(); next = rule.next(next)) expected = next;
          expect(latestDue(rule, first, now)).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("upcoming() gives five instants after the fire", () => {
  expect(upcoming(recurrence("0 9 * * 1-5", "Europe/Berlin"), at("2026-03-27T08:00:00Z")).map(instantText)).toEqual([
    "2026-03-30T07:00:00Z",
    "2026-03-31T07:00:00Z",
    "2026-04-01T07:00:00Z",
    "2026-04-02T07:00:00Z",
    "2026-04-03T07:00:00Z",
  ]);
});

test("a fire is named by schedule, generation and occurrence", () => {
  expect(fireKey({ id: "s1", generation: 3 }, at("2026-06-08T07:00:00Z"))).toBe("schedule:s1:3:2026-06-08T07:00:00Z");
});

test("retries come after failures squared minutes, at most an hour", () => {
  expect([1, 2, 3, 7, 8, 1_000].map((failures) => retryDelayMs(failures) / minuteMs)).toEqual([1, 4, 9, 49, 60, 60]);
});

test("jitter is bounded, always the same for a schedule, and spreads schedules", () => {
  const values = Array.from({ length: 200 }, (_, index) => jitterMs(`schedule-${index}`, 1_000));
  expect(Math.max(...values)).toBeLessThanOrEqual(1_000);
  expect(new Set(values).size).toBeGreaterThan(150);
  expect(jitterMs("a", 1_000)).toBe(jitterMs("a", 1_000));
  expect(jitterMs("a", 0)).toBe(0);
});

describe("planSchedule()", () => {
  const id = "01980a00-0000-7000-8000-000000000001";
  const timing = { taskId: "report", cron: "0 9 * * *", timezone: "UTC", isActive: true };
  const now = at("2026-06-06T10:00:00Z");
  const change = { id, after: timing, recurrence: recurrence("0 9 * * *"), now, jitterMsMax: 0, before: undefined };
  const fresh = planSchedule(change);

  test("a new one is due at its next occurrence", () => {
    const next = at("2026-06-07T09:00:00Z");
    expect(fresh).toEqual({ state: "active", generation: 1, failures: 0, lastError: null, nextFireAt: next, dueAt: next });
    expect(planSchedule({ ...change, after: { ...timing, isActive: false } })).toMatchObject({
      state: "inactive",
      nextFireAt: null,
      dueAt: null,
    });
    expect(dueAfter(id, null, 10)).toBeNull();
  });

  test("the same timing goes on as it was; another timing is a new generation", () => {
    const before = { timing, progress: { ...fresh, generation: 4 } };
    expect(planSchedule({ ...change, before })).toBe(before.progress);
    for (const other of [{ cron: "0 8 * * *" }, { timezone: "Europe/Berlin" }, { taskId: "other" }, { isActive: false }])
      expect(planSchedule({ ...change, before, after: { ...timing, ...other } }).generation).toBe(5);
  });

  test("one that is errored is tried at once when it is touched", () => {
    const errored = { ...fresh, state: "errored" as const, failures: 3, lastError: "no task", dueAt: at("2026-06-06T10:09:00Z") };
    expect(planSchedule({ ...change, before: { timing, progress: errored } })).toEqual({ ...fresh, dueAt: now });
  });
});

test("the table names every state", () => {
  expect(statesOf<string>(scheduleTransitions).sort()).toEqual([...scheduleStates].sort());
});
