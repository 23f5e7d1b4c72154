import { expect, test } from "vitest";
import { type DurationInput, guestSeconds } from "./guest-duration.ts";

test.each<[DurationInput, number]>([
  [1, 1],
  [1.2, 2],
  [0.001, 1],
  ["500ms", 1],
  ["1500ms", 2],
  ["90s", 90],
  ["1.5h", 5400],
  ["1.1h", 3960],
  ["2d", 172_800],
  [{ seconds: 5 }, 5],
  [{ milliseconds: 2001 }, 3],
  [{ minutes: 2 }, 120],
  [{ hours: 0.5 }, 1800],
  [{ duration: "3m" }, 180],
  // The first present counts; nothing is added up.
  [{ seconds: 5, minutes: 1 }, 5],
  [{ milliseconds: 1000, hours: 9 }, 1],
  [{ hours: 1, duration: "9h" }, 3600],
])("guestSeconds(%j) is %d s", (duration, seconds) => {
  expect(guestSeconds(duration, "timeout")).toBe(seconds);
});

test.each([
  0,
  -1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  "0s",
  "1h30m",
  "5",
  "",
  "s",
  "-3s",
  "1e3s",
  "5 s",
  {},
  { seconds: "5" },
  { days: 1 },
  null,
  true,
])("guestSeconds(%j) is refused with the option's name", (duration) => {
  expect(() => guestSeconds(duration as DurationInput, "timeout of a wait")).toThrow(/^timeout of a wait must be/);
});
