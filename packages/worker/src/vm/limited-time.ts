/**
 * Waiting with a bound: the result, or an error of ours when time is up or somebody gave up. The work is told through its signal and gets a
 * moment to undo what it has done, so that an error means that nothing is left behind.
 */
import { setTimeout as pause } from "node:timers/promises";
import { VmError } from "./driver.ts";
import { vmLimits } from "./limits.ts";

export interface Bound {
  ms: number;
  code: VmError["code"];
  what: string;
  signal?: AbortSignal;
}

export async function within<T>({ ms, code, what, signal }: Bound, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const giveUp = (error: VmError): void => over.abort(error);
  const aborted = (): void => giveUp(new VmError("aborted", `${what} was given up`, { cause: signal?.reason }));
  if (signal?.aborted) aborted();
  over.signal.throwIfAborted();
  signal?.addEventListener("abort", aborted, { once: true });
  const timer = setTimeout(() => giveUp(new VmError(code, `${what} took longer than ${ms} ms`)), ms);
  const working = work(over.signal);
  try {
    return await orAborted(working, over.signal);
  } catch (error) {
    if (!over.signal.aborted) throw error;
    const waited = new AbortController();
    const grace = pause(vmLimits.undoMs, undefined, { signal: waited.signal }).catch(() => {});
    await Promise.race([working.catch(() => {}), grace]);
    waited.abort();
    throw over.signal.reason;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
  }
}

/** The promise, or the signal's reason when that comes first. The promise goes on; its failure is then nobody's. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error);
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}
