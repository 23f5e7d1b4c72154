/** Timers (sdk §3.6): durable pauses. One that is already due returns without a call. */
import { DefinitionError, WaitCancelledError } from "../errors.ts";
import { type DurationInput, guestSeconds } from "../guest-duration.ts";
import { blocking } from "./blocking.ts";
import { type WaitOutcome, activeRuntime } from "./port.ts";
import { type WaitDelayHandle, delayHandle } from "./wait-handle.ts";
import { shown } from "../json-value.ts";

export type UntilInput = string | Date | { readonly date?: string | Date };

export const timers: { waitFor(duration: DurationInput): WaitDelayHandle; waitUntil(until: UntilInput): WaitDelayHandle } = Object.freeze({
  waitFor(duration: DurationInput): WaitDelayHandle {
    activeRuntime();
    const delayMs = guestSeconds(duration, "the duration of timers.waitFor") * 1000;
    return delayHandle(() => timerWait("timers.waitFor", delayMs));
  },
  waitUntil(until: UntilInput): WaitDelayHandle {
    activeRuntime();
    const dueUnixMs = instantOf(until);
    return delayHandle(async () => {
      const delayMs = dueUnixMs - Date.now();
      if (delayMs > 0) await timerWait("timers.waitUntil", Math.ceil(delayMs));
    });
  },
});

async function timerWait(words: string, delayMs: number): Promise<void> {
  await blocking(words, async ({ runtime }) => {
    const outcome = (await runtime.call({ kind: "wait", on: { kind: "timer", delayMs }, parkable: true }).answer) as WaitOutcome;
    if (outcome.kind !== "timer") throw new DefinitionError(`${words} was decided as a ${outcome.kind} wait`);
    if (outcome.status === "cancelled") throw new WaitCancelledError(`${words} was cancelled`);
  });
}

function instantOf(until: UntilInput): number {
  const value = typeof until === "object" && until !== null && !(until instanceof Date) ? until.date : until;
  const ms = value instanceof Date ? value.getTime() : typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms))
    throw new DefinitionError(`timers.waitUntil needs an instant such as "2026-01-31T12:00:00Z" or a Date, and got ${shown(until)}`);
  return ms;
}
