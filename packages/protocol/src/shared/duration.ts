/**
 * Duration text `D` (http §1.6): a compound of decimal numbers with units (`90s`, `1.5h`, `1h30m`) or whole days (`7d`).
 * Both forms must be greater than zero. Results are whole milliseconds, rounded up so that a positive text stays positive.
 */
const unitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** A bound on what is parsed: about 292 years, the range of a signed 64-bit count of nanoseconds. */
const durationMsMax = 9_223_372_036_854;

const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

export function parseDurationMs(text: string): number | undefined {
  const days = /^(\d{1,6})d$/.exec(text);
  if (days) {
    const ms = Number(days[1]) * 86_400_000;
    return ms > 0 && ms <= durationMsMax ? ms : undefined;
  }
  if (text.length === 0 || text.length > 64) return undefined;
  let total = 0;
  part.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const match = part.exec(text);
    if (!match) return undefined;
    total += Number(match[1]) * (unitMs[match[2] as string] as number);
    at = part.lastIndex;
  }
  if (!(total > 0) || total > durationMsMax) return undefined;
  return Math.ceil(total);
}
