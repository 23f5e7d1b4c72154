/** A host tool, run to its end: bounded in time and output, killed with its caller's signal. */
import { spawn } from "node:child_process";

export interface CommandOptions {
  signal?: AbortSignal;
  timeoutMs: number;
  env?: Record<string, string>;
}

export class CommandFailed extends Error {
  override name = "CommandFailed";
  readonly code = "command_failed";
}

const errorBytesMax = 4096;

export function runCommand(command: string, args: string[], options: CommandOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", ...options.env },
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
      signal: options.signal,
    });
    let text = "";
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (part: string) => {
      if (text.length < errorBytesMax) text += part;
    });
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (status === 0) resolve();
      else {
        const how = signal === null ? `exit status ${status}` : `signal ${signal}`;
        reject(new CommandFailed(`${command} ended with ${how}: ${text.slice(0, errorBytesMax).trim()}`));
      }
    });
  });
}
