/** Instants and durations as people read them. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `3 min ago`, `in 2 h`; after a month the date. */
export function relativeTime(at: number, now: number): string {
  const ms = at - now;
  const size = Math.abs(ms);
  if (size >= 30 * DAY) return new Date(at).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
  const text = size < 5 * SECOND ? "" : coarse(size, ms < 0 ? Math.floor : Math.round);
  if (text === "") return ms <= 0 ? "just now" : "now";
  return ms < 0 ? `${text} ago` : `in ${text}`;
}

/** What has passed is rounded down; what is to come to the nearest, so that a week from now is not `in 6 days` a second later. */
function coarse(ms: number, round: (value: number) => number): string {
  if (ms < MINUTE) return `${round(ms / SECOND)} s`;
  if (ms < HOUR) return `${round(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${round(ms / HOUR)} h`;
  return `${round(ms / DAY)} days`;
}

/** Two units at most: `340 ms`, `12.4 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. */
export function durationText(ms: number): string {
  if (ms < 0) return "0 s";
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return two([Math.floor(ms / MINUTE), "min"], [Math.floor((ms % MINUTE) / SECOND), "s"]);
  if (ms < DAY) return two([Math.floor(ms / HOUR), "h"], [Math.floor((ms % HOUR) / MINUTE), "min"]);
  return two([Math.floor(ms / DAY), "d"], [Math.floor((ms % DAY) / HOUR), "h"]);
}

function two([large, largeUnit]: [number, string], [small, smallUnit]: [number, string]): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** With the zone, for tooltips. */
export function exactTime(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
}

/** `14:03:09.120` */
export function clockTime(at: number): string {
  const date = new Date(at);
  const pad = (value: number, width = 2) => String(value).padStart(width, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** Distances of axis marks that people can count in. */
const steps = [
  10,
  20,
  50,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  7 * DAY,
] as const;

/** Offsets from 0 to the whole, at most `count` of them. */
export function axisMarks(wholeMs: number, count: number): number[] {
  const step = steps.find((size) => wholeMs / size <= count) ?? 7 * DAY * Math.ceil(wholeMs / (7 * DAY * count));
  const marks: number[] = [];
  for (let at = 0; at <= wholeMs; at += step) marks.push(at);
  return marks;
}

/** `0 s`, `500 ms`, `1.5 s`, `2 min`: short enough for an axis. */
export function axisText(ms: number): string {
  if (ms === 0) return "0";
  if (ms < SECOND) return `${ms} ms`;
  return durationText(ms).replace(/\.0 s$/, " s");
}
