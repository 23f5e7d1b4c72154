/**
 * `workspace exec -- true` in a mounted workspace, as a client sees it: create → the follower of its stdout hears of its end. Beside it, in the same run,
 * what the guest needs to start and collect such a process by itself: a program in the guest does it and says how long it took.
 */
import { HelmrClient, type WorkspaceHandle } from "@helmr/sdk";
import { benchInstall } from "./local-bench.ts";
import { type Benchmark, quantile } from "./measure.ts";

const spawning = `
const { spawn } = require("node:child_process");
const once = () => new Promise((resolve) => {
  const began = performance.now();
  const child = spawn("/bin/true", { stdio: "pipe" });
  child.on("close", () => resolve(performance.now() - began));
});
(async () => { for (let i = 0; i < 40; i++) console.log((await once()).toFixed(3)); })();
`;

async function ended(workspace: WorkspaceHandle, command: string[]): Promise<string> {
  const exec = await workspace.exec(command);
  let output = "";
  for await (const chunk of exec.stdout.stream()) output += Buffer.from(chunk.data).toString();
  return output;
}

export const benchmark: Benchmark = {
  measures:
    "create an exec of `true` → its follower hears of its end, in a mounted workspace; minus the guest's own spawn of the same program",
  async run(args) {
    const count = Number(args[0] ?? 100);
    const bench = await benchInstall();
    try {
      const { workspaces } = new HelmrClient({ url: bench.ready.api_url, apiKey: bench.ready.api_key });
      const { id } = await workspaces.create({ sandboxId: "default" });
      const workspace = workspaces.open(id);
      for (let warm = 0; warm < 5; warm += 1) await ended(workspace, ["true"]);
      const guest = (await ended(workspace, ["node", "-e", spawning])).trim().split("\n").slice(10).map(Number);
      const total: number[] = [];
      for (let at = 0; at < count; at += 1) {
        const began = performance.now();
        await ended(workspace, ["true"]);
        total.push(performance.now() - began);
      }
      await workspace.stop();
      const spawn = quantile(guest, 0.5);
      const over = total.map((ms) => ms - spawn);
      return [
        { name: "exec-total", unit: "ms", samples: total },
        { name: "guest-spawn", unit: "ms", samples: guest },
        { name: "exec-latency", unit: "ms", samples: over, target: "p50 ≤ 40 ms", met: quantile(over, 0.5) <= 40 },
      ];
    } finally {
      await bench.close();
    }
  },
};
