/** The published form of the command, built once per test file, as child processes. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bundleCli } from "../release/bundle.ts";

const timeoutMs = 30_000;
const live = new Set<ChildProcessWithoutNullStreams>();

export interface ProcessRun {
  env?: Record<string, string>;
  cwd?: string;
  /** Ends after this; `open` leaves it to `onStdout`. */
  stdin?: string | Buffer | { open: true };
  /** Another Node than the one that runs the tests. */
  node?: string;
  /** Called with everything that stdout has said so far. */
  onStdout?: (text: string, child: ChildProcessWithoutNullStreams) => void;
}

export interface ProcessResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export class BuiltCli {
  readonly file: string;

  private constructor(file: string) {
    this.file = file;
  }

  /** Beside the real one, so that esbuild is found. */
  static async build(): Promise<BuiltCli> {
    const file = fileURLToPath(new URL(`../../dist/test-${process.pid}/helmr.js`, import.meta.url));
    await bundleCli(file);
    return new BuiltCli(file);
  }

  /** Ends what a test that failed has left running, too. */
  remove(): Promise<void> {
    for (const child of live) child.kill("SIGKILL");
    return rm(path.dirname(this.file), { recursive: true, force: true });
  }

  /** Nothing of the environment of the tests reaches the command but PATH. */
  run(argv: readonly string[], run: ProcessRun = {}): Promise<ProcessResult> {
    return runToEnd(run.node ?? process.execPath, [this.file, ...argv], run);
  }
}

export function runToEnd(command: string, args: readonly string[], run: ProcessRun): Promise<ProcessResult> {
  const child = spawn(command, [...args], {
    cwd: run.cwd,
    env: { PATH: process.env["PATH"], ...run.env },
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  live.add(child);
  child.once("close", () => live.delete(child));
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.stdout += text;
    run.onStdout?.(said.stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  child.stdin.on("error", () => {});
  if (typeof run.stdin !== "object" || Buffer.isBuffer(run.stdin)) child.stdin.end(run.stdin ?? "");
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, ...said }));
  });
}
