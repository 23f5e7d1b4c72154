/**
 * A lock between processes of one host: a file that names its holder. A holder that died is found out by its pid and start time, and its lock is
 * taken over. Waiting is bounded by the caller's signal.
 */
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { required } from "../assert.ts";
import { pause } from "./pause.ts";
import { identifyProcess, isRunning, type ProcessIdentity } from "./process-identity.ts";

const pollMs = 100;

export async function withFileLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const mine = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const self = required(await identifyProcess(process.pid), "A process can read its own status");
  await writeFile(mine, JSON.stringify(self));
  try {
    while (!(await take(mine, path))) {
      signal.throwIfAborted();
      await breakStale(path);
      await pause(pollMs, signal);
    }
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(mine, { force: true });
  }
}

/** A hard link is made or not, never half: the lock always has its content. */
async function take(mine: string, path: string): Promise<boolean> {
  try {
    await link(mine, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function breakStale(path: string): Promise<void> {
  let holder: ProcessIdentity;
  try {
    holder = JSON.parse(await readFile(path, "utf8")) as ProcessIdentity;
  } catch {
    return; // given back meanwhile
  }
  if (await isRunning(holder)) return;
  // Moved away first: of several who found it stale one gets it, and it is checked again before it goes.
  const aside = `${path}.stale.${process.pid}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = JSON.parse(await readFile(aside, "utf8")) as ProcessIdentity;
  if (moved.pid !== holder.pid || moved.startTime !== holder.startTime) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}
