import { describe, expect, test } from "vitest";
import { compoundDuration, duration } from "./duration.ts";

describe("duration()", () => {
  test.each([
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    ["1.5h", 5_400_000],
  ])("takes %s", (text, ms) => {
    expect(duration("").parse(text, "timeout")).toBe(ms);
  });

  test.each(["", "0s", "-1s", "1", "1d1h", "1.5d", "soon"])("refuses %j and names the flag", (text) => {
    expect(() => duration("").parse(text, "timeout")).toThrow(
      `--timeout must be a duration greater than zero, such as 90s, 1h30m or 2d, not ${JSON.stringify(text)}`,
    );
  });
});

describe("compoundDuration()", () => {
  test.each([
    ["20m", 1_200_000],
    ["0", 0],
    ["0s", 0],
    ["-5m", -300_000],
    ["+1h30m", 5_400_000],
  ])("takes %s", (text, ms) => {
    expect(compoundDuration("").parse(text, "timeout")).toBe(ms);
  });

  test.each(["", "2d", "5", "m", "-"])("refuses %j", (text) => {
    expect(() => compoundDuration("").parse(text, "timeout")).toThrow("--timeout must be a duration such as 90s or 1h30m");
  });
});
