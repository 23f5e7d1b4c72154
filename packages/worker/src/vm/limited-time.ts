/** Waiting with a bound: the promise, or an error of ours when time is up or somebody gave up. */
import { VmError } from "./driver.ts";

export interface Bound {
  ms: number;
  code: VmError["code"];
  what: string;
  signal?: AbortSignal;
}

export function within<T>({ ms, code, what, signal }: Bound, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ended = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const giveUp = (error: VmError): void => {
      reject(error);
      ended.abort(error);
    };
    const timer = setTimeout(() => giveUp(new VmError(code, `${what} took longer than ${ms} ms`)), ms);
    const aborted = (): void => giveUp(new VmError("aborted", `${what} was given up`, { cause: signal?.reason }));
    if (signal?.aborted) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    };
    if (ended.signal.aborted) return settle();
    start(ended.signal).then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error instanceof Error ? error : new VmError(code, String(error)));
      },
    );
  });
}
