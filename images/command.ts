/** Programs that preparation calls: always with a time limit, and with an error that shows what they said. */
import { execFile } from "node:child_process";

export class PreparationError extends Error {
  override name = "PreparationError";
  readonly code: "command_failed" | "command_missing" | "command_timeout" | "no_kernel" | "ingredient_missing";
  constructor(code: PreparationError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  signal?: AbortSignal;
}

const outputBytesMax = 16 * 1024 * 1024;
/** The end of what a failed program said is where the reason is. */
const shownCharacters = 1500;

export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { cwd, env, timeoutMs = 60_000, signal } = options;
  return new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      {
        cwd,
        env: { ...process.env, LC_ALL: "C.UTF-8", ...env },
        timeout: timeoutMs,
        killSignal: "SIGKILL",
        maxBuffer: outputBytesMax,
        signal,
      },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        if (error.code === "ENOENT")
          return reject(
            new PreparationError("command_missing", `${command} is not installed. Run ./helmr up, or install it yourself.`, {
              cause: error,
            }),
          );
        const said = `${stdout}${stderr}`.trim().slice(-shownCharacters);
        const timedOut = error.killed === true && signal?.aborted !== true;
        const how = timedOut ? `did not end within ${timeoutMs} ms` : `failed (${error.signal ?? error.code ?? "?"})`;
        reject(
          new PreparationError(
            timedOut ? "command_timeout" : "command_failed",
            `${command} ${args.slice(0, 4).join(" ")} ${how}: ${said}`,
            { cause: error },
          ),
        );
      },
    );
  });
}
