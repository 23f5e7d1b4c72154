/**
 * A running monitor as a process: started by us, or found again after a restart of the worker. It outlives the worker on purpose (own
 * session, no death signal); the worker's next start adopts it or ends it.
 *
 * A pid alone says nothing after a restart: it is always compared together with the process's start time.
 */
import { spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { VmError } from "../driver.ts";
import { vmLimits } from "../limits.ts";

export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

export interface ProcessExit {
  code: number | null;
  signal: string | null;
}

export interface MonitorProcess extends ProcessIdentity {
  readonly exited: Promise<ProcessExit>;
  /** The end of what it has written to stderr. */
  complaints(): Promise<string>;
  /** SIGKILL, then waits until it is gone. */
  kill(): Promise<void>;
}

export interface MonitorCommand {
  command: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** File for its stderr. */
  log: string;
  /** Descriptor numbers that the monitor gets as 3, 4, 5, …; the caller closes its own. */
  descriptors: readonly number[];
}

const adoptedPollMs = 250;

export async function startMonitor({ command, args, cwd, env, log, descriptors }: MonitorCommand): Promise<MonitorProcess> {
  const errors = await open(log, "a", 0o600);
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", "ignore", errors.fd, ...descriptors] });
  const exited = new Promise<ProcessExit>((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) => reject(new VmError("monitor_died", `Cannot start ${command}: ${cause.message}`, { cause })));
    });
  } finally {
    await errors.close();
  }
  // A worker that wants to end does not wait for its machines.
  child.unref();
  const pid = child.pid as number;
  const identity = { pid, startTime: (await readStartTime(pid)) ?? 0 };
  return { ...identity, exited, complaints: () => readComplaints(log), kill: () => killAndWait(identity, exited) };
}

/** A process that an earlier worker started; undefined when it is gone. */
export async function findMonitor(identity: ProcessIdentity, log: string): Promise<MonitorProcess | undefined> {
  if (!(await isAlive(identity))) return undefined;
  const exited = (async (): Promise<ProcessExit> => {
    while (await isAlive(identity)) await pause(adoptedPollMs, undefined, { ref: false });
    return { code: null, signal: null };
  })();
  return { ...identity, exited, complaints: () => readComplaints(log), kill: () => killAndWait(identity, exited) };
}

export async function isAlive({ pid, startTime }: ProcessIdentity): Promise<boolean> {
  return (await readStartTime(pid)) === startTime;
}

/** Clock ticks since boot; undefined when there is no such process, or only its remains (zombie). */
export async function readStartTime(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  // The name in parentheses may contain anything; fields are counted from its end: 3 is the state, 22 the start time.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[22 - 3]);
}

async function readComplaints(log: string): Promise<string> {
  const text = await readFile(log, "utf8").catch(() => "");
  return text.slice(-vmLimits.complaintBytes).trim();
}

async function killAndWait(identity: ProcessIdentity, exited: Promise<ProcessExit>): Promise<void> {
  const { pid } = identity;
  try {
    if (await isAlive(identity)) process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  const limit = new AbortController();
  const late = pause(vmLimits.killMs, "late" as const, { signal: limit.signal }).catch(() => "ended" as const);
  const outcome = await Promise.race([exited.then(() => "ended" as const), late]);
  limit.abort();
  if (outcome === "late")
    throw new VmError("monitor_unresponsive", `The monitor with pid ${pid} is still there ${vmLimits.killMs} ms after SIGKILL`);
}
