/** Durations in flags (cli §4). */
import { parseDurationMs } from "@helmr/protocol/shared";
import type { Flag } from "../command.ts";
import { Failure } from "../failure.ts";

/** Duration text `D`, greater than zero; the value is milliseconds. */
export function duration(summary: string): Flag<number | undefined> {
  return {
    kind: "value",
    placeholder: "DUR",
    summary,
    parse: (text, name) => {
      const ms = parseDurationMs(text.trim());
      if (ms !== undefined) return ms;
      throw new Failure(`--${name} must be a duration greater than zero, such as 90s, 1h30m or 2d, not ${JSON.stringify(text)}`);
    },
  };
}

/** The compound form without days; zero and negative are allowed and mean no limit. The value is milliseconds. */
export function compoundDuration(summary: string): Flag<number | undefined> {
  return {
    kind: "value",
    placeholder: "DUR",
    summary,
    parse: (text, name) => {
      const ms = parseCompoundMs(text.trim());
      if (ms !== undefined) return ms;
      throw new Failure(`--${name} must be a duration such as 90s or 1h30m, not ${JSON.stringify(text)}`);
    },
  };
}

function parseCompoundMs(text: string): number | undefined {
  const match = /^([+-]?)(.*)$/s.exec(text);
  const body = match?.[2] ?? "";
  if (body === "0") return 0;
  if (body.endsWith("d")) return undefined;
  const positive = parseDurationMs(body);
  if (positive !== undefined) return match?.[1] === "-" ? -positive : positive;
  // `0s` and the like: a duration, although D does not allow it.
  return /^(?:0+(?:\.0*)?(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body) ? 0 : undefined;
}
