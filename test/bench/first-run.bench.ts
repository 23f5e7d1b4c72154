/**
 * A fresh clone with nothing cached: `./helmr up` → first run succeeded, downloads included; then `down` and a second `up`. Debian's packages and
 * what npm downloads come from the mirrors this host is configured for; Debian's packages that are installed already are not installed again.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository } from "../e2e/local-install.ts";
import type { Benchmark } from "./measure.ts";

const timeLimitMs = 15 * 60_000;

export const benchmark: Benchmark = {
  measures: "git clone → ./helmr up → deploy → first run succeeded; second ./helmr up",
  async run() {
    const directory = await mkdtemp(join(tmpdir(), "helmr-first-run-"));
    const checkout = join(directory, "helmr");
    // As a newcomer's shell has it; a port that is taken is replaced by `up` itself.
    const { HELMR_STATE_DIR: _state, HELMR_PORT: _port, ...shell } = process.env;
    const env = { ...shell, npm_config_cache: join(directory, "npm-cache") };
    const timed = async (...[command = "", ...args]: string[]) => {
      const begun = performance.now();
      await new Promise<void>((resolve, reject) => {
        const child = spawn(command, args, { cwd: checkout, env, stdio: ["ignore", "ignore", "inherit"] });
        const timer = setTimeout(() => child.kill("SIGKILL"), timeLimitMs);
        child.once("error", reject);
        child.once("exit", (code) => {
          clearTimeout(timer);
          if (code === 0) resolve();
          else reject(new TypeError(`${command} ${args.join(" ")} ended with ${code}`));
        });
      });
      return (performance.now() - begun) / 1_000;
    };
    try {
      await new Promise<void>((resolve, reject) => {
        const clone = spawn("git", ["clone", "--quiet", repository, checkout], { stdio: "inherit" });
        clone.once("exit", (code) => (code === 0 ? resolve() : reject(new TypeError(`git clone ended with ${code}`))));
      });
      const up = await timed("./helmr", "up", "--detach", "--json");
      const deploy = await timed("./helmr", "deploy", "examples/hello");
      const run = await timed("./helmr", "session", "start", "hello", "--payload", "name=Ada", "--wait", "--json");
      await timed("./helmr", "down");
      const again = await timed("./helmr", "up", "--detach", "--json");
      const total = up + deploy + run;
      return [
        { name: "first-run", unit: "s", samples: [total], target: "≤ 4 min", met: total <= 240 },
        { name: "first-run: up", unit: "s", samples: [up] },
        { name: "first-run: deploy", unit: "s", samples: [deploy] },
        { name: "first-run: run", unit: "s", samples: [run] },
        { name: "second up", unit: "s", samples: [again], target: "≤ 10 s", met: again <= 10 },
      ];
    } finally {
      await timed("./helmr", "down", "--purge").catch(() => 0);
      await rm(directory, { recursive: true, force: true });
    }
  },
};
