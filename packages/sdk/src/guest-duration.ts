/**
 * Durations inside a task (sdk §4.1): a number is seconds; text is one decimal number with a unit, never a sum; of an object the first
 * present member counts. The result is whole seconds, rounded up, so at least 1. On the client a number is milliseconds: see
 * `client/token-timeout.ts`.
 */
import { DefinitionError } from "./errors.ts";
import { shown } from "./json-value.ts";

export type DurationInput =
  | string
  | number
  | {
      readonly milliseconds?: number;
      readonly seconds?: number;
      readonly minutes?: number;
      readonly hours?: number;
      readonly duration?: string;
    };

const unitSeconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
/** First present wins, in this order. */
const memberSeconds = { seconds: 1, milliseconds: 0.001, minutes: 60, hours: 3600 } as const;
/** 100 years: a bound that keeps milliseconds far below what a double counts exactly. */
const secondsMax = 3_155_760_000;

export function guestSeconds(duration: DurationInput, label: string): number {
  const seconds = exactSeconds(duration, label);
  if (!(seconds > 0)) throw new DefinitionError(`${label} must be greater than zero, and is ${shown(duration)}`);
  if (seconds > secondsMax) throw new DefinitionError(`${label} must be at most 100 years, and is ${shown(duration)}`);
  // Sums of decimal fractions are a hair too large now and then (1.1 h is 3960.0000000000005 s): that is not another second.
  return Math.max(1, Math.ceil(seconds - 1e-6));
}

function exactSeconds(duration: DurationInput, label: string): number {
  if (typeof duration === "number") return duration;
  if (typeof duration === "string") return textSeconds(duration, label);
  if (typeof duration === "object" && duration !== null) {
    for (const [member, factor] of Object.entries(memberSeconds)) {
      const value = duration[member as keyof typeof memberSeconds];
      if (value !== undefined) return typeof value === "number" ? value * factor : Number.NaN;
    }
    if (duration.duration !== undefined) return textSeconds(duration.duration, label);
  }
  throw new DefinitionError(`${label} must be a number of seconds, a text such as "90s", or { seconds: 90 }, and is ${shown(duration)}`);
}

function textSeconds(text: unknown, label: string): number {
  const match = typeof text === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim()) : null;
  if (!match) {
    throw new DefinitionError(`${label} must be one number with a unit (ms, s, m, h or d) such as "90s" or "1.5h", and is ${shown(text)}`);
  }
  return Number(match[1]) * (unitSeconds[match[2] as string] as number);
}
