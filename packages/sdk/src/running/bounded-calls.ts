/**
 * Calls that a task may have any number of at once (appends, metadata): at most `openCallsMax` are on their way, the others wait their turn
 * in the order of the calls. The line stands beside the runtime, so that all copies of the SDK share it.
 */
import { activeRuntime, type ProgramCall } from "./port.ts";

/** Far below what the supervisor bears, far above what keeps it busy. */
const openCallsMax = 64;

export async function boundedCall(call: ProgramCall): Promise<unknown> {
  const { runtime, line } = activeRuntime();
  if (line.open >= openCallsMax) await new Promise<void>((resolve) => line.waiting.push(resolve));
  else line.open += 1;
  try {
    return await runtime.call(call).answer;
  } finally {
    // The place goes to the next in line, if there is one.
    const next = line.waiting.shift();
    if (next === undefined) line.open -= 1;
    else next();
  }
}
