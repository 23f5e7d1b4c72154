/** Runs one tool of the check or the tests as a child process and says how it ended. */
import { spawn } from "node:child_process";
import { join } from "node:path";

export const repository = join(import.meta.dirname, "..");

export interface StepResult {
  ok: boolean;
  seconds: number;
  output: string;
}

export interface StepOptions {
  /** Show the output while it comes; otherwise it is kept for the failure report. */
  stream?: boolean;
  environment?: Record<string, string>;
  timeoutMs?: number;
}

export async function runStep(command: string[], options: StepOptions = {}): Promise<StepResult> {
  const startedAt = performance.now();
  const [name = "", ...args] = command;
  const child = spawn(name, args, {
    cwd: repository,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: `${join(repository, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`, ...options.environment },
  });
  const parts: Buffer[] = [];
  for (const [stream, out] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    stream.on("data", (data: Buffer) => {
      parts.push(data);
      if (options.stream) out.write(data);
    });
  }
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
  const ok = await new Promise<boolean>((resolve) => {
    child.once("error", (error) => {
      parts.push(Buffer.from(`${error.message}\n`));
      resolve(false);
    });
    child.once("close", (code) => resolve(code === 0));
  });
  clearTimeout(timer);
  return { ok, seconds: (performance.now() - startedAt) / 1000, output: Buffer.concat(parts).toString() };
}
