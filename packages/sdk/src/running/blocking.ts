/**
 * One blocking call at a time (sdk §8.5): a parked machine can stand for one wait only. Counted are tokens.create, token, stream and timer
 * waits, once, peek, and each read of `on` (its handler runs between reads and may block itself).
 */
import { ConcurrentWaitError } from "../errors.ts";
import { type InstalledRuntime, activeRuntime } from "./port.ts";

export async function blocking<T>(words: string, body: (installed: InstalledRuntime) => Promise<T>): Promise<T> {
  const installed = activeRuntime();
  if (installed.blocking !== undefined) {
    throw new ConcurrentWaitError(
      `Cannot start ${words} while ${installed.blocking} is in flight: a task makes one blocking call at a time; await the first one`,
    );
  }
  installed.blocking = words;
  try {
    return await body(installed);
  } finally {
    installed.blocking = undefined;
  }
}
