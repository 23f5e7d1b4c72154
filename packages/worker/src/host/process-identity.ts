/** A process named so that a recycled pid is not mistaken for it. */
import { readFile } from "node:fs/promises";

export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: ticks since boot; "" where there is no /proc. */
  startTime: string;
}

export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in brackets and may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, startTime: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}

export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.startTime === identity.startTime;
}
