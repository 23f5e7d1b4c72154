/** Runs another program to its end: bounded in time and in what is kept of its output. Its own children end with it. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { Failure, reasonOf } from "../failure.ts";

const outputBytesMax = 256 * 1024;
const killAfterMs = 2_000;

export interface ProgramRun {
  command: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  timeoutMs: number;
  signal: AbortSignal;
  /** What its stdin gets. */
  input?: string;
  /** Read file descriptor 3 too. */
  result?: boolean;
  onOutput?: (text: string) => void;
}

export type ProgramEnd =
  | { kind: "exited"; code: number; output: string; result: string }
  | { kind: "timed_out" }
  | { kind: "not_started"; reason: string };

export async function runProgram(run: ProgramRun): Promise<ProgramEnd> {
  const group = process.platform !== "win32";
  const options: SpawnOptions = {
    cwd: run.cwd,
    env: run.env,
    stdio: ["pipe", "pipe", "pipe", run.result === true ? "pipe" : "ignore"],
    detached: group,
    shell: !group,
    windowsHide: true,
  };
  const child = spawn(run.command, [...run.args], options);
  const output = collected([child.stdout, child.stderr], run.onOutput);
  const result = collected([child.stdio[3] as NodeJS.ReadableStream | null | undefined]);
  child.stdin?.on("error", () => {});
  child.stdin?.end(run.input ?? "");
  let timedOut = false;
  const stop = () => endGroup(child, group);
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, run.timeoutMs);
  run.signal.addEventListener("abort", stop, { once: true });
  try {
    const code = await exitCode(child);
    if (run.signal.aborted) throw new Failure("cancelled");
    return timedOut ? { kind: "timed_out" } : { kind: "exited", code, output: output(), result: result() };
  } catch (error) {
    if (error instanceof Failure) throw error;
    return { kind: "not_started", reason: reasonOf(error) };
  } finally {
    clearTimeout(timer);
    run.signal.removeEventListener("abort", stop);
  }
}

function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
}

/** The last part of what the streams say. */
function collected(streams: readonly (NodeJS.ReadableStream | null | undefined)[], onOutput?: (text: string) => void): () => string {
  let kept = "";
  for (const stream of streams) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      kept = (kept + text).slice(-outputBytesMax);
      onOutput?.(text);
    });
  }
  return () => kept;
}

/** The whole process group, politely and then not: package managers start scripts of their own. */
function endGroup(child: ChildProcess, group: boolean): void {
  const send = (signal: NodeJS.Signals) => {
    try {
      if (group && child.pid !== undefined) process.kill(-child.pid, signal);
      else child.kill(signal);
    } catch {
      // It has ended in the meantime.
    }
  };
  send("SIGTERM");
  setTimeout(() => send("SIGKILL"), killAfterMs).unref();
}
