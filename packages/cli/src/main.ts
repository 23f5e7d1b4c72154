#!/usr/bin/env node
/**
 * The process `helmr`. Run by Node's type stripping in the repository and as one bundled file when published. The first interrupt lets the
 * command end by itself, the second ends the process at once.
 */
import { homedir } from "node:os";
import process from "node:process";
import { Failure, SilentExit } from "./failure.ts";
import { runCli } from "./program.ts";

const controller = new AbortController();
let interrupts = 0;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    interrupts += 1;
    if (interrupts > 1) process.exit(130);
    controller.abort(new Failure("cancelled"));
  });
}
// Nobody reads the result any more (`helmr run list | head -1`): there is nothing left to do and nobody to tell.
process.stdout.on("error", () => controller.abort(new SilentExit(1)));

const code = await runCli(
  {
    env: process.env,
    cwd: process.cwd(),
    platform: process.platform,
    homeDirectory: homedir(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: controller.signal,
  },
  process.argv.slice(2),
);
// Not left to the event loop: an idle connection or a terminal that is still read would hold the process.
process.exit(code);
