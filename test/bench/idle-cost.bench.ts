/** What a whole install costs while nothing runs: processor time over a minute, and memory (PSS, so shared pages count once). Argument: seconds (60). */
import { readFile } from "node:fs/promises";
import { benchInstall, firstLine, settle } from "./local-bench.ts";
import type { Benchmark } from "./measure.ts";

const ticksPerSecond = 100;

export const benchmark: Benchmark = {
  measures: "every process of an idle install: share of one core, memory as PSS",
  async run(args) {
    const seconds = Number(args[0] ?? 60);
    const bench = await benchInstall();
    try {
      // An install that has worked, and has come to rest.
      await bench.ended((await firstLine(bench)).runId);
      await settle(30_000);
      const before = await used(bench.install);
      await settle(seconds * 1_000);
      const after = await used(bench.install);
      const share = Object.fromEntries(
        Object.entries(after.ticks).map(([name, ticks]) => [name, ((ticks - (before.ticks[name] ?? 0)) / ticksPerSecond / seconds) * 100]),
      );
      const processor = Object.values(share).reduce((sum, one) => sum + one, 0);
      const memory = Object.values(after.memory).reduce((sum, one) => sum + one, 0);
      return [
        { name: "idle-cost: processor", unit: "% of a core", samples: [processor], target: "≤ 2 % of a core", met: processor <= 2 },
        { name: "idle-cost: memory", unit: "MB", samples: [memory], target: "≤ 450 MB", met: memory <= 450 },
        ...Object.entries(share).map(([name, value]) => ({ name: `${name}: processor`, unit: "% of a core", samples: [value] })),
        ...Object.entries(after.memory).map(([name, value]) => ({ name: `${name}: memory`, unit: "MB", samples: [value] })),
      ];
    } finally {
      await bench.close();
    }
  },
};

async function used(install: { processes(): Promise<{ pid: number; command: string }[]> }) {
  const ticks: Record<string, number> = {};
  const memory: Record<string, number> = {};
  for (const { pid, command } of await install.processes()) {
    const name = partOf(command);
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks[name] = (ticks[name] ?? 0) + Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    memory[name] = (memory[name] ?? 0) + (Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) * 1024) / 1e6;
  }
  return { ticks, memory };
}

function partOf(command: string): string {
  if (/qemu/.test(command)) return "spare machines";
  if (/packages\/server/.test(command)) return "server";
  if (/packages\/worker/.test(command)) return "worker";
  if (/packages\/local/.test(command)) return "supervisor";
  if (/postgres/.test(command)) return "PostgreSQL";
  return "other";
}
