/** Processes named by pid and start time, so that a recycled pid is never taken for ours, and ended in bounded time. */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

export interface ProcessId {
  pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  startTime: number;
}

export async function identify(pid: number): Promise<ProcessId | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the command in parentheses and may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return { pid, startTime: Number(fields[19]) };
}

export async function isAlive(process: ProcessId | undefined): Promise<boolean> {
  if (!process) return false;
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** TERM, then KILL after `graceMs`. True when it is gone. */
export async function endProcess(target: ProcessId, graceMs: number): Promise<boolean> {
  for (const [signal, patienceMs] of [
    ["SIGTERM", graceMs],
    ["SIGKILL", 5_000],
  ] as const) {
    if (!(await isAlive(target))) return true;
    try {
      process.kill(target.pid, signal);
    } catch {
      // It ended between the look and the signal.
    }
    const deadline = Date.now() + patienceMs;
    while (Date.now() < deadline) {
      if (!(await isAlive(target))) return true;
      await delay(20);
    }
  }
  return !(await isAlive(target));
}
